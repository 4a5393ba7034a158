//! Benchmarks of training and prediction: the stages themselves, timed on synthetic images.
//!
//! A first round is for whatever is slow only once: compiling for a GPU, touching memory, filling caches. The second is
//! measured.

mod check;
mod memory;
mod stage_timer;
mod synthetic_inputs;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::check::{Check, CheckReport, Subject};
use self::stage_timer::{StageTimer, Timing};
use self::synthetic_inputs::{SyntheticInputs, distinct_images};
use crate::context::{Reporter, StageContext, StageReport};
use crate::error::StageError;
use crate::kind::StageKind;
use crate::kinds::predict::{Predict, PredictInputs};
use crate::kinds::train_classifier::{Loss, TrainClassifier, TrainClassifierInputs};
use crate::learn::precision::Precision;
use crate::params::{self, ParamProblem};
use crate::ports::OutputPorts;
use athanor_nn::devices::{Devices, TuningFolder};
use athanor_nn::models::Architecture;

/// Number of classes of the Human Protein Atlas challenge.
const CLASSES: usize = 28;

/// An interval longer than any training: the state is saved between the rounds only.
const NEVER: f64 = 1e9;

/// The workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// `train_classifier`.
    Train,
    /// `predict`, each image as it is.
    Predict,
}

/// A measurement to be made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bench {
    /// The workload.
    pub work: Workload,
    /// The network.
    pub arch: Architecture,
    /// Side of the network's input, in pixels. The images have half as many again.
    pub size: usize,
    /// Images in a batch.
    pub batch: usize,
    /// Numeric precision of the network.
    pub precision: Precision,
    /// Loss function of training.
    pub loss: Loss,
    /// Number of threads that compute, and of threads that prepare batches.
    pub threads: usize,
    /// Batches of each round.
    pub steps: usize,
}

/// Result of a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The measurement.
    #[serde(flatten)]
    pub bench: Bench,
    /// The devices.
    pub device: String,
    /// Images a second.
    pub images_per_second: f64,
    /// Seconds a batch.
    pub seconds_per_step: f64,
    /// Share of the time spent waiting for images, 0 to 1.
    pub share_waiting_for_data: f64,
    /// Peak bytes of main memory of this process; `None` where the system does not tell.
    pub peak_memory: Option<u64>,
    /// Peak bytes of GPU memory that this process took for tensors, as PyTorch counts them too: without what the driver
    /// takes for itself. `None` on a CPU.
    pub peak_gpu_memory: Option<u64>,
}

impl Bench {
    /// Runs the measurement.
    ///
    /// # Errors
    /// A size that the network cannot take, a batch too small; a device that lacks the precision or the memory.
    pub fn run(&self) -> Result<Measurement, StageError> {
        self.check()?;
        let folder = TempDir::new().map_err(StageError::io(&std::env::temp_dir()))?;
        let synthetic_inputs = SyntheticInputs::new(folder.path(), CLASSES);
        let timing = match self.work {
            Workload::Train => self.train(&synthetic_inputs)?,
            Workload::Predict => self.predict(&synthetic_inputs)?,
        };
        let timing = timing.ok_or_else(|| StageError::mismatch("the stage did not say how far it was"))?;
        let seconds_per_step = timing.seconds / self.steps as f64;
        let devices = Devices::visible();
        Ok(Measurement {
            bench: *self,
            device: devices.to_string(),
            images_per_second: self.batch as f64 / seconds_per_step,
            seconds_per_step,
            share_waiting_for_data: timing.share_waiting,
            peak_memory: memory::peak(),
            peak_gpu_memory: if devices.are_gpus() { devices.memory_held() } else { None },
        })
    }

    /// Takes the first steps of the workload, so that its kernels are compiled and tuned, and known in `tuning`; a process that
    /// takes the same steps is waited for. Prediction is that of the default augmentations.
    ///
    /// # Errors
    /// Those of [`Bench::run`].
    pub fn warm(&self, tuning: Option<TuningFolder>) -> Result<(), StageError> {
        self.check()?;
        let folder = TempDir::new().map_err(StageError::io(&std::env::temp_dir()))?;
        let synthetic_inputs = SyntheticInputs::new(folder.path(), CLASSES);
        match self.work {
            Workload::Train => {
                let (params, inputs) = self.training(&synthetic_inputs, 1)?;
                let context = self.context(&synthetic_inputs.folder("training")?, &NoReporter).with_tuning(tuning);
                run_stage::<TrainClassifier>(&params, inputs, &context)
            }
            Workload::Predict => {
                let params = json!({ "batch": self.batch, "precision": self.precision });
                let inputs = self.prediction(&synthetic_inputs)?;
                let context = self.context(&synthetic_inputs.folder("prediction")?, &NoReporter).with_tuning(tuning);
                run_stage::<Predict>(&params, inputs, &context)
            }
        }
    }

    fn check(&self) -> Result<(), StageError> {
        let (arch, size, smallest) = (self.arch, self.size, self.arch.smallest_image());
        if size < smallest {
            let message =
                format!("{arch} needs images of at least {smallest} x {smallest} pixels, not {size} x {size}");
            return Err(StageError::mismatch(message).with_help(format!("Give `--size {smallest}` or more.")));
        }
        if self.steps == 0 || self.threads == 0 || self.batch == 0 {
            return Err(StageError::mismatch("there must be at least one step, one thread and one image in a batch"));
        }
        Ok(())
    }

    /// Pixels a side of the images; the reference solution cuts 512 from 768.
    fn side(&self) -> usize {
        self.size + self.size / 2
    }

    /// Two epochs, the first of which does not count.
    fn train(&self, synthetic_inputs: &SyntheticInputs) -> Result<Option<Timing>, StageError> {
        let (params, inputs) = self.training(synthetic_inputs, 2)?;
        let timer = StageTimer::of_epoch(2, self.steps as u64);
        memory::forget_peak();
        run_stage::<TrainClassifier>(&params, inputs, &self.context(&synthetic_inputs.folder("training")?, &timer))?;
        Ok(timer.timing())
    }

    /// Parameters and inputs of a training.
    fn training(
        &self,
        synthetic_inputs: &SyntheticInputs,
        epochs: u32,
    ) -> Result<(Value, TrainClassifierInputs), StageError> {
        let (count, times) = distinct_images(self.batch * self.steps);
        let (images, train) = synthetic_inputs.images(count, self.side())?;
        let params = json!({
            "arch": self.arch, "crop": self.size, "batch": self.batch, "precision": self.precision, "classes": CLASSES,
            "loss": self.loss, "epochs": epochs, "schedule": 1e-4, "upsample": { "share": 1.0, "at_most": times }, "save_every": NEVER,
        });
        let inputs = TrainClassifierInputs {
            images: vec![images],
            train,
            validation: synthetic_inputs.validation()?,
            statistics: None,
            pretrained: None,
            soft_labels: None,
        };
        Ok((params, inputs))
    }

    /// The same images twice, of which the first time does not count.
    fn predict(&self, synthetic_inputs: &SyntheticInputs) -> Result<Option<Timing>, StageError> {
        let PredictInputs { checkpoint, images, ids } = self.prediction(synthetic_inputs)?;
        let params = json!({ "batch": self.batch, "precision": self.precision, "augmentations": ["default"] });
        let mut timing = None;
        for round in ["first", "second"] {
            let timer = StageTimer::of_all("images");
            memory::forget_peak();
            let context = self.context(&synthetic_inputs.folder(round)?, &timer);
            let inputs = PredictInputs { checkpoint: checkpoint.clone(), images: images.clone(), ids: ids.clone() };
            run_stage::<Predict>(&params, inputs, &context)?;
            timing = timer.timing();
        }
        Ok(timing)
    }

    /// Inputs of a prediction.
    fn prediction(&self, synthetic_inputs: &SyntheticInputs) -> Result<PredictInputs, StageError> {
        let (images, ids) = synthetic_inputs.images(self.batch * self.steps, self.side())?;
        let checkpoint = synthetic_inputs.checkpoint(self.arch, self.size)?;
        Ok(PredictInputs { checkpoint, images: vec![images], ids: Some(ids) })
    }

    /// The context of a stage whose outputs are beside its scratch folder.
    fn context<'a>(&self, folder: &Path, reporter: &'a dyn Reporter) -> StageContext<'a> {
        StageContext::new(0, self.threads, folder.join("scratch"), reporter)
    }
}

/// A reporter to which nothing matters.
struct NoReporter;

impl Reporter for NoReporter {
    fn report(&self, _: StageReport) {}

    fn should_stop(&self) -> bool {
        false
    }
}

/// Runs a stage in the folder of its scratch folder.
fn run_stage<K: StageKind>(params: &Value, inputs: K::Inputs, context: &StageContext<'_>) -> Result<(), StageError> {
    let folder = context.scratch.parent().unwrap_or(&context.scratch);
    let params = params::parse::<K::Params>(params).map_err(|problems| wrong(&problems))?;
    let outputs = K::outputs(&params).into_iter().map(|port| (port.name, folder.join(port.file))).collect();
    let outputs = K::Outputs::bind(outputs).map_err(|error| StageError::mismatch(error.to_string()))?;
    K::run(params, inputs, outputs, context)
}

/// Problems of parameters as one error.
fn wrong(problems: &[ParamProblem]) -> StageError {
    let told = problems.iter().map(|problem| format!("`{}`: {}", problem.path.join("."), problem.message));
    StageError::mismatch(told.collect::<Vec<_>>().join("; "))
}
