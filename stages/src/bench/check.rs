//! Whether the devices compute what PyTorch and the CPU do.

use std::path::PathBuf;

use athanor_nn::devices::{Devices, computes_in_float64};
use athanor_nn::golden::{
    Comparison, CpuComparison, LossCases, Mode, ModelCase, ModelCases, OptimiserSteps, compare_adam, compare_losses,
    compare_model, compare_with_cpu,
};
use athanor_nn::models::{Architecture, StemPool};
use burn::tensor::DType;
use serde::{Deserialize, Serialize};

use crate::error::StageError;
use crate::learn::precision::Precision;

/// The compared thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// Values and gradients of all losses, against golden values.
    Losses,
    /// Steps of Adam after clipping, against golden values.
    Adam,
    /// A network's logits, gradients and running statistics, against golden values.
    Golden,
    /// A network's logits and gradients, against those of the CPU in float32.
    Gradients,
}

/// A check of the first visible device.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The compared thing.
    pub subject: Subject,
    /// The network, of those subjects that have one.
    pub arch: Architecture,
    /// Side of the images, in pixels; golden values have their own.
    pub size: usize,
    /// Number of images; golden values have their own.
    pub batch: usize,
    /// Numeric precision for [`Subject::Gradients`].
    pub precision: Precision,
    /// Folder of golden values.
    pub golden: PathBuf,
}

/// Result of a check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckReport {
    /// The compared thing.
    pub subject: Subject,
    /// The device.
    pub device: String,
    /// Whether all that must agree does: gradients in float32 need do so for one batch only, in which no rounding
    /// crosses a kink.
    pub agrees: bool,
    /// All comparisons.
    pub comparisons: Vec<Comparison>,
}

/// Tolerance for a network in float64: that of six stored digits.
const DOUBLE: f64 = 2e-5;
/// In float32 on a CPU.
const SINGLE: f64 = 1e-3;
/// In float32 on a GPU, whose matrix multiplication may round factors to TF32, eleven bits.
const TENSOR_FLOAT: f64 = 2e-2;
/// In bfloat16, eight bits.
const BRAIN_FLOAT: f64 = 0.2;

impl Check {
    /// Runs the check.
    ///
    /// # Errors
    /// Golden values that cannot be read; images that the network cannot take; a device that lacks the precision.
    pub fn run(&self) -> Result<CheckReport, StageError> {
        let devices = Devices::visible();
        self.precision.set_up(&devices)?;
        let device = devices.first();
        let bad = |error: athanor_nn::golden::GoldenError| StageError::mismatch(error.to_string());
        let comparisons = match self.subject {
            Subject::Losses => compare_losses(&LossCases::read(&self.golden).map_err(bad)?, device),
            Subject::Adam => compare_adam(&OptimiserSteps::read(&self.golden).map_err(bad)?, device),
            Subject::Golden => {
                let cases = ModelCases::read(&self.golden).map_err(bad)?;
                return Ok(self.golden(&cases, &devices));
            }
            Subject::Gradients => self.gradients(&devices)?,
        };
        Ok(self.report(&devices, comparisons.iter().all(Comparison::agrees), comparisons))
    }

    fn report(&self, devices: &Devices, agrees: bool, comparisons: Vec<Comparison>) -> CheckReport {
        let agrees = agrees && !comparisons.is_empty();
        CheckReport { subject: self.subject, device: devices.to_string(), agrees, comparisons }
    }

    fn golden(&self, cases: &ModelCases, devices: &Devices) -> CheckReport {
        let device = devices.first();
        let single = self.float32_tolerance(devices);
        let mut comparisons = Vec::new();
        let mut agrees = true;
        let pools = [None].into_iter().chain(StemPool::ALL.map(Some));
        for (pool, mode) in pools.flat_map(|pool| [Mode::Eval, Mode::Train].map(|mode| (pool, mode))) {
            let cases: Vec<&ModelCase> = cases.of(self.arch).filter(|case| case.stem_pool() == pool).collect();
            let mut does_one = cases.is_empty();
            for case in &cases {
                let compared = compare_model(case, mode, DType::F32, single, device);
                does_one = compared.iter().all(Comparison::agrees);
                comparisons.extend(compared);
                if does_one {
                    break;
                }
            }
            agrees &= does_one;
            let doubles = cases.first().filter(|_| computes_in_float64(device));
            if let Some(case) = doubles {
                let compared = compare_model(case, mode, DType::F64, DOUBLE, device);
                agrees &= compared.iter().all(Comparison::agrees);
                comparisons.extend(compared);
            }
        }
        self.report(devices, agrees, comparisons)
    }

    /// Tolerance for a network in float32.
    fn float32_tolerance(&self, devices: &Devices) -> f64 {
        let may_round = devices.are_gpus() && self.precision != Precision::F32Ieee;
        if may_round { TENSOR_FLOAT } else { SINGLE }
    }

    fn gradients(&self, devices: &Devices) -> Result<Vec<Comparison>, StageError> {
        let (arch, smallest) = (self.arch, self.arch.smallest_image());
        if self.size < smallest || self.batch < 2 {
            let message = format!("{arch} needs at least two images of {smallest} x {smallest} pixels or more");
            return Err(StageError::mismatch(message));
        }
        let (images, tolerance) = match self.precision {
            Precision::Bf16 => (DType::BF16, BRAIN_FLOAT),
            Precision::F32 | Precision::F32Ieee => (DType::F32, self.float32_tolerance(devices)),
        };
        let request = CpuComparison { architecture: arch, side: self.size, batch: self.batch, images, tolerance };
        // With the statistics of a batch the gradients of these weights are so sensitive that bfloat16 on the CPU itself
        // differs from float32 by as much as they are; golden values cover that mode.
        Ok(compare_with_cpu(request, Mode::Eval, devices.first()))
    }
}
