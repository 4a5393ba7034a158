//! Single operations, with their gradients, on the device that is held against golden values: against the CPU in float64.

use athanor_nn::devices::computes_in_float64;
use athanor_nn::golden::formula::tensor;
use athanor_nn::layers::{average_pool, max_pool};
use burn::prelude::*;
use burn::tensor::DType;
use burn::tensor::activation::{log_sigmoid, log_softmax, relu};
use burn::tensor::module::{batch_norm_train, conv2d, linear};
use burn::tensor::ops::ConvOptions;

use crate::{device, is_gpu};

/// Largest difference, as a share of the largest value.
const DOUBLE: f64 = 1e-9;
const SINGLE: f64 = 1e-5;
/// Factors may be rounded to eleven bits there.
const SINGLE_ON_GPU: f64 = 5e-3;

/// `[image, channel, row, column]`.
const SHAPE: [usize; 4] = [3, 8, 13, 11];

type Operation = fn(Tensor<4>) -> Tensor<4>;

const OPERATIONS: [(&str, Operation); 16] = [
    ("a sum of products", |x| x.clone() * x.clone() + x.exp() / 3.0),
    ("a mean by rows", |x| x.mean_dim(2)),
    ("a ReLU", relu),
    ("a logarithm of a sigmoid", |x| log_sigmoid(x * 100.0)),
    ("a logarithm of a softmax", |x| log_softmax(x, 1)),
    ("a 1x1 convolution", |x| convolution(x, [16, 8, 1, 1], 1, [0, 0])),
    ("a 3x3 convolution", |x| convolution(x, [16, 8, 3, 3], 1, [1, 1])),
    ("a 3x3 convolution by steps of two", |x| convolution(x, [5, 8, 3, 3], 2, [1, 1])),
    ("a 7x7 convolution by steps of two", |x| convolution(x, [6, 8, 7, 7], 2, [3, 3])),
    ("a convolution of rows", |x| convolution(x, [16, 8, 1, 7], 1, [0, 3])),
    ("a batch norm", |x| {
        let [scale, shift] = ["scale", "shift"].map(|name| named(name, [8], &x));
        batch_norm_train(x, scale, shift, 1e-5).output
    }),
    ("a maximum of windows", |x| max_pool(x, 3, 2, 1)),
    ("a mean of windows", |x| average_pool(x, 3, 1, 1)),
    ("a linear layer", |x| {
        let (weight, bias) = (named("weight", [11, 7], &x), named("bias", [7], &x));
        linear(x.flatten::<2>(0, 2), weight, Some(bias)).reshape([3, 8, 13, 7])
    }),
    ("a sort and its running sums", |x| x.sort_descending(3).cumsum(3)),
    ("parts, put together again", |x| {
        let parts = [x.clone().slice([0..3, 2..8]), x.slice([0..3, 0..2])];
        Tensor::cat(parts.into(), 1)
    }),
];

fn convolution(x: Tensor<4>, kernels: [usize; 4], stride: usize, padding: [usize; 2]) -> Tensor<4> {
    let kernels = named("kernels", kernels, &x);
    conv2d(x, kernels, None, ConvOptions::new([stride, stride], padding, [1, 1], 1))
}

/// Noise of the type and on the device of a tensor.
fn named<const D: usize>(name: &str, shape: [usize; D], like: &Tensor<4>) -> Tensor<D> {
    tensor(name, shape, &like.device()).cast(like.dtype())
}

/// Output and gradient of an operation.
fn run(operation: Operation, dtype: DType, device: &Device) -> [TensorData; 2] {
    let device = device.clone().autodiff();
    let x = tensor("operand", SHAPE, &device).cast(dtype).detach().require_grad();
    let output = operation(x.clone());
    let direction = named("direction", output.dims(), &output);
    let gradients = (output.clone() * direction).sum().backward();
    [output.into_data(), x.grad(&gradients).expect("it depends on the operand").into_data()]
}

/// The largest difference, as a share of the largest value; NaN if any is.
fn difference(ours: &TensorData, theirs: &TensorData) -> f64 {
    assert_eq!(ours.shape(), theirs.shape());
    let largest = theirs.iter::<f64>().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    let differences =
        ours.iter::<f64>().zip(theirs.iter::<f64>()).map(|(ours, theirs)| (ours - theirs).abs() / largest);
    differences.fold(0.0, |most: f64, next| if next <= most || most.is_nan() { most } else { next })
}

#[test]
fn operations_and_their_gradients_are_those_of_the_cpu_in_float64() {
    let single = if is_gpu() { SINGLE_ON_GPU } else { SINGLE };
    let types = [(DType::F32, single), (DType::F64, DOUBLE)];
    let supported = |(dtype, _): &(DType, f64)| *dtype == DType::F32 || computes_in_float64(&device());
    let mut wrong = Vec::new();
    for (name, operation) in OPERATIONS {
        let theirs = run(operation, DType::F64, &Device::flex());
        for (dtype, tolerance) in types.into_iter().filter(supported) {
            let ours = run(operation, dtype, &device());
            for (what, ours, theirs) in [("output", &ours[0], &theirs[0]), ("gradient", &ours[1], &theirs[1])] {
                let difference = difference(ours, theirs);
                let agrees = difference <= tolerance;
                if !agrees {
                    wrong.push(format!("{name} in {dtype:?}: its {what} is {difference:.1e} off"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
