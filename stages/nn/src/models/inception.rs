//! Inception v3, "Rethinking the Inception Architecture for Computer Vision", Szegedy et al. 2015,
//! <https://arxiv.org/abs/1512.00567>.
//!
//! Follows torchvision's `inception.py`: parameters have the names and layouts of its state dicts. There is no
//! auxiliary head, and images are taken as they come: no input transform. Any number of input channels, at least 75
//! pixels a side. Provides [`inceptionv3`].

use burn::module::Module;
use burn::prelude::*;

use super::Network;
use crate::kernels;
use crate::layers::{BatchNorm, Conv2d, average_pool, max_pool};

/// Summand of variances in this architecture's batch norms.
const EPSILON: f64 = 1e-3;

/// Inception v3, 2048 channels wide.
pub(crate) fn inceptionv3(channels: usize, device: &Device) -> InceptionV3 {
    InceptionV3::new(channels, device)
}

/// Convolution, batch norm, ReLU.
#[derive(Module, Debug)]
struct BasicConv2d {
    conv: Conv2d,
    bn: BatchNorm,
}

impl BasicConv2d {
    fn new(channels: [usize; 2], kernel: [usize; 2], device: &Device) -> Self {
        let bn = BatchNorm::new(channels[1], device).epsilon(EPSILON);
        BasicConv2d { conv: Conv2d::new(channels, kernel, device), bn }
    }

    fn stride(self, stride: usize) -> Self {
        BasicConv2d { conv: self.conv.stride(stride), bn: self.bn }
    }

    fn padding(self, padding: [usize; 2]) -> Self {
        BasicConv2d { conv: self.conv.padding(padding), bn: self.bn }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        self.conv.forward_norm_relu(input, &self.bn)
    }
}

fn conv1x1(channels: [usize; 2], device: &Device) -> BasicConv2d {
    BasicConv2d::new(channels, [1, 1], device)
}

/// 3x3, rows and columns kept.
fn conv3x3(channels: [usize; 2], device: &Device) -> BasicConv2d {
    BasicConv2d::new(channels, [3, 3], device).padding([1, 1])
}

/// One row of `length`, rows and columns kept.
fn row(channels: [usize; 2], length: usize, device: &Device) -> BasicConv2d {
    BasicConv2d::new(channels, [1, length], device).padding([0, length / 2])
}

/// One column of `length`, rows and columns kept.
fn column(channels: [usize; 2], length: usize, device: &Device) -> BasicConv2d {
    BasicConv2d::new(channels, [length, 1], device).padding([length / 2, 0])
}

/// 3x3 of stride 2: halves rows and columns.
fn halving(channels: [usize; 2], device: &Device) -> BasicConv2d {
    BasicConv2d::new(channels, [3, 3], device).stride(2)
}

/// One convolution after the other.
fn chain(input: Tensor<4>, convolutions: &[&BasicConv2d]) -> Tensor<4> {
    convolutions.iter().fold(input, |x, conv| conv.forward(x))
}

/// The mean of each pixel's surroundings.
fn pooled(input: Tensor<4>) -> Tensor<4> {
    average_pool(input, 3, 1, 1)
}

/// 35x35 (figure 5 of the paper): 224 channels and those of `branch_pool`.
#[derive(Module, Debug)]
struct InceptionA {
    branch1x1: BasicConv2d,
    branch5x5_1: BasicConv2d,
    branch5x5_2: BasicConv2d,
    branch3x3dbl_1: BasicConv2d,
    branch3x3dbl_2: BasicConv2d,
    branch3x3dbl_3: BasicConv2d,
    branch_pool: BasicConv2d,
}

impl InceptionA {
    fn new(channels_in: usize, pool_channels: usize, device: &Device) -> Self {
        InceptionA {
            branch1x1: conv1x1([channels_in, 64], device),
            branch5x5_1: conv1x1([channels_in, 48], device),
            branch5x5_2: BasicConv2d::new([48, 64], [5, 5], device).padding([2, 2]),
            branch3x3dbl_1: conv1x1([channels_in, 64], device),
            branch3x3dbl_2: conv3x3([64, 96], device),
            branch3x3dbl_3: conv3x3([96, 96], device),
            branch_pool: conv1x1([channels_in, pool_channels], device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [one, five, three, pool] = kernels::branches(input);
        let branches = vec![
            self.branch1x1.forward(one),
            chain(five, &[&self.branch5x5_1, &self.branch5x5_2]),
            chain(three, &[&self.branch3x3dbl_1, &self.branch3x3dbl_2, &self.branch3x3dbl_3]),
            self.branch_pool.forward(pooled(pool)),
        ];
        Tensor::cat(branches, 1)
    }
}

/// From 35x35 to 17x17: 480 channels more.
#[derive(Module, Debug)]
struct InceptionB {
    branch3x3: BasicConv2d,
    branch3x3dbl_1: BasicConv2d,
    branch3x3dbl_2: BasicConv2d,
    branch3x3dbl_3: BasicConv2d,
}

impl InceptionB {
    fn new(channels_in: usize, device: &Device) -> Self {
        InceptionB {
            branch3x3: halving([channels_in, 384], device),
            branch3x3dbl_1: conv1x1([channels_in, 64], device),
            branch3x3dbl_2: conv3x3([64, 96], device),
            branch3x3dbl_3: halving([96, 96], device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [single, double, pool] = kernels::branches(input);
        let branches = vec![
            self.branch3x3.forward(single),
            chain(double, &[&self.branch3x3dbl_1, &self.branch3x3dbl_2, &self.branch3x3dbl_3]),
            max_pool(pool, 3, 2, 0),
        ];
        Tensor::cat(branches, 1)
    }
}

/// 17x17 (figure 6): 768 channels; `width` within the 7x7 branches.
#[derive(Module, Debug)]
struct InceptionC {
    branch1x1: BasicConv2d,
    branch7x7_1: BasicConv2d,
    branch7x7_2: BasicConv2d,
    branch7x7_3: BasicConv2d,
    branch7x7dbl_1: BasicConv2d,
    branch7x7dbl_2: BasicConv2d,
    branch7x7dbl_3: BasicConv2d,
    branch7x7dbl_4: BasicConv2d,
    branch7x7dbl_5: BasicConv2d,
    branch_pool: BasicConv2d,
}

impl InceptionC {
    fn new(width: usize, device: &Device) -> Self {
        InceptionC {
            branch1x1: conv1x1([768, 192], device),
            branch7x7_1: conv1x1([768, width], device),
            branch7x7_2: row([width, width], 7, device),
            branch7x7_3: column([width, 192], 7, device),
            branch7x7dbl_1: conv1x1([768, width], device),
            branch7x7dbl_2: column([width, width], 7, device),
            branch7x7dbl_3: row([width, width], 7, device),
            branch7x7dbl_4: column([width, width], 7, device),
            branch7x7dbl_5: row([width, 192], 7, device),
            branch_pool: conv1x1([768, 192], device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let double = [
            &self.branch7x7dbl_1,
            &self.branch7x7dbl_2,
            &self.branch7x7dbl_3,
            &self.branch7x7dbl_4,
            &self.branch7x7dbl_5,
        ];
        let [one, seven, twice, pool] = kernels::branches(input);
        let branches = vec![
            self.branch1x1.forward(one),
            chain(seven, &[&self.branch7x7_1, &self.branch7x7_2, &self.branch7x7_3]),
            chain(twice, &double),
            self.branch_pool.forward(pooled(pool)),
        ];
        Tensor::cat(branches, 1)
    }
}

/// From 17x17 to 8x8: from 768 to 1280 channels.
#[derive(Module, Debug)]
struct InceptionD {
    branch3x3_1: BasicConv2d,
    branch3x3_2: BasicConv2d,
    branch7x7x3_1: BasicConv2d,
    branch7x7x3_2: BasicConv2d,
    branch7x7x3_3: BasicConv2d,
    branch7x7x3_4: BasicConv2d,
}

impl InceptionD {
    fn new(device: &Device) -> Self {
        InceptionD {
            branch3x3_1: conv1x1([768, 192], device),
            branch3x3_2: halving([192, 320], device),
            branch7x7x3_1: conv1x1([768, 192], device),
            branch7x7x3_2: row([192, 192], 7, device),
            branch7x7x3_3: column([192, 192], 7, device),
            branch7x7x3_4: halving([192, 192], device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let seven = [&self.branch7x7x3_1, &self.branch7x7x3_2, &self.branch7x7x3_3, &self.branch7x7x3_4];
        let [three, row_and_column, pool] = kernels::branches(input);
        let branches = vec![
            chain(three, &[&self.branch3x3_1, &self.branch3x3_2]),
            chain(row_and_column, &seven),
            max_pool(pool, 3, 2, 0),
        ];
        Tensor::cat(branches, 1)
    }
}

/// 8x8 (figure 7): 2048 channels; 3x3 branches end in a row and a column side by side.
#[derive(Module, Debug)]
struct InceptionE {
    branch1x1: BasicConv2d,
    branch3x3_1: BasicConv2d,
    branch3x3_2a: BasicConv2d,
    branch3x3_2b: BasicConv2d,
    branch3x3dbl_1: BasicConv2d,
    branch3x3dbl_2: BasicConv2d,
    branch3x3dbl_3a: BasicConv2d,
    branch3x3dbl_3b: BasicConv2d,
    branch_pool: BasicConv2d,
}

impl InceptionE {
    fn new(channels_in: usize, device: &Device) -> Self {
        InceptionE {
            branch1x1: conv1x1([channels_in, 320], device),
            branch3x3_1: conv1x1([channels_in, 384], device),
            branch3x3_2a: row([384, 384], 3, device),
            branch3x3_2b: column([384, 384], 3, device),
            branch3x3dbl_1: conv1x1([channels_in, 448], device),
            branch3x3dbl_2: conv3x3([448, 384], device),
            branch3x3dbl_3a: row([384, 384], 3, device),
            branch3x3dbl_3b: column([384, 384], 3, device),
            branch_pool: conv1x1([channels_in, 192], device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let [one, single, double, pool] = kernels::branches(input);
        let [single_row, single_column] = kernels::branches(self.branch3x3_1.forward(single));
        let [double_row, double_column] =
            kernels::branches(chain(double, &[&self.branch3x3dbl_1, &self.branch3x3dbl_2]));
        let branches = vec![
            self.branch1x1.forward(one),
            self.branch3x3_2a.forward(single_row),
            self.branch3x3_2b.forward(single_column),
            self.branch3x3dbl_3a.forward(double_row),
            self.branch3x3dbl_3b.forward(double_column),
            self.branch_pool.forward(pooled(pool)),
        ];
        Tensor::cat(branches, 1)
    }
}

/// Inception v3 without its classifier. Names are torchvision's in small letters.
#[derive(Module, Debug)]
pub struct InceptionV3 {
    conv2d_1a_3x3: BasicConv2d,
    conv2d_2a_3x3: BasicConv2d,
    conv2d_2b_3x3: BasicConv2d,
    conv2d_3b_1x1: BasicConv2d,
    conv2d_4a_3x3: BasicConv2d,
    mixed_5b: InceptionA,
    mixed_5c: InceptionA,
    mixed_5d: InceptionA,
    mixed_6a: InceptionB,
    mixed_6b: InceptionC,
    mixed_6c: InceptionC,
    mixed_6d: InceptionC,
    mixed_6e: InceptionC,
    mixed_7a: InceptionD,
    mixed_7b: InceptionE,
    mixed_7c: InceptionE,
}

impl InceptionV3 {
    fn new(channels: usize, device: &Device) -> Self {
        InceptionV3 {
            conv2d_1a_3x3: halving([channels, 32], device),
            conv2d_2a_3x3: BasicConv2d::new([32, 32], [3, 3], device),
            conv2d_2b_3x3: conv3x3([32, 64], device),
            conv2d_3b_1x1: conv1x1([64, 80], device),
            conv2d_4a_3x3: BasicConv2d::new([80, 192], [3, 3], device),
            mixed_5b: InceptionA::new(192, 32, device),
            mixed_5c: InceptionA::new(256, 64, device),
            mixed_5d: InceptionA::new(288, 64, device),
            mixed_6a: InceptionB::new(288, device),
            mixed_6b: InceptionC::new(128, device),
            mixed_6c: InceptionC::new(160, device),
            mixed_6d: InceptionC::new(160, device),
            mixed_6e: InceptionC::new(192, device),
            mixed_7a: InceptionD::new(device),
            mixed_7b: InceptionE::new(1280, device),
            mixed_7c: InceptionE::new(2048, device),
        }
    }
}

impl Network for InceptionV3 {
    const FIRST_CONVOLUTION: &'static str = "Conv2d_1a_3x3.conv.weight";
    const TORCHVISION_HEAD: &'static [&'static str] = &["fc.", "AuxLogits."];

    fn channels(&self) -> usize {
        self.conv2d_1a_3x3.conv.channels_in()
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let x = chain(images, &[&self.conv2d_1a_3x3, &self.conv2d_2a_3x3, &self.conv2d_2b_3x3]);
        let x = max_pool(x, 3, 2, 0);
        let x = chain(x, &[&self.conv2d_3b_1x1, &self.conv2d_4a_3x3]);
        let x = max_pool(x, 3, 2, 0);
        let x = self.mixed_5d.forward(self.mixed_5c.forward(self.mixed_5b.forward(x)));
        let x = self.mixed_6a.forward(x);
        let x = [&self.mixed_6b, &self.mixed_6c, &self.mixed_6d, &self.mixed_6e]
            .iter()
            .fold(x, |x, mixed| mixed.forward(x));
        let x = self.mixed_7a.forward(x);
        self.mixed_7c.forward(self.mixed_7b.forward(x))
    }

    /// torchvision writes the names of the outermost parts with a capital.
    fn torch_key(path: &str) -> String {
        let mut letters = path.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
    }
}
