//! The layers that all models are made of, with PyTorch's parameter names, layouts and statistics.
//!
//! Burn's own layers name the parameters of a batch norm differently, store a linear layer's weights transposed, and
//! keep biased running variances. With these a model's parameters are a PyTorch state dict as they are.
//!
//! A layer computes in the type of its input and leaves its parameters in their own: a bfloat16 image makes a model
//! whose parameters are float32 compute in mixed precision, and gradients arrive in float32.

use burn::module::{Flag, Module, Param, RunningState};
use burn::prelude::*;
use burn::tensor::activation::relu;
use burn::tensor::module::{avg_pool2d, batch_norm, batch_norm_train, linear, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};
use burn::tensor::{DType, Distribution};

use crate::kernels::{Epilogue, Geometry};
use crate::{convolution_check, forward_context, kernels};

/// PyTorch's default summand of a variance.
pub const DEFAULT_EPSILON: f64 = 1e-5;

/// A convolution without bias, as a batch norm follows each of them.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in, height, width]`
    weight: Param<Tensor<4>>,
    stride: [usize; 2],
    padding: [usize; 2],
}

impl Conv2d {
    /// A convolution from `channels` `[in, out]` with stride 1 and no padding.
    ///
    /// Weights are drawn as in He et al. 2015, <https://arxiv.org/abs/1502.01852>: normal, with variance
    /// 2 / (in * height * width), which keeps the size of values through a ReLU.
    pub fn new(channels: [usize; 2], kernel: [usize; 2], device: &Device) -> Self {
        let [channels_in, channels_out] = channels;
        let [height, width] = kernel;
        let deviation = (2.0 / (channels_in * height * width) as f64).sqrt();
        let shape = [channels_out, channels_in, height, width];
        let weight = Tensor::random(shape, Distribution::Normal(0.0, deviation), device);
        Conv2d { weight: Param::from_tensor(weight), stride: [1, 1], padding: [0, 0] }
    }

    /// The same with another stride, for both axes.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Self {
        self.stride = [stride, stride];
        self
    }

    /// The same with zeros around the image: rows above and below, columns left and right.
    #[must_use]
    pub fn padding(mut self, padding: [usize; 2]) -> Self {
        self.padding = padding;
        self
    }

    /// Channels of its input.
    pub fn channels_in(&self) -> usize {
        self.weight.dims()[1]
    }

    /// `[batch, in, height, width]` to `[batch, out, height', width']`.
    pub fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let weight = self.weight.val().cast(input.dtype());
        if kernels::supports(&input) {
            return kernels::convolve(input, weight, self.geometry());
        }
        convolution_check::check(&input, &weight, self.geometry());
        convolution_check::convolve(input, weight, self.geometry())
    }

    /// The same, then a batch norm.
    pub fn forward_norm(&self, input: Tensor<4>, norm: &BatchNorm) -> Tensor<4> {
        if self.can_fuse(&input, norm) {
            return self.forward_with_epilogue(input, norm, None, false);
        }
        norm.forward(self.forward(input))
    }

    /// The same, then a batch norm and a ReLU.
    pub fn forward_norm_relu(&self, input: Tensor<4>, norm: &BatchNorm) -> Tensor<4> {
        if self.can_fuse(&input, norm) {
            return self.forward_with_epilogue(input, norm, None, true);
        }
        norm.forward_relu(self.forward(input))
    }

    /// The same, then a batch norm, a sum with `summand` and a ReLU.
    pub fn forward_norm_add_relu(&self, input: Tensor<4>, norm: &BatchNorm, summand: Tensor<4>) -> Tensor<4> {
        if self.can_fuse(&input, norm) {
            return self.forward_with_epilogue(input, norm, Some(summand), true);
        }
        let output = norm.forward(self.forward(input));
        if kernels::supports(&output) { kernels::add_relu(output, summand) } else { relu(output + summand) }
    }

    fn geometry(&self) -> Geometry {
        Geometry { stride: self.stride, padding: self.padding }
    }

    /// Whether the operations after the convolution can be fused with it.
    fn can_fuse(&self, input: &Tensor<4>, norm: &BatchNorm) -> bool {
        kernels::supports(input) && norm.kind() == DType::F32 && !input.device().is_autodiff()
    }

    fn forward_with_epilogue(
        &self,
        input: Tensor<4>,
        norm: &BatchNorm,
        summand: Option<Tensor<4>>,
        relu: bool,
    ) -> Tensor<4> {
        let [scale, shift] = norm.affine(&input.device());
        let epilogue = Epilogue { scale, shift, summand, relu };
        kernels::convolve_with_epilogue(input, self.weight.val(), self.geometry(), epilogue)
    }
}

/// Batch normalisation (Ioffe and Szegedy, <https://arxiv.org/abs/1502.03167>) over all axes but the second.
///
/// It uses the batch's statistics, and updates the running ones, where its input can be differentiated and it is not
/// frozen; else the running ones. In a training pass ([`forward_context::training_pass`]) the update is left to the
/// training loop.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channel]`.
    weight: Param<Tensor<1>>,
    /// Shift, `[channel]`.
    bias: Param<Tensor<1>>,
    running_mean: RunningState<Tensor<1>>,
    running_var: RunningState<Tensor<1>>,
    training: Param<Flag>,
    epsilon: f64,
}

impl BatchNorm {
    /// Scale one, shift zero; running mean zero, running variance one.
    pub fn new(channels: usize, device: &Device) -> Self {
        BatchNorm {
            weight: Param::from_tensor(Tensor::ones([channels], device)),
            bias: Param::from_tensor(Tensor::zeros([channels], device)),
            running_mean: RunningState::new(Tensor::zeros([channels], device)),
            running_var: RunningState::new(Tensor::ones([channels], device)),
            training: Param::from_bool(true),
            epsilon: DEFAULT_EPSILON,
        }
    }

    /// The same with another number added to variances.
    #[must_use]
    pub fn epsilon(mut self, epsilon: f64) -> Self {
        self.epsilon = epsilon;
        self
    }

    /// The type of its parameters, in which it computes whatever its input is of.
    pub fn kind(&self) -> DType {
        self.weight.val().dtype()
    }

    /// `[batch, channel, ..]` to the same shape and type.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.normalise(input, false)
    }

    /// The same, then a ReLU.
    pub fn forward_relu<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        self.normalise(input, true)
    }

    fn normalise<const D: usize>(&self, input: Tensor<D>, with_relu: bool) -> Tensor<D> {
        if input.device().is_autodiff() && self.training.is_enabled() {
            return self.with_batch_statistics(input, with_relu);
        }
        let kind = input.dtype();
        self.with_running_statistics(input.cast(self.kind()), with_relu).cast(kind)
    }

    fn with_running_statistics<const D: usize>(&self, input: Tensor<D>, with_relu: bool) -> Tensor<D> {
        let [mean, variance] = self.running_statistics(&input.device());
        if kernels::supports(&input) && !input.device().is_autodiff() {
            let known = [self.weight.val(), self.bias.val(), mean, variance];
            return kernels::normalise_with(input, known, self.epsilon, with_relu);
        }
        let output = batch_norm(input, self.weight.val(), self.bias.val(), mean, variance, self.epsilon);
        if with_relu { relu(output) } else { output }
    }

    fn with_batch_statistics<const D: usize>(&self, input: Tensor<D>, with_relu: bool) -> Tensor<D> {
        let values_a_channel = input.shape().num_elements() / input.dims()[1];
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let (output, mean, variance) = if input.dtype() != self.kind() {
            kernels::normalise_mixed(input, weight, bias, self.epsilon, with_relu)
        } else if kernels::supports(&input) {
            kernels::normalise(input, weight, bias, self.epsilon, with_relu)
        } else {
            let result = batch_norm_train(input, weight, bias, self.epsilon);
            (if with_relu { relu(result.output) } else { result.output }, result.mean, result.variance)
        };
        let (mean, variance) = (mean.detach(), variance.detach() * bessel(values_a_channel));
        if let Some([mean, variance]) = forward_context::record_statistics(self.weight.id, mean, variance) {
            update_running(&self.running_mean, mean);
            update_running(&self.running_var, variance);
        }
        output
    }

    /// Running mean and variance.
    fn running_statistics(&self, device: &Device) -> [Tensor<1>; 2] {
        [&self.running_mean, &self.running_var].map(|running| running.value_sync().to_device(device))
    }

    /// Factor and summand of each channel, by the running statistics.
    fn affine(&self, device: &Device) -> [Tensor<1>; 2] {
        let [mean, variance] = self.running_statistics(device);
        let scale = self.weight.val() / (variance + self.epsilon).sqrt();
        let shift = self.bias.val() - mean * scale.clone();
        [scale, shift]
    }
}

/// Moves a running statistic towards that of a batch.
fn update_running(running: &RunningState<Tensor<1>>, of_batch: Tensor<1>) {
    let old = running.value_sync().to_device(&of_batch.device());
    running.update(forward_context::exponential_average(old, of_batch).detach());
}

/// Bessel's correction, which makes the variance of `count` values an unbiased estimate.
fn bessel(count: usize) -> f64 {
    count as f64 / count.saturating_sub(1).max(1) as f64
}

/// A fully connected layer.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[out, in]`
    weight: Param<Tensor<2>>,
    /// `[out]`
    bias: Param<Tensor<1>>,
}

impl Linear {
    /// A layer from `features` `[in, out]`; weights and biases uniform within 1 / sqrt(in), as PyTorch draws them.
    pub fn new(features: [usize; 2], device: &Device) -> Self {
        let [features_in, features_out] = features;
        let uniform = uniform_within(1.0 / (features_in as f64).sqrt());
        Linear {
            weight: Param::from_tensor(Tensor::random([features_out, features_in], uniform, device)),
            bias: Param::from_tensor(Tensor::random([features_out], uniform, device)),
        }
    }

    /// Length of its output.
    pub fn features_out(&self) -> usize {
        self.bias.dims()[0]
    }

    /// `[batch, in]` to `[batch, out]`.
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let kind = input.dtype();
        let weight = self.weight.val().transpose().cast(kind);
        linear(input, weight, Some(self.bias.val().cast(kind)))
    }
}

/// Uniform from `-bound` to `bound`.
pub fn uniform_within(bound: f64) -> Distribution {
    Distribution::Uniform(-bound, bound)
}

/// Max pooling: the largest value of each `kernel` x `kernel` window; padding is never the largest.
pub fn max_pool(input: Tensor<4>, kernel: usize, stride: usize, padding: usize) -> Tensor<4> {
    if kernels::supports(&input) {
        return kernels::max_pool(input, kernel, stride, padding);
    }
    let options = MaxPoolOptions::new([kernel, kernel]).with_stride([stride, stride]).with_padding([padding, padding]);
    max_pool2d(input, options)
}

/// Average pooling: the mean of each `kernel` x `kernel` window; padding counts as zeros.
pub fn average_pool(input: Tensor<4>, kernel: usize, stride: usize, padding: usize) -> Tensor<4> {
    if kernels::supports(&input) {
        return kernels::average_pool(input, kernel, stride, padding);
    }
    let options = AvgPoolOptions::new([kernel, kernel]).with_stride([stride, stride]).with_padding([padding, padding]);
    avg_pool2d(input, options)
}
