//! ResNet, "Deep Residual Learning for Image Recognition", He et al. 2015, <https://arxiv.org/abs/1512.03385>.
//!
//! Follows torchvision's `resnet.py`: parameters have the names and layouts of its state dicts, and bottlenecks carry
//! their stride in the 3x3 convolution. Any number of input channels. Stems pool as torchvision's do, or 2x2.

use std::fmt;

use burn::module::Module;
use burn::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Network;
use crate::kernels;
use crate::layers::{BatchNorm, Conv2d, max_pool};

/// Max pooling of the stem, after the first convolution; stride 2. Weights have the same names and shapes either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StemPool {
    /// 3x3 with padding 1, as in torchvision.
    #[default]
    #[serde(rename = "3x3")]
    ThreeByThree,
    /// 2x2, as in the reference solution's ResNet-18 and ResNet-34.
    #[serde(rename = "2x2")]
    TwoByTwo,
}

impl StemPool {
    /// Both of them.
    pub const ALL: [StemPool; 2] = [StemPool::ThreeByThree, StemPool::TwoByTwo];

    /// The name in pipelines and checkpoints.
    pub fn name(self) -> &'static str {
        match self {
            StemPool::ThreeByThree => "3x3",
            StemPool::TwoByTwo => "2x2",
        }
    }

    fn forward(self, maps: Tensor<4>) -> Tensor<4> {
        match self {
            StemPool::ThreeByThree => max_pool(maps, 3, 2, 1),
            StemPool::TwoByTwo => max_pool(maps, 2, 2, 0),
        }
    }
}

impl fmt::Display for StemPool {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Channels of the first stage; each further stage has twice as many.
const FIRST_WIDTH: usize = 64;

/// Factor by which a bottleneck widens.
const BOTTLENECK_EXPANSION: usize = 4;

/// Configuration of a ResNet.
struct ResNetConfig {
    /// Blocks a stage.
    blocks: [usize; 4],
    /// 1x1, 3x3, 1x1 convolutions a block instead of two 3x3.
    bottleneck: bool,
}

/// ResNet-18, 512 channels wide.
pub(crate) fn resnet18(channels: usize, device: &Device) -> ResNet {
    ResNetConfig { blocks: [2, 2, 2, 2], bottleneck: false }.init(channels, device)
}

/// ResNet-34, 512 channels wide.
pub(crate) fn resnet34(channels: usize, device: &Device) -> ResNet {
    ResNetConfig { blocks: [3, 4, 6, 3], bottleneck: false }.init(channels, device)
}

/// ResNet-50, 2048 channels wide.
pub(crate) fn resnet50(channels: usize, device: &Device) -> ResNet {
    ResNetConfig { blocks: [3, 4, 6, 3], bottleneck: true }.init(channels, device)
}

/// Two or three convolutions around which the input passes unchanged, or through a 1x1 convolution where shapes differ.
#[derive(Module, Debug)]
struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm>,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl Block {
    fn basic(channels_in: usize, width: usize, stride: usize, device: &Device) -> Self {
        Block {
            conv1: conv3x3([channels_in, width], stride, device),
            bn1: BatchNorm::new(width, device),
            conv2: conv3x3([width, width], 1, device),
            bn2: BatchNorm::new(width, device),
            conv3: None,
            bn3: None,
            downsample: downsample([channels_in, width], stride, device),
        }
    }

    fn bottleneck(channels_in: usize, width: usize, stride: usize, device: &Device) -> Self {
        let channels_out = width * BOTTLENECK_EXPANSION;
        Block {
            conv1: Conv2d::new([channels_in, width], [1, 1], device),
            bn1: BatchNorm::new(width, device),
            conv2: conv3x3([width, width], stride, device),
            bn2: BatchNorm::new(width, device),
            conv3: Some(Conv2d::new([width, channels_out], [1, 1], device)),
            bn3: Some(BatchNorm::new(channels_out, device)),
            downsample: downsample([channels_in, channels_out], stride, device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [input, passed] = kernels::branches(input);
        let shortcut = match &self.downsample {
            Some((conv, norm)) => conv.forward_norm(passed, norm),
            None => passed,
        };
        let x = self.conv1.forward_norm_relu(input, &self.bn1);
        match (&self.conv3, &self.bn3) {
            (Some(conv), Some(norm)) => {
                conv.forward_norm_add_relu(self.conv2.forward_norm_relu(x, &self.bn2), norm, shortcut)
            }
            _ => self.conv2.forward_norm_add_relu(x, &self.bn2, shortcut),
        }
    }
}

fn conv3x3(channels: [usize; 2], stride: usize, device: &Device) -> Conv2d {
    Conv2d::new(channels, [3, 3], device).stride(stride).padding([1, 1])
}

fn downsample(channels: [usize; 2], stride: usize, device: &Device) -> Option<(Conv2d, BatchNorm)> {
    let [channels_in, channels_out] = channels;
    let differs = stride != 1 || channels_in != channels_out;
    differs.then(|| (Conv2d::new(channels, [1, 1], device).stride(stride), BatchNorm::new(channels_out, device)))
}

/// A ResNet without its classifier.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    #[module(skip)]
    stem_pool: StemPool,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
}

impl ResNetConfig {
    fn init(&self, channels: usize, device: &Device) -> ResNet {
        let expansion = if self.bottleneck { BOTTLENECK_EXPANSION } else { 1 };
        let mut channels_in = FIRST_WIDTH;
        let mut stage = |number: usize| {
            let width = FIRST_WIDTH << number;
            (0..self.blocks[number])
                .map(|block| {
                    let stride = if number > 0 && block == 0 { 2 } else { 1 };
                    let make = if self.bottleneck { Block::bottleneck } else { Block::basic };
                    let block = make(channels_in, width, stride, device);
                    channels_in = width * expansion;
                    block
                })
                .collect()
        };
        ResNet {
            conv1: Conv2d::new([channels, FIRST_WIDTH], [7, 7], device).stride(2).padding([3, 3]),
            bn1: BatchNorm::new(FIRST_WIDTH, device),
            stem_pool: StemPool::default(),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
        }
    }
}

impl Network for ResNet {
    const FIRST_CONVOLUTION: &'static str = "conv1.weight";
    const TORCHVISION_HEAD: &'static [&'static str] = &["fc."];
    const HAS_STEM_POOL: bool = true;

    fn stem_pool(&self) -> Option<StemPool> {
        Some(self.stem_pool)
    }

    fn with_stem_pool(self, stem_pool: StemPool) -> Self {
        ResNet { stem_pool, ..self }
    }

    fn channels(&self) -> usize {
        self.conv1.channels_in()
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x = self.conv1.forward_norm_relu(images, &self.bn1);
        let x = self.stem_pool.forward(x);
        let blocks = self.layer1.iter().chain(&self.layer2).chain(&self.layer3).chain(&self.layer4);
        blocks.fold(x, |x, block| block.forward(x))
    }
}
