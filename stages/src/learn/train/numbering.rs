//! Parameters by number.

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::prelude::*;

/// The same module with its parameters numbered in order.
///
/// An optimiser knows parameters by their ids, which are random otherwise: its state could not be read by another
/// process.
pub(crate) fn number_parameters<M: Module>(module: M) -> M {
    module.map(&mut Numbering { next: 1 })
}

struct Numbering {
    next: u64,
}

impl ModuleMapper for Numbering {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (_, tensor, mapper) = parameter.consume();
        let id = ParamId::from(self.next);
        self.next += 1;
        Param::from_mapped_value(id, tensor, mapper)
    }
}
