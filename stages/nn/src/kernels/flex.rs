//! The kernels on the CPU backend's tensors.

use athanor_kernels::conv::{self, Convolution, Epilogue};
use athanor_kernels::elementwise::{self, AdamStep};
use athanor_kernels::norm::{FeatureMaps, Normalisation, NormalisationGradients, Normalised};
use athanor_kernels::pool::{PooledPlanes, Windows};
use athanor_kernels::{InstructionSet, Strided};
use burn::backend::Flex;
use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};

use super::{GradientSum, Kernels};
use crate::devices::instruction_set;

impl Kernels for Flex {
    fn convolve(input: FlexTensor, kernels: FlexTensor, convolution: Convolution) -> FlexTensor {
        let (input, kernels) = (contiguous(&input), contiguous(&kernels));
        let output = conv::forward(set(), &convolution, numbers(&input), numbers(&kernels), None);
        tensor(output, output_shape(&convolution))
    }

    fn normalise(
        input: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        epsilon: f64,
        relu: bool,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let [input, weight, bias] = [input, weight, bias].map(|tensor| contiguous(&tensor));
        let shape = input.layout().shape().clone();
        let normalisation =
            Normalisation { maps: maps(&shape), weight: numbers(&weight), bias: numbers(&bias), epsilon, relu };
        let Normalised { output, mean, variance } = normalisation.with_batch_statistics(set(), numbers(&input));
        let channels = weight.layout().shape().clone();
        (tensor(output, shape), tensor(mean, channels.clone()), tensor(variance, channels))
    }

    fn add_relu(left: FlexTensor, right: FlexTensor) -> FlexTensor {
        let (left, right) = (contiguous(&left), contiguous(&right));
        tensor(elementwise::add_relu(numbers(&left), numbers(&right)), left.layout().shape().clone())
    }

    fn branch(input: FlexTensor, _: GradientSum) -> FlexTensor {
        input
    }

    fn max_pool(input: FlexTensor, windows: Windows) -> FlexTensor {
        let input = contiguous(&input);
        tensor(windows.max(set(), numbers(&input)), with_size(input.layout().shape(), windows.size_out()))
    }

    fn average_pool(input: FlexTensor, windows: Windows) -> FlexTensor {
        let input = contiguous(&input);
        tensor(windows.mean(set(), numbers(&input)), with_size(input.layout().shape(), windows.size_out()))
    }

    fn pool_planes(input: FlexTensor) -> FlexTensor {
        pool_planes(&input).0
    }
}

/// Means and largest numbers of whole planes, and the places of the latter.
pub(crate) fn pool_planes(input: &FlexTensor) -> (FlexTensor, Vec<u32>) {
    let input = contiguous(input);
    let maps = maps(input.layout().shape());
    let PooledPlanes { numbers, places } = PooledPlanes::of(maps, numbers(&input));
    (tensor(numbers, Shape::new([maps.batch, 2 * maps.channels])), places)
}

/// The gradient of the planes, of this shape, given that of their means and largest numbers, and the places of the latter.
pub(crate) fn pool_planes_gradient(shape: &Shape, gradient: &FlexTensor, places: &[u32]) -> FlexTensor {
    let gradient = contiguous(gradient);
    tensor(PooledPlanes::gradient(maps(shape), numbers(&gradient), places), shape.clone())
}

/// The largest number of each window, and its place there.
pub(crate) fn max_pool(input: &FlexTensor, windows: &Windows) -> (FlexTensor, Vec<u8>) {
    let input = contiguous(input);
    let (output, argmax) = windows.max_and_places(set(), numbers(&input));
    (tensor(output, with_size(input.layout().shape(), windows.size_out())), argmax)
}

/// The gradient of the input, given that of the largest numbers of windows, and their places.
pub(crate) fn max_pool_gradient(windows: &Windows, gradient: &FlexTensor, argmax: &[u8]) -> FlexTensor {
    let gradient = contiguous(gradient);
    let input = windows.max_gradient(numbers(&gradient), argmax);
    tensor(input, with_size(gradient.layout().shape(), windows.size))
}

/// The gradient of the input, given that of the means of windows.
pub(crate) fn average_pool_gradient(windows: &Windows, gradient: &FlexTensor) -> FlexTensor {
    let gradient = contiguous(gradient);
    tensor(windows.mean_gradient(set(), numbers(&gradient)), with_size(gradient.layout().shape(), windows.size))
}

/// The gradient of what went into a ReLU, given its output and that one's gradient.
pub(crate) fn relu_gradient(output: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
    let (output, gradient) = (contiguous(output), contiguous(gradient));
    tensor(elementwise::relu_gradient(numbers(&output), numbers(&gradient)), output.layout().shape().clone())
}

/// A parameter and its moments after a step of Adam.
pub(crate) fn adam_step(
    step: AdamStep,
    parameter: FlexTensor,
    gradient: &FlexTensor,
    moments: [FlexTensor; 2],
) -> (FlexTensor, [FlexTensor; 2]) {
    let gradient = contiguous(gradient);
    let (mut parameter, [mut first, mut second]) = (whole(parameter), moments.map(whole));
    step.take(set(), parameter.storage_mut(), numbers(&gradient), [first.storage_mut(), second.storage_mut()]);
    (parameter, [first, second])
}

/// The sum of the squares of a tensor's numbers, `[1]`, and the tensor with its numbers in their order.
pub(crate) fn sum_of_squares(of: FlexTensor) -> (FlexTensor, FlexTensor) {
    let of = whole(of);
    let sum = elementwise::sum_of_squares(set(), numbers(&of));
    (tensor(vec![sum as f32], Shape::new([1])), of)
}

/// A tensor times `factor`.
pub(crate) fn scale(tensor: FlexTensor, factor: f32) -> FlexTensor {
    let mut tensor = whole(tensor);
    elementwise::scale(tensor.storage_mut(), factor);
    tensor
}

/// The sum of two tensors of one shape, in the memory of one of them where that is possible.
pub(crate) fn sum(left: FlexTensor, right: FlexTensor) -> FlexTensor {
    let (into, other) = if is_whole(&left) && left.is_unique() { (left, right) } else { (right, left) };
    let mut into = whole(into);
    strided(&other).add_to(into.storage_mut());
    into
}

/// The same tensor, all of whose memory is its own numbers in their order.
fn whole(of: FlexTensor) -> FlexTensor {
    if is_whole(&of) { of } else { tensor(strided(&of).copied(), of.layout().shape().clone()) }
}

/// A tensor with these numbers, all of whose memory is its own.
fn contiguous(of: &FlexTensor) -> FlexTensor {
    whole(of.clone())
}

fn is_whole(tensor: &FlexTensor) -> bool {
    tensor.is_contiguous() && tensor.bytes().len() == tensor.layout().num_elements() * size_of::<f32>()
}

fn strided(tensor: &FlexTensor) -> Strided<'_> {
    let layout = tensor.layout();
    Strided::new(numbers(tensor), layout.start_offset(), layout.shape(), layout.strides())
}

/// `[batch, channel, rows, columns]` with other rows and columns.
fn with_size(shape: &Shape, [height, width]: [usize; 2]) -> Shape {
    Shape::new([shape[0], shape[1], height, width])
}

/// Elementwise operations at the end of a convolution.
pub(crate) struct TensorEpilogue {
    pub scale: FlexTensor,
    pub shift: FlexTensor,
    pub summand: Option<FlexTensor>,
    pub relu: bool,
}

/// A convolution that is finished.
pub(crate) fn convolve_with_epilogue(
    convolution: &Convolution,
    input: &FlexTensor,
    kernels: &FlexTensor,
    finishing: &TensorEpilogue,
) -> FlexTensor {
    let TensorEpilogue { scale, shift, summand, relu } = finishing;
    let [input, kernels, scale, shift] = [input, kernels, scale, shift].map(contiguous);
    let summand = summand.as_ref().map(contiguous);
    let summand = summand.as_ref().map(numbers);
    let epilogue = Epilogue { scale: numbers(&scale), shift: numbers(&shift), summand, relu: *relu };
    let output = conv::forward(set(), convolution, numbers(&input), numbers(&kernels), Some(&epilogue));
    tensor(output, output_shape(convolution))
}

/// Maps normalised by weights, biases, means and biased variances.
pub(crate) fn normalise_with(input: &FlexTensor, known: &[FlexTensor; 4], epsilon: f64, relu: bool) -> FlexTensor {
    let input = contiguous(input);
    let [weight, bias, mean, variance] = known.each_ref().map(contiguous);
    let shape = input.layout().shape().clone();
    let normalisation =
        Normalisation { maps: maps(&shape), weight: numbers(&weight), bias: numbers(&bias), epsilon, relu };
    tensor(normalisation.with_statistics(set(), numbers(&input), numbers(&mean), numbers(&variance)), shape)
}

/// The gradient of a convolution's input, given that of its result.
pub(crate) fn input_gradient(convolution: &Convolution, gradient: &FlexTensor, kernels: &FlexTensor) -> FlexTensor {
    let (gradient, kernels) = (contiguous(gradient), contiguous(kernels));
    let Convolution { batch, channels_in, size: [height, width], .. } = *convolution;
    let input = conv::input_gradient(set(), convolution, numbers(&gradient), numbers(&kernels));
    tensor(input, Shape::new([batch, channels_in, height, width]))
}

/// The gradient of a convolution's kernels, given that of its result.
pub(crate) fn kernel_gradient(convolution: &Convolution, input: &FlexTensor, gradient: &FlexTensor) -> FlexTensor {
    let (input, gradient) = (contiguous(input), contiguous(gradient));
    let Convolution { channels_in, channels_out, kernel: [rows, columns], .. } = *convolution;
    let kernels = conv::kernel_gradient(set(), convolution, numbers(&input), numbers(&gradient));
    tensor(kernels, Shape::new([channels_out, channels_in, rows, columns]))
}

/// Values of the forward pass from which the gradient of a normalisation is computed.
#[derive(Debug, Clone)]
pub(crate) struct Normalising {
    pub bias: FlexTensor,
    pub mean: FlexTensor,
    pub variance: FlexTensor,
    pub epsilon: f64,
    pub relu: bool,
}

/// The gradients of a normalisation's maps, weights and biases, given that of its result.
pub(crate) fn normalisation_gradients(
    input: &FlexTensor,
    weight: &FlexTensor,
    normalising: &Normalising,
    gradient: &FlexTensor,
) -> [FlexTensor; 3] {
    let Normalising { bias, mean, variance, epsilon, relu } = normalising;
    let [input, weight, bias, gradient] = [input, weight, bias, gradient].map(contiguous);
    let shape = input.layout().shape().clone();
    let normalisation = Normalisation {
        maps: maps(&shape),
        weight: numbers(&weight),
        bias: numbers(&bias),
        epsilon: *epsilon,
        relu: *relu,
    };
    let gradients =
        normalisation.gradients(set(), numbers(&input), numbers(&gradient), [numbers(mean), numbers(variance)]);
    let NormalisationGradients { input, weight: of_weight, bias } = gradients;
    let channels = weight.layout().shape().clone();
    [tensor(input, shape), tensor(of_weight, channels.clone()), tensor(bias, channels)]
}

fn output_shape(convolution: &Convolution) -> Shape {
    let [height, width] = convolution.size_out();
    Shape::new([convolution.batch, convolution.channels_out, height, width])
}

/// The shape `[batch, channel, ..]` with all that follows as one axis.
fn maps(shape: &Shape) -> FeatureMaps {
    FeatureMaps { batch: shape[0], channels: shape[1], area: shape.num_elements() / (shape[0] * shape[1]).max(1) }
}

/// The instruction set that computes; a caller has asked whether the kernels support its tensors.
fn set() -> InstructionSet {
    instruction_set().expect("the kernels support the tensors only where there is one")
}

/// The numbers in a tensor's memory, which are its own where it is whole.
fn numbers(tensor: &FlexTensor) -> &[f32] {
    tensor.storage::<f32>()
}

fn tensor(numbers: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(numbers), Layout::contiguous(shape), DType::F32)
}
