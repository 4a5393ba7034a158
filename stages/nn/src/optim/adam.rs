//! PyTorch's Adam, Kingma and Ba 2014, <https://arxiv.org/abs/1412.6980>, on Burn's state.

use burn::module::ParamGroup;
use burn::optim::{
    Adam, AdamConfig, AdamState, AdaptiveMomentumState, DynOptimizer, DynState, LearningRate, ModuleOptimizer,
    Optimizer, StateSink, StateSource,
};
use burn::prelude::*;
use burn::tensor::kind::BridgeTensor;

use crate::kernels::{self, AdamStep};

/// Decay rates of the moments: beta 1 and 2.
const BETAS: [f32; 2] = [0.9, 0.999];
/// Guard against division by zero, as in PyTorch.
const EPSILON: f32 = 1e-8;

/// PyTorch's Adam: betas 0.9 and 0.999, no weight decay. State that is read is put on `device`.
pub fn adam(device: &Device) -> ModuleOptimizer {
    let burns = AdamConfig::new().with_beta_1(BETAS[0]).with_beta_2(BETAS[1]).with_epsilon(EPSILON).build();
    let adam = OwnAdam { burns };
    let on_device = OnDevice { adam: adam.clone(), device: device.clone().without_autodiff() };
    ModuleOptimizer::from(adam).with_group(ParamGroup::all(), on_device, None)
}

/// Adam whose state is read onto a device.
///
/// Burn reads it onto the default device, and the first step moves it. Uploads in the midst of a step change which of its
/// operations are fused, and with them the rounding: a training that goes on would not end with the bytes of one that nobody disturbed.
struct OnDevice {
    adam: OwnAdam,
    device: Device,
}

impl DynOptimizer for OnDevice {
    fn step_dyn(
        &self,
        rank: usize,
        rate: LearningRate,
        parameter: BridgeTensor,
        gradient: BridgeTensor,
        state: Option<DynState>,
    ) -> (BridgeTensor, Option<DynState>) {
        self.adam.step_dyn(rank, rate, parameter, gradient, state)
    }

    fn to_device_dyn(&self, state: DynState, device: &Device) -> DynState {
        self.adam.to_device_dyn(state, device)
    }

    fn state_flatten(&self, prefix: &str, state: &DynState, out: &mut StateSink) {
        self.adam.state_flatten(prefix, state, out);
    }

    fn state_unflatten(&self, rank: usize, prefix: &str, source: &mut StateSource, _: &Device) -> Option<DynState> {
        self.adam.state_unflatten(rank, prefix, source, &self.device)
    }
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
            state => self.step_in_order(rate, parameter, gradient, state),
        }
    }

    fn to_device<const D: usize>(state: AdamState<D>, device: &Device) -> AdamState<D> {
        <Adam as Optimizer>::to_device(state, device)
    }
}

impl OwnAdam {
    /// Burn's Adam on flat tensors, whose numbers lie in the order of their indices.
    ///
    /// A GPU leaves the gradients of convolutions in another order, which parameters would take over. Those that are read from a state are
    /// in their own, and other kernels compute with them, which round otherwise.
    fn step_in_order<const D: usize>(
        &self,
        rate: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamState<D>>,
    ) -> (Tensor<D>, Option<AdamState<D>>) {
        let shape = parameter.dims();
        let flat = |tensor: Tensor<D>| tensor.reshape([-1]);
        let whole = |tensor: Tensor<1>| tensor.reshape(shape);
        let state = state.map(|state| reshaped(state, flat));
        let (parameter, state) = self.burns.step(rate, flat(parameter), flat(gradient), state);
        (whole(parameter), state.map(|state| reshaped(state, whole)))
    }
}

/// The same state of tensors of another shape.
fn reshaped<const A: usize, const B: usize>(
    AdamState { momentum }: AdamState<A>,
    reshape: impl Fn(Tensor<A>) -> Tensor<B>,
) -> AdamState<B> {
    let AdaptiveMomentumState { time, moment_1, moment_2, .. } = momentum;
    AdamState::new(AdaptiveMomentumState::new(time, reshape(moment_1), reshape(moment_2)))
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
