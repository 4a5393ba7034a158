//! From a model to its state dict, and from a state dict into a model.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::prelude::*;

use super::StateDict;
use super::mismatch::Mismatch;
use crate::models::Architecture;

/// The parameters and running statistics of a model whose backbone is of `architecture`.
///
/// `module` is a backbone itself, or holds one in a field called `backbone`.
pub fn state_dict<M: Module>(module: &M, architecture: Architecture) -> StateDict {
    let mut collector = Collector { path: ModulePath::new(architecture), found: StateDict::new() };
    // Only `valid` brings running statistics up to date.
    module.valid().visit(&mut collector);
    collector.found
}

/// The same model with the parameters and running statistics of `state`.
///
/// # Errors
/// If names or shapes differ; the model is lost then.
pub fn load_state_dict<M: Module>(module: M, architecture: Architecture, state: StateDict) -> Result<M, Mismatch> {
    Mismatch::check(&parameter_shapes(&module, architecture), &state)?;
    // Settles what the last batch added to running statistics, or it would take the place of what is loaded.
    drop(module.valid());
    Ok(module.map(&mut Loader { path: ModulePath::new(architecture), state }))
}

/// Shapes of the parameters and running statistics of a model, by PyTorch's names.
pub(super) fn parameter_shapes<M: Module>(module: &M, architecture: Architecture) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = Shapes { path: ModulePath::new(architecture), found: BTreeMap::new() };
    module.visit(&mut shapes);
    shapes.found
}

/// Position in a walk through a model.
struct ModulePath {
    architecture: Architecture,
    names: Vec<String>,
}

impl ModulePath {
    fn new(architecture: Architecture) -> Self {
        ModulePath { architecture, names: Vec::new() }
    }

    /// The variants of enums are no part of PyTorch's names.
    fn enter(&mut self, name: &str, container: &str) {
        if !is_enum(container) {
            self.names.push(name.to_owned());
        }
    }

    fn leave(&mut self, container: &str) {
        if !is_enum(container) {
            self.names.pop();
        }
    }

    /// PyTorch's name of what lies here.
    fn key(&self) -> String {
        const HEADS: [&str; 2] = ["head", "directions"];
        match self.names.split_first() {
            Some((first, rest)) if first == "backbone" => self.architecture.torch_key(&rest.join(".")),
            Some((first, _)) if HEADS.contains(&first.as_str()) => self.names.join("."),
            _ => self.architecture.torch_key(&self.names.join(".")),
        }
    }
}

fn is_enum(container: &str) -> bool {
    container.starts_with("Enum:")
}

struct Collector {
    path: ModulePath,
    found: StateDict,
}

impl ModuleVisitor for Collector {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.leave(container);
    }
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.found.insert(self.path.key(), parameter.val().into_data());
    }
}

struct Shapes {
    path: ModulePath,
    found: BTreeMap<String, Vec<usize>>,
}

impl ModuleVisitor for Shapes {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.leave(container);
    }
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.found.insert(self.path.key(), parameter.lazy_shape().to_vec());
    }
}

struct Loader {
    path: ModulePath,
    state: StateDict,
}

impl ModuleMapper for Loader {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }
    fn exit_module(&mut self, _name: &str, container: &str) {
        self.path.leave(container);
    }
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(data) = self.state.remove(&self.path.key()) else { return parameter };
        let trained = parameter.is_require_grad();
        parameter.map(|old| {
            let new = Tensor::from_data(data, &old.device());
            if trained { new.require_grad() } else { new }
        })
    }
}
