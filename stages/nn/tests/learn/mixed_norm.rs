//! Batch norms of maps in bfloat16, which compute in float32: against those of the same maps in float32.

use athanor_nn::golden::formula::tensor;
use athanor_nn::layers::BatchNorm;
use burn::module::{Module, ModuleVisitor, Param};
use burn::prelude::*;
use burn::tensor::DType;

use crate::device;

/// `[image, channel, row, column]`.
const SHAPE: [usize; 4] = [3, 8, 13, 11];
/// Two roundings to eight bits, as a share of the largest value.
const TOLERANCE: f64 = 1e-2;

/// Gradients of parameters, taken from those of a loss.
struct Parameters<'a> {
    gradients: &'a burn::tensor::Gradients,
    found: Vec<TensorData>,
}

impl ModuleVisitor for Parameters<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        self.found.extend(parameter.val().grad(self.gradients).map(Tensor::into_data));
    }
}

/// The output of a norm and all gradients, for maps of a type whose values bfloat16 has, too.
fn run(relu: bool, dtype: DType) -> Vec<TensorData> {
    let device = device().autodiff();
    let rounded = |name| tensor::<4>(name, SHAPE, &device).cast(DType::BF16).cast(dtype).detach();
    let norm = BatchNorm::new(SHAPE[1], &device);
    let input = rounded("operand").require_grad();
    let output = if relu { norm.forward_relu(input.clone()) } else { norm.forward(input.clone()) };
    assert_eq!(output.dtype(), dtype);
    let gradients = (output.clone() * rounded("direction")).sum().backward();
    let mut parameters = Parameters { gradients: &gradients, found: Vec::new() };
    norm.visit(&mut parameters);
    assert_eq!(parameters.found.len(), 2);
    let maps = [output.into_data(), input.grad(&gradients).unwrap().into_data()];
    maps.into_iter().chain(parameters.found).collect()
}

#[test]
fn norms_of_bfloat16_are_those_of_float32_and_so_are_their_gradients() {
    for relu in [false, true] {
        for (mixed, single) in run(relu, DType::BF16).iter().zip(run(relu, DType::F32)) {
            assert_eq!(mixed.shape(), single.shape());
            let largest = single.iter::<f64>().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            let off = mixed.iter::<f64>().zip(single.iter::<f64>()).map(|(one, other)| (one - other).abs() / largest);
            let off = off.fold(0.0, f64::max);
            assert!(off <= TOLERANCE, "relu {relu}: {off:.1e} off");
        }
    }
}
