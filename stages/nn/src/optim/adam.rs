//! PyTorch's Adam, Kingma and Ba 2014, <https://arxiv.org/abs/1412.6980>, on Burn's state.

use burn::optim::{Adam, AdamConfig, AdamState, LearningRate, ModuleOptimizer, Optimizer};
use burn::prelude::*;

use crate::kernels::{self, AdamStep};

/// Decay rates of the moments: beta 1 and 2.
const BETAS: [f32; 2] = [0.9, 0.999];
/// Guard against division by zero, as in PyTorch.
const EPSILON: f32 = 1e-8;

/// PyTorch's Adam: betas 0.9 and 0.999, no weight decay.
pub fn adam() -> ModuleOptimizer {
    let burns = AdamConfig::new().with_beta_1(BETAS[0]).with_beta_2(BETAS[1]).with_epsilon(EPSILON).build();
    ModuleOptimizer::from(OwnAdam { burns })
}

/// Burn's Adam, and in its place our kernel where that can be used.
///
/// Burn's makes a dozen passes over all parameters; the kernel makes one.
#[derive(Clone)]
struct OwnAdam {
    burns: Adam,
}

impl Optimizer for OwnAdam {
    type State<const D: usize> = AdamState<D>;

    fn step<const D: usize>(
        &self,
        rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let usable = |tensor: &Tensor<D>| kernels::supports(tensor) && !tensor.device().is_autodiff();
        match state {
            Some(AdamState { mut momentum }) if usable(&parameter) && usable(&gradient) => {
                momentum.time += 1;
                let step = step_at(rate, momentum.time);
                let moments = [momentum.moment_1, momentum.moment_2];
                let (parameter, [first, second]) = kernels::adam_step(step, parameter, gradient, moments);
                (momentum.moment_1, momentum.moment_2) = (first, second);
                (parameter, Some(AdamState { momentum }))
            }
            state => self.burns.step(rate, parameter, gradient, state),
        }
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        <Adam as Optimizer>::to_device(state, device)
    }
}

/// The step number `time`, counted from 1.
fn step_at(rate: f64, time: usize) -> AdamStep {
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(time as f64);
    AdamStep {
        rate: (rate / correction(BETAS[0])) as f32,
        betas: BETAS,
        correction: correction(BETAS[1]).sqrt() as f32,
        epsilon: EPSILON,
    }
}
