//! DenseNet, "Densely Connected Convolutional Networks", Huang et al. 2016, <https://arxiv.org/abs/1608.06993>.
//!
//! Follows torchvision's `densenet.py`: parameters have the names and layouts of its state dicts, and a final ReLU
//! follows the last batch norm. Any number of input channels. Provides [`densenet121`], and [`densenet121_large`] for
//! images twice as large: a further 2x2 max pool follows the stem.

use burn::module::Module;
use burn::prelude::*;

use super::Network;
use crate::kernels;
use crate::layers::{BatchNorm, Conv2d, average_pool, max_pool};

/// Channels of the first convolution.
const STEM_WIDTH: usize = 64;

/// Channels that each layer adds.
const GROWTH: usize = 32;

/// A layer's 1x1 convolution makes this many times [`GROWTH`] channels.
const BOTTLENECK: usize = 4;

/// Configuration of a DenseNet.
struct DenseNetConfig {
    /// Layers a block.
    layers: [usize; 4],
    /// Whether a 2x2 max pool of stride 2 follows the stem.
    pool_after_stem: bool,
}

/// DenseNet-121, 1024 channels wide.
pub(crate) fn densenet121(channels: usize, device: &Device) -> DenseNet {
    DenseNetConfig { layers: [6, 12, 24, 16], pool_after_stem: false }.init(channels, device)
}

/// DenseNet-121 with a further pooling after the stem, 1024 channels wide.
pub(crate) fn densenet121_large(channels: usize, device: &Device) -> DenseNet {
    DenseNetConfig { layers: [6, 12, 24, 16], pool_after_stem: true }.init(channels, device)
}

/// Batch norm, ReLU and convolution twice; makes [`GROWTH`] channels.
#[derive(Module, Debug)]
struct DenseLayer {
    norm1: BatchNorm,
    conv1: Conv2d,
    norm2: BatchNorm,
    conv2: Conv2d,
}

impl DenseLayer {
    fn new(channels_in: usize, device: &Device) -> Self {
        let width = BOTTLENECK * GROWTH;
        DenseLayer {
            norm1: BatchNorm::new(channels_in, device),
            conv1: Conv2d::new([channels_in, width], [1, 1], device),
            norm2: BatchNorm::new(width, device),
            conv2: Conv2d::new([width, GROWTH], [3, 3], device).padding([1, 1]),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = self.conv1.forward_norm_relu(self.norm1.forward_relu(input), &self.norm2);
        self.conv2.forward(x)
    }
}

/// Layers each of which sees what all before it made.
#[derive(Module, Debug)]
struct DenseBlock {
    layers: Vec<DenseLayer>,
}

impl DenseBlock {
    fn new(channels_in: usize, layers: usize, device: &Device) -> Self {
        DenseBlock { layers: (0..layers).map(|layer| DenseLayer::new(channels_in + layer * GROWTH, device)).collect() }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.layers.iter().fold(input, |x, layer| {
            let [x, seen] = kernels::branches(x);
            Tensor::cat(vec![x, layer.forward(seen)], 1)
        })
    }
}

/// Halves channels, rows and columns.
#[derive(Module, Debug)]
struct Transition {
    norm: BatchNorm,
    conv: Conv2d,
}

impl Transition {
    fn new(channels_in: usize, device: &Device) -> Self {
        Transition {
            norm: BatchNorm::new(channels_in, device),
            conv: Conv2d::new([channels_in, channels_in / 2], [1, 1], device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        average_pool(self.conv.forward(self.norm.forward_relu(input)), 2, 2, 0)
    }
}

/// The part that torchvision calls `features`.
#[derive(Module, Debug)]
struct Features {
    conv0: Conv2d,
    norm0: BatchNorm,
    denseblock1: DenseBlock,
    transition1: Transition,
    denseblock2: DenseBlock,
    transition2: Transition,
    denseblock3: DenseBlock,
    transition3: Transition,
    denseblock4: DenseBlock,
    norm5: BatchNorm,
}

/// A DenseNet without its classifier.
#[derive(Module, Debug)]
pub struct DenseNet {
    features: Features,
    pool_after_stem: bool,
}

impl DenseNetConfig {
    fn init(&self, channels: usize, device: &Device) -> DenseNet {
        let mut width = STEM_WIDTH;
        let mut block = |number: usize| {
            let block = DenseBlock::new(width, self.layers[number], device);
            let made = width + self.layers[number] * GROWTH;
            width = made / 2;
            (block, made)
        };
        let conv0 = Conv2d::new([channels, STEM_WIDTH], [7, 7], device).stride(2).padding([3, 3]);
        let (denseblock1, width1) = block(0);
        let transition1 = Transition::new(width1, device);
        let (denseblock2, width2) = block(1);
        let transition2 = Transition::new(width2, device);
        let (denseblock3, width3) = block(2);
        let transition3 = Transition::new(width3, device);
        let (denseblock4, width4) = block(3);
        DenseNet {
            features: Features {
                conv0,
                norm0: BatchNorm::new(STEM_WIDTH, device),
                denseblock1,
                transition1,
                denseblock2,
                transition2,
                denseblock3,
                transition3,
                denseblock4,
                norm5: BatchNorm::new(width4, device),
            },
            pool_after_stem: self.pool_after_stem,
        }
    }
}

impl Network for DenseNet {
    const FIRST_CONVOLUTION: &'static str = "features.conv0.weight";
    const TORCHVISION_HEAD: &'static [&'static str] = &["classifier."];

    fn channels(&self) -> usize {
        self.features.conv0.channels_in()
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let net = &self.features;
        let x = max_pool(net.conv0.forward_norm_relu(images, &net.norm0), 3, 2, 1);
        let x = if self.pool_after_stem { max_pool(x, 2, 2, 0) } else { x };
        let x = net.transition1.forward(net.denseblock1.forward(x));
        let x = net.transition2.forward(net.denseblock2.forward(x));
        let x = net.transition3.forward(net.denseblock3.forward(x));
        net.norm5.forward_relu(net.denseblock4.forward(x))
    }

    /// Layers are numbered from one and have no list of their own: `layers.0` is `denselayer1`.
    fn torch_key(path: &str) -> String {
        let Some((block, rest)) = path.split_once(".layers.") else { return path.to_owned() };
        let (layer, parameter) = rest.split_once('.').unwrap_or((rest, ""));
        let number = layer.parse::<usize>().map_or_else(|_| layer.to_owned(), |layer| (layer + 1).to_string());
        format!("{block}.denselayer{number}.{parameter}")
    }

    /// Checkpoints before torchvision 0.2 spell `norm.1` and `conv.2` for `norm1` and `conv2`.
    fn modern_key(key: &str) -> String {
        let spellings =
            [(".norm.1.", ".norm1."), (".norm.2.", ".norm2."), (".conv.1.", ".conv1."), (".conv.2.", ".conv2.")];
        spellings.iter().fold(key.to_owned(), |key, (old, new)| key.replace(old, new))
    }
}
