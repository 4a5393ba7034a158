//! Copies of a network's many tensors on another device, made as one: each transfer between GPUs that cannot reach each other goes
//! through the host, which waits for it.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::prelude::*;

/// The parameters and running statistics of a network, by their place in it.
#[derive(Debug)]
pub struct ParameterSnapshot {
    flat: Vec<Tensor<1>>,
}

impl ParameterSnapshot {
    /// Those of `network`, copied to `device`.
    pub fn on<M: Module>(network: &M, device: &Device) -> ParameterSnapshot {
        let mut collected = Collect { flat: Vec::new() };
        network.visit(&mut collected);
        ParameterSnapshot { flat: together(collected.flat, device) }
    }

    /// Loads them into a network of the same shape.
    pub fn load_into<M: Module>(self, network: M) -> M {
        network.map(&mut Put { flat: self.flat.into_iter() })
    }
}

/// Gradients of a network's parameters on another device.
pub fn gradients_on<M: Module>(mut gradients: GradientsParams, device: &Device, network: &M) -> GradientsParams {
    let mut taken = Take { gradients: &mut gradients, ids: Vec::new(), flat: Vec::new() };
    network.visit(&mut taken);
    let (ids, flat) = (taken.ids, together(taken.flat, device));
    let mut register = Register { gradients: &mut gradients, moved: ids.into_iter().zip(flat).peekable() };
    network.visit(&mut register);
    gradients
}

/// Flat tensors on another device.
pub(crate) fn together(flat: Vec<Tensor<1>>, device: &Device) -> Vec<Tensor<1>> {
    let Some(first) = flat.first() else { return flat };
    if first.device().inner() == device.clone().inner() {
        return flat;
    }
    let lengths = flat.iter().map(|tensor| tensor.dims()[0]).collect();
    Tensor::cat(flat, 0).to_device(device).split_with_sizes(lengths, 0)
}

struct Collect {
    flat: Vec<Tensor<1>>,
}

impl ModuleVisitor for Collect {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.flat.push(parameter.val().detach().reshape([-1]));
    }
}

struct Put {
    flat: std::vec::IntoIter<Tensor<1>>,
}

impl ModuleMapper for Put {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(new) = self.flat.next() else { return parameter };
        let trained = parameter.is_require_grad();
        parameter.map(|old| {
            let new = new.reshape(old.shape()).detach();
            if trained { new.require_grad() } else { new }
        })
    }
}

struct Take<'a> {
    gradients: &'a mut GradientsParams,
    ids: Vec<ParamId>,
    flat: Vec<Tensor<1>>,
}

impl ModuleVisitor for Take<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(parameter.id) else { return };
        self.ids.push(parameter.id);
        self.flat.push(gradient.reshape([-1]));
    }
}

struct Register<'a, I: Iterator<Item = (ParamId, Tensor<1>)>> {
    gradients: &'a mut GradientsParams,
    moved: std::iter::Peekable<I>,
}

impl<I: Iterator<Item = (ParamId, Tensor<1>)>> ModuleVisitor for Register<'_, I> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some((id, gradient)) = self.moved.next_if(|(id, _)| *id == parameter.id) else { return };
        self.gradients.register::<D>(id, gradient.reshape(parameter.val().shape()));
    }
}
