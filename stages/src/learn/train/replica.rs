//! Copies of the network on further devices.

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::container::TensorContainer;

/// The parameters and running statistics of a network, by their place in it.
pub struct Parameters {
    tensors: TensorContainer<usize>,
}

impl Parameters {
    /// Those of `network`, copied to `device`.
    pub fn on<M: Module>(network: &M, device: &Device) -> Parameters {
        let mut copy = Copy { device, place: 0, tensors: TensorContainer::new() };
        network.visit(&mut copy);
        Parameters { tensors: copy.tensors }
    }

    /// Puts them in the place of those of a network of the same shape, which learns what it has learned.
    pub fn put_in<M: Module>(self, network: M) -> M {
        network.map(&mut Put { place: 0, tensors: self.tensors })
    }
}

struct Copy<'a> {
    device: &'a Device,
    place: usize,
    tensors: TensorContainer<usize>,
}

impl ModuleVisitor for Copy<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.tensors.register(self.place, parameter.val().to_device(self.device).detach());
        self.place += 1;
    }
}

struct Put {
    place: usize,
    tensors: TensorContainer<usize>,
}

impl ModuleMapper for Put {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let place = self.place;
        self.place += 1;
        let Some(new) = self.tensors.remove::<Tensor<D>>(&place) else { return parameter };
        let trained = parameter.is_require_grad();
        parameter.map(|_| if trained { new.require_grad() } else { new })
    }
}
