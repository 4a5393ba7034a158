//! Adam after clipping, step by step.

use std::path::Path;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use serde::Deserialize;

use super::comparison::{Comparison, largest, share};
use super::file::{GoldenError, read};
use super::formula::{data, tensor};
use crate::optim::{adam, clip_gradient_norm};

const TOLERANCE: f64 = 1e-5;
/// Parameters smaller than this are compared with it.
const SMALL: f64 = 1e-2;

/// Steps of Adam on two parameters.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub struct OptimiserSteps(Vec<Step>);

#[derive(Debug, Clone, Deserialize)]
struct Step {
    rate: f64,
    /// Size of the gradients.
    scale: f64,
    /// Norm of all gradients before they are clipped.
    norm: f64,
    after: After,
}

#[derive(Debug, Clone, Deserialize)]
struct After {
    weight: Vec<f64>,
    bias: Vec<f64>,
}

impl OptimiserSteps {
    /// Reads `learn-optim.json` of a folder.
    ///
    /// # Errors
    /// If it cannot be read, or holds something else.
    pub fn read(folder: &Path) -> Result<OptimiserSteps, GoldenError> {
        read(folder, "learn-optim.json")
    }
}

#[derive(Module, Debug)]
struct Parameters {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// Compares the norm of gradients and the parameters after each step on a device, which needs no gradients yet.
pub fn compare_adam(steps: &OptimiserSteps, plain: &Device) -> Vec<Comparison> {
    let device = plain.clone().autodiff();
    let mut model = Parameters {
        weight: Param::from_tensor(tensor("weight", [3, 4], &device)),
        bias: Param::from_tensor(tensor("bias", [3], &device)),
    };
    let mut optimiser = adam(plain);
    let mut comparisons = Vec::new();
    for (number, step) in steps.0.iter().enumerate() {
        let mut compare = |what: &str, difference| {
            let name = format!("step {number}: {what}");
            comparisons.push(Comparison { name, difference, tolerance: TOLERANCE });
        };
        let gradient = |name: &str, shape: &[usize]| data(&format!("{name}/{number}"), shape, step.scale, 0.0);
        let mut gradients = GradientsParams::new();
        gradients.register(model.weight.id, Tensor::<2>::from_data(gradient("weight", &[3, 4]), plain));
        gradients.register(model.bias.id, Tensor::<1>::from_data(gradient("bias", &[3]), plain));
        let norm =
            clip_gradient_norm(&model, &mut gradients, 1.0).map_or(f64::NAN, |norm| norm.into_scalar::<f32>().into());
        compare("norm", share((norm - step.norm).abs(), step.norm));
        model = optimiser.step(step.rate, model, gradients);
        for (name, values, stored) in
            [("weight", model.weight.to_data(), &step.after.weight), ("bias", model.bias.to_data(), &step.after.bias)]
        {
            let pairs = values.iter::<f64>().zip(stored);
            compare(name, largest(pairs.map(|(ours, theirs)| (ours - theirs).abs() / theirs.abs().max(SMALL))));
        }
    }
    comparisons
}
