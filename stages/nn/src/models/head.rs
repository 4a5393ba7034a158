//! Models of a backbone and a head: the classifier, and the metric model, in whose features similar images lie close.
//!
//! Both heads are those of the first solution of the Human Protein Atlas competition (Ouyang et al. 2019,
//! <https://doi.org/10.1038/s41592-019-0658-6>).

use athanor_random::Random;
use burn::module::{Module, Param};
use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::relu;

use super::{Architecture, Backbone, Model, StemPool};
use crate::dropout::Dropout;
use crate::forward_context::training_pass;
use crate::kernels;
use crate::layers::{BatchNorm, Linear, uniform_within};

/// Numbers in the feature of the metric model.
pub const FEATURE_LENGTH: usize = 512;

/// Below this a vector counts as having this length, so that the null vector has a direction.
const SHORTEST: f64 = 1e-12;

/// Configuration of a classifier.
#[derive(Debug, Clone, Copy)]
pub struct ClassifierConfig {
    /// The backbone.
    pub architecture: Architecture,
    /// Channels of the images.
    pub channels: usize,
    /// Classes, each of which is or is not in an image.
    pub classes: usize,
    /// Share of values dropped before each linear layer of the head, from 0 to below 1.
    pub dropout: f64,
    /// Pooling of the stem, where it can be chosen; torchvision's by default.
    pub stem_pool: Option<StemPool>,
}

impl ClassifierConfig {
    /// As the reference solution has it: half of the values dropped.
    pub fn new(architecture: Architecture, channels: usize, classes: usize) -> Self {
        ClassifierConfig { architecture, channels, classes, dropout: 0.5, stem_pool: None }
    }

    /// A classifier with random weights.
    pub fn init(&self, device: &Device) -> Classifier {
        let width = self.architecture.width();
        let backbone = self.architecture.init(self.channels, device);
        let backbone = backbone.with_stem_pool(self.stem_pool.unwrap_or_default());
        Classifier { backbone, head: ClassifierHead::new(width, self.classes, self.dropout, device) }
    }
}

/// Says of each class how much it is in an image.
#[derive(Module, Debug)]
pub struct Classifier {
    backbone: Backbone,
    head: ClassifierHead,
}

impl Classifier {
    /// Images `[batch, channel, height, width]` to logits `[batch, class]`, of the parameters' type.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(pooled(self.backbone.forward(images), self.head.bn1.kind()))
    }
}

impl Model for Classifier {
    const KIND: &'static str = "classifier";
    const OUTPUT: &'static str = "head.fc2.weight";
    const OUTPUTS: &'static str = "classes";

    fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    fn with_backbone(self, backbone: Backbone) -> Self {
        Self { backbone, ..self }
    }

    fn outputs(&self) -> usize {
        self.head.fc2.features_out()
    }
}

/// Batch norm, dropout, linear; ReLU; batch norm, dropout, linear.
#[derive(Module, Debug)]
struct ClassifierHead {
    bn1: BatchNorm,
    dropout1: Dropout,
    fc1: Linear,
    bn2: BatchNorm,
    dropout2: Dropout,
    fc2: Linear,
}

impl ClassifierHead {
    fn new(width: usize, classes: usize, dropout: f64, device: &Device) -> Self {
        ClassifierHead {
            bn1: BatchNorm::new(2 * width, device),
            dropout1: Dropout::new(dropout),
            fc1: Linear::new([2 * width, width], device),
            bn2: BatchNorm::new(width, device),
            dropout2: Dropout::new(dropout),
            fc2: Linear::new([width, classes], device),
        }
    }

    fn forward(&self, pooled: Tensor<2>) -> Tensor<2> {
        let x = self.fc1.forward(self.dropout1.forward(self.bn1.forward(pooled)));
        self.fc2.forward(self.dropout2.forward(self.bn2.forward(relu(x))))
    }
}

/// Configuration of a metric model.
#[derive(Debug, Clone, Copy)]
pub struct MetricConfig {
    /// The backbone.
    pub architecture: Architecture,
    /// Channels of the images.
    pub channels: usize,
    /// Identities to be told apart.
    pub identities: usize,
    /// Shares of values dropped before the head's first and second linear layer, from 0 to below 1.
    pub dropout: [f64; 2],
    /// Pooling of the stem, where it can be chosen; torchvision's by default.
    pub stem_pool: Option<StemPool>,
}

impl MetricConfig {
    /// Shares that the reference solution drops.
    pub const DROPOUT: [f64; 2] = [0.25, 0.5];

    /// As the reference solution has it.
    pub fn new(architecture: Architecture, channels: usize, identities: usize) -> Self {
        MetricConfig { architecture, channels, identities, dropout: MetricConfig::DROPOUT, stem_pool: None }
    }

    /// A metric model with random weights.
    pub fn init(&self, device: &Device) -> MetricModel {
        let width = self.architecture.width();
        let uniform = uniform_within(1.0 / (FEATURE_LENGTH as f64).sqrt());
        let backbone = self.architecture.init(self.channels, device);
        MetricModel {
            backbone: backbone.with_stem_pool(self.stem_pool.unwrap_or_default()),
            head: FeatureHead::new(width, self.dropout, device),
            directions: Param::from_tensor(Tensor::random([self.identities, FEATURE_LENGTH], uniform, device)),
        }
    }
}

/// Gives each image a feature; features of one identity point the same way.
#[derive(Module, Debug)]
pub struct MetricModel {
    backbone: Backbone,
    head: FeatureHead,
    /// Target direction of the features of each identity, `[identity, 512]`.
    directions: Param<Tensor<2>>,
}

impl MetricModel {
    /// Images `[batch, channel, height, width]` to features `[batch, 512]`, of the parameters' type.
    pub fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(pooled(self.backbone.forward(images), self.head.bn1.kind()))
    }

    /// The features with dropout left on, which draws from `random`. Batch norms use their running statistics as ever, unless
    /// the images are on a device that differentiates.
    pub fn features_with_dropout(&self, images: Tensor<4>, random: Random) -> Tensor<2> {
        training_pass(random, || self.features(images)).0
    }

    /// Features `[batch, 512]` to the cosines of their angles with each identity's direction, `[batch, identity]`.
    pub fn cosines(&self, features: Tensor<2>) -> Tensor<2> {
        let directions = normalised(self.directions.val());
        normalised(features).matmul(directions.transpose())
    }
}

impl Model for MetricModel {
    const KIND: &'static str = "metric model";
    const OUTPUT: &'static str = "directions";
    const OUTPUTS: &'static str = "identities";

    fn backbone(&self) -> &Backbone {
        &self.backbone
    }

    fn with_backbone(self, backbone: Backbone) -> Self {
        Self { backbone, ..self }
    }

    fn outputs(&self) -> usize {
        self.directions.dims()[0]
    }
}

/// Batch norm, dropout, linear; ReLU; batch norm, dropout, linear; batch norm.
#[derive(Module, Debug)]
struct FeatureHead {
    bn1: BatchNorm,
    dropout1: Dropout,
    fc1: Linear,
    bn2: BatchNorm,
    dropout2: Dropout,
    fc2: Linear,
    bn3: BatchNorm,
}

impl FeatureHead {
    fn new(width: usize, dropout: [f64; 2], device: &Device) -> Self {
        FeatureHead {
            bn1: BatchNorm::new(2 * width, device),
            dropout1: Dropout::new(dropout[0]),
            fc1: Linear::new([2 * width, width], device),
            bn2: BatchNorm::new(width, device),
            dropout2: Dropout::new(dropout[1]),
            fc2: Linear::new([width, FEATURE_LENGTH], device),
            bn3: BatchNorm::new(FEATURE_LENGTH, device),
        }
    }

    fn forward(&self, pooled: Tensor<2>) -> Tensor<2> {
        let x = self.fc1.forward(self.dropout1.forward(self.bn1.forward(pooled)));
        self.bn3.forward(self.fc2.forward(self.dropout2.forward(self.bn2.forward(relu(x)))))
    }
}

/// Mean and maximum of each feature map side by side, in the type `kind`: `[batch, c, h, w]` to `[batch, 2 c]`.
fn pooled(maps: Tensor<4>, kind: DType) -> Tensor<2> {
    let maps = maps.cast(kind);
    if kernels::supports(&maps) {
        return kernels::pool_planes(maps);
    }
    let maps: Tensor<3> = maps.flatten(2, 3);
    let mean = maps.clone().mean_dim(2);
    let maximum = maps.max_dim(2);
    Tensor::cat(vec![mean, maximum], 1).flatten(1, 2)
}

/// Rows of length one.
fn normalised(rows: Tensor<2>) -> Tensor<2> {
    let length = rows.clone().square().sum_dim(1).clamp_min(SHORTEST * SHORTEST).sqrt();
    rows / length
}
