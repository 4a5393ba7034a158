//! Our kernels in the place of Burn's, for float32 on a CPU that [`athanor_kernels`] supports (AVX-512, AVX2, NEON);
//! elsewhere Burn's own.
//!
//! They are extensions of Burn's CPU backend, with gradients of their own for its automatic differentiation.

mod autodiff;
mod flex;
mod gradient_sum;
mod mixed_norm;

use athanor_kernels::conv::Convolution;
pub(crate) use athanor_kernels::elementwise::AdamStep;
use athanor_kernels::pool::Windows;
use burn::backend::flex::FlexTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension, tensor::FloatTensor};
use burn::prelude::*;
use burn::tensor::DType;
use gradient_sum::GradientSum;
pub(crate) use mixed_norm::normalise_mixed;

use crate::devices::{instruction_set, is_cpu};

/// Operations of Burn's CPU backend beyond Burn's own.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait Kernels: Backend {
    /// The convolution of images with kernels.
    fn convolve(input: FloatTensor<Self>, kernels: FloatTensor<Self>, convolution: Convolution) -> FloatTensor<Self>;

    /// Batch normalisation, with or without a ReLU at the end: maps, means, biased variances. Only the maps have
    /// gradients.
    fn normalise(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The sum of two tensors of one shape, then a ReLU.
    fn add_relu(left: FloatTensor<Self>, right: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The same tensor, for one of several uses, whose gradients meet in `sum`.
    fn branch(input: FloatTensor<Self>, sum: GradientSum) -> FloatTensor<Self>;

    /// Max pooling.
    fn max_pool(input: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self>;

    /// Average pooling.
    fn average_pool(input: FloatTensor<Self>, windows: Windows) -> FloatTensor<Self>;

    /// Means and largest numbers of whole planes: `[batch, channel, row, column]` to `[batch, 2 * channel]`.
    fn pool_planes(input: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Stride and padding of a convolution: rows, then columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    pub(crate) stride: [usize; 2],
    pub(crate) padding: [usize; 2],
}

/// Elementwise operations at the end of a convolution: an affine map of each channel, a sum, a ReLU.
pub(crate) struct Epilogue {
    pub(crate) scale: Tensor<1>,
    pub(crate) shift: Tensor<1>,
    pub(crate) summand: Option<Tensor<4>>,
    pub(crate) relu: bool,
}

/// Whether the kernels here take tensors like this one.
pub(crate) fn supports<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && is_cpu(&tensor.device()) && instruction_set().is_some()
}

/// The convolution of images `[batch, in, row, column]` with kernels `[out, in, row, column]`.
pub(crate) fn convolve(input: Tensor<4>, kernels: Tensor<4>, geometry: Geometry) -> Tensor<4> {
    let convolution = convolution(&input, &kernels, geometry);
    Tensor::from_dispatch(<Dispatch as Kernels>::convolve(input.into_dispatch(), kernels.into_dispatch(), convolution))
}

/// A convolution whose channels are scaled and shifted, to which a summand may be added, with or without a ReLU at the
/// end.
///
/// [`supports`] must hold for the tensors, and their device must not be an automatically differentiated one.
pub(crate) fn convolve_with_epilogue(
    input: Tensor<4>,
    kernels: Tensor<4>,
    geometry: Geometry,
    epilogue: Epilogue,
) -> Tensor<4> {
    let convolution = convolution(&input, &kernels, geometry);
    let Epilogue { scale, shift, summand, relu } = epilogue;
    let epilogue = flex::TensorEpilogue { scale: plain(scale), shift: plain(shift), summand: summand.map(plain), relu };
    Tensor::from_primitive::<Flex>(flex::convolve_with_epilogue(
        &convolution,
        &plain(input),
        &plain(kernels),
        &epilogue,
    ))
}

/// Maps `[batch, channel, ..]` normalised by their own statistics, and these: means and biased variances `[channel]`.
pub(crate) fn normalise<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    relu: bool,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let (weight, bias) = (weight.into_dispatch(), bias.into_dispatch());
    let (output, mean, variance) = <Dispatch as Kernels>::normalise(input.into_dispatch(), weight, bias, epsilon, relu);
    (Tensor::from_dispatch(output), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

/// Maps `[batch, channel, ..]` normalised by weights, biases, means and biased variances `[channel]`.
///
/// [`supports`] must hold for the tensors, and their device must not be an automatically differentiated one.
pub(crate) fn normalise_with<const D: usize>(
    input: Tensor<D>,
    known: [Tensor<1>; 4],
    epsilon: f64,
    relu: bool,
) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(flex::normalise_with(&plain(input), &known.map(plain), epsilon, relu))
}

/// The sum of two tensors of one shape, then a ReLU.
pub(crate) fn add_relu(left: Tensor<4>, right: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(<Dispatch as Kernels>::add_relu(left.into_dispatch(), right.into_dispatch()))
}

/// Images `[batch, channel, row, column]` for `N` uses, all of which must take part in the result that gradients are of.
///
/// The gradients of the uses are added up here, by all threads, and parts of others where they lie: Burn adds numbers that lie among
/// others one by one.
pub(crate) fn branches<const N: usize>(images: Tensor<4>) -> [Tensor<4>; N] {
    if !supports(&images) {
        return std::array::from_fn(|_| images.clone());
    }
    let sum = GradientSum::of(N);
    std::array::from_fn(|_| {
        Tensor::from_dispatch(<Dispatch as Kernels>::branch(images.clone().into_dispatch(), sum.clone()))
    })
}

/// The maximum of each `window` x `window` window of images; padding is never the maximum.
pub(crate) fn max_pool(input: Tensor<4>, window: usize, stride: usize, padding: usize) -> Tensor<4> {
    let windows = windows(&input, window, stride, padding);
    Tensor::from_dispatch(<Dispatch as Kernels>::max_pool(input.into_dispatch(), windows))
}

/// The mean of each `window` x `window` window of images; padding counts as zero.
pub(crate) fn average_pool(input: Tensor<4>, window: usize, stride: usize, padding: usize) -> Tensor<4> {
    let windows = windows(&input, window, stride, padding);
    Tensor::from_dispatch(<Dispatch as Kernels>::average_pool(input.into_dispatch(), windows))
}

/// The mean of each plane of an image, then the maximum of each: `[batch, channel, row, column]` to `[batch, 2 * channel]`.
pub(crate) fn pool_planes(input: Tensor<4>) -> Tensor<2> {
    Tensor::from_dispatch(<Dispatch as Kernels>::pool_planes(input.into_dispatch()))
}

fn windows(input: &Tensor<4>, window: usize, stride: usize, padding: usize) -> Windows {
    let [_, _, height, width] = input.dims();
    Windows { size: [height, width], window, stride, padding }
}

/// A parameter and its moments after a step of Adam.
///
/// [`supports`] must hold for the tensors, and their device must not be an automatically differentiated one.
pub(crate) fn adam_step<const D: usize>(
    step: AdamStep,
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    moments: [Tensor<D>; 2],
) -> (Tensor<D>, [Tensor<D>; 2]) {
    let (parameter, moments) = flex::adam_step(step, plain(parameter), &plain(gradient), moments.map(plain));
    (Tensor::from_primitive::<Flex>(parameter), moments.map(Tensor::from_primitive::<Flex>))
}

/// The sum of the squares of a tensor's numbers, `[1]`, and the tensor with its numbers in the order of their indices, which other
/// operations need not put them into.
///
/// [`supports`] must hold for the tensor, and its device must not be an automatically differentiated one.
pub(crate) fn sum_of_squares<const D: usize>(tensor: Tensor<D>) -> (Tensor<1>, Tensor<D>) {
    let (sum, tensor) = flex::sum_of_squares(plain(tensor));
    (Tensor::from_primitive::<Flex>(sum), Tensor::from_primitive::<Flex>(tensor))
}

/// A tensor times `factor`.
///
/// [`supports`] must hold for the tensor, and its device must not be an automatically differentiated one.
pub(crate) fn scale<const D: usize>(tensor: Tensor<D>, factor: f32) -> Tensor<D> {
    Tensor::from_primitive::<Flex>(flex::scale(plain(tensor), factor))
}

/// The CPU backend's own tensor.
fn plain<const D: usize>(tensor: Tensor<D>) -> FlexTensor {
    tensor.try_into_primitive::<Flex>().expect("a tensor of the CPU that is not differentiated")
}

fn convolution(input: &Tensor<4>, kernels: &Tensor<4>, geometry: Geometry) -> Convolution {
    let Geometry { stride, padding } = geometry;
    let ([batch, channels_in, height, width], [channels_out, _, rows, columns]) = (input.dims(), kernels.dims());
    Convolution { batch, channels_in, size: [height, width], channels_out, kernel: [rows, columns], stride, padding }
}
