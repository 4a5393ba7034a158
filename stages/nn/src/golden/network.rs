//! A forward and backward pass of a network on weights and images that are computed by name.

use burn::module::{Flag, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::DType;

use super::formula::{images, tensor, weights};
use crate::models::{Architecture, Classifier, ClassifierConfig, MetricConfig, Model, StemPool};
use crate::weights::{StateDict, load_state_dict, state_dict};

pub(super) const CHANNELS: usize = 4;
const CLASSES: usize = 5;
const IDENTITIES: usize = 7;

/// Statistics that batch norms use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Running statistics, while parameters still get gradients.
    Eval,
    /// Those of the batch.
    Train,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Mode::Eval => "eval",
            Mode::Train => "train",
        })
    }
}

/// The network of a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    pub(super) architecture: Architecture,
    /// Pooling of its stem; torchvision's by default.
    pub(super) stem_pool: Option<StemPool>,
}

/// Images of a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Images<'a> {
    /// The name that their noise is computed from.
    pub(super) noise: &'a str,
    pub(super) batch: usize,
    pub(super) side: usize,
}

/// Results of a pass.
pub(super) struct Pass {
    /// `[batch, class]`, by rows.
    pub(super) logits: Vec<f64>,
    /// The gradient of each parameter.
    pub(super) gradients: StateDict,
    /// Parameters and running statistics after the pass.
    pub(super) state: StateDict,
}

/// Data types of a pass.
#[derive(Debug, Clone, Copy)]
pub(super) struct Types {
    /// Of parameters.
    pub(super) parameters: DType,
    /// Of images, which decide what convolutions compute in.
    pub(super) images: DType,
}

/// The pass of a network with the head that the golden values are of, on a device without gradients yet.
pub(super) fn pass(network: Network, of: Images<'_>, mode: Mode, types: Types, device: &Device) -> Pass {
    let Network { architecture, stem_pool } = network;
    if architecture == Architecture::Resnet50 {
        let config =
            MetricConfig { dropout: [0.0, 0.0], stem_pool, ..MetricConfig::new(architecture, CHANNELS, IDENTITIES) };
        return pass_of(
            config.init(device),
            |model, images| model.cosines(model.features(images)),
            of,
            mode,
            types,
            device,
        );
    }
    let config = ClassifierConfig { dropout: 0.0, stem_pool, ..ClassifierConfig::new(architecture, CHANNELS, CLASSES) };
    pass_of(config.init(device), Classifier::forward, of, mode, types, device)
}

fn pass_of<M: Model>(
    model: M,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
    of: Images<'_>,
    mode: Mode,
    types: Types,
    device: &Device,
) -> Pass {
    let architecture = model.architecture();
    let model = with_named_weights(model).map(&mut InType(types.parameters)).train();
    let model = if mode == Mode::Eval { model.map(&mut Still) } else { model };
    let device = device.clone().autodiff();
    let images = images(of.noise, [of.batch, CHANNELS, of.side, of.side], &device);
    let logits = forward(&model, images.cast(types.images));
    let direction = tensor("direction", logits.dims(), &device).cast(logits.dtype());
    let gradients = GradientsParams::from_grads((logits.clone() * direction).sum().backward(), &model);
    Pass {
        logits: logits.into_data().iter().collect(),
        gradients: gradients_by_name(&model, &gradients),
        state: state_dict(&model, architecture),
    }
}

/// A model with the weights that are computed from their names.
fn with_named_weights<M: Model>(model: M) -> M {
    let architecture = model.architecture();
    let weights = weights(&state_dict(&model, architecture));
    load_state_dict(model, architecture, weights).expect("names and shapes are the model's own")
}

/// A classifier with the weights that are computed from their names.
pub(super) fn named_classifier(architecture: Architecture, device: &Device) -> Classifier {
    let config = ClassifierConfig { dropout: 0.0, ..ClassifierConfig::new(architecture, CHANNELS, CLASSES) };
    with_named_weights(config.init(device))
}

/// Makes batch norms use their running statistics.
struct Still;

impl ModuleMapper for Still {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

/// Puts the gradient of each parameter in its place.
struct GradientsInPlace<'a>(&'a GradientsParams);

impl ModuleMapper for GradientsInPlace<'_> {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.0.get::<D>(parameter.id) else { return parameter };
        parameter.map(|_| gradient)
    }
}

pub(super) fn gradients_by_name<M: Model>(model: &M, gradients: &GradientsParams) -> StateDict {
    let mut found = state_dict(&model.valid().map(&mut GradientsInPlace(gradients)), model.architecture());
    found.retain(|name, _| !name.contains("running_"));
    found
}

/// Casts parameters and running statistics.
pub(super) struct InType(pub(super) DType);

impl ModuleMapper for InType {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        parameter.map(|values| values.cast(self.0))
    }
}
