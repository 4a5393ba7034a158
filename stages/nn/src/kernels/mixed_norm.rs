//! Batch normalisation of maps that are of another type than its parameters.
//!
//! It computes in the type of its parameters. For the gradients it keeps maps in their own type alone, its input and, with a ReLU, its
//! output, which the layers around it keep anyway: a network in bfloat16 would need more memory than in float32 if each norm kept
//! what it casts.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, Dispatch, Flex, backend_extension};
use burn::prelude::*;
use burn::tensor::FloatDType;

/// Numbers of a normalisation that are not tensors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MixedNorm {
    /// Type of the maps.
    maps: FloatDType,
    /// Type of the parameters, in which it computes.
    parameters: FloatDType,
    epsilon: f64,
    /// Whether a ReLU follows.
    relu: bool,
}

/// Batch normalisation as an operation of every backend.
#[backend_extension(Flex, Cube: cfg(any(feature = "cuda", feature = "vulkan")), Autodiff)]
pub(crate) trait MixedNormalisation: Backend {
    /// Maps normalised by their own statistics, and these: means, and biased variances. Only the maps have gradients.
    fn normalise_mixed(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        norm: MixedNorm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let input = Self::float_cast(input, norm.parameters);
        let found = Self::batch_norm_train(input, weight, bias, norm.epsilon);
        let output = if norm.relu { Self::relu(found.output) } else { found.output };
        (Self::float_cast(output, norm.maps), found.mean, found.variance)
    }
}

impl MixedNormalisation for Flex {}

#[cfg(any(feature = "cuda", feature = "vulkan"))]
impl MixedNormalisation for burn::backend::Cube {}

/// Maps `[batch, channel, ..]` normalised by their own statistics, and these: means and biased variances `[channel]`.
pub(crate) fn normalise_mixed<const D: usize>(
    input: Tensor<D>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    relu: bool,
) -> (Tensor<D>, Tensor<1>, Tensor<1>) {
    let norm = MixedNorm { maps: input.dtype().into(), parameters: weight.dtype().into(), epsilon, relu };
    let [input, weight, bias] = [input.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    let (output, mean, variance) = <Dispatch as MixedNormalisation>::normalise_mixed(input, weight, bias, norm);
    (Tensor::from_dispatch(output), Tensor::from_dispatch(mean), Tensor::from_dispatch(variance))
}

type Tracked<B, C> = FloatTensor<Autodiff<B, C>>;

impl<B: MixedNormalisation, C: CheckpointStrategy> MixedNormalisation for Autodiff<B, C> {
    fn normalise_mixed(
        input: Tracked<B, C>,
        weight: Tracked<B, C>,
        bias: Tracked<B, C>,
        norm: MixedNorm,
    ) -> (Tracked<B, C>, Tracked<B, C>, Tracked<B, C>) {
        let prep = Normalise.prepare::<C>([input.node(), weight.node(), bias.node()]).compute_bound().stateful();
        let run = |input: Tracked<B, C>, weight: Tracked<B, C>| {
            B::normalise_mixed(input.into_primitive(), weight.into_primitive(), bias.into_primitive(), norm)
        };
        let (output, mean, variance) = match prep {
            OpsKind::Tracked(mut prep) => {
                let inputs = [prep.checkpoint(&input), prep.checkpoint(&weight)];
                let (output, mean, variance) = run(input, weight);
                let kept = norm.relu.then(|| output.clone());
                let state = Kept { inputs, output: kept, mean: mean.clone(), variance: variance.clone(), norm };
                (prep.finish(state, output), mean, variance)
            }
            OpsKind::UnTracked(prep) => {
                let (output, mean, variance) = run(input, weight);
                (prep.finish(output), mean, variance)
            }
        };
        (output, <Self as AutodiffBackend>::from_inner(mean), <Self as AutodiffBackend>::from_inner(variance))
    }
}

#[derive(Debug)]
struct Normalise;

/// Values of the forward pass from which gradients are computed.
#[derive(Debug, Clone)]
struct Kept<T> {
    /// Input and weights.
    inputs: [NodeId; 2],
    /// The output, where a ReLU follows.
    output: Option<T>,
    mean: T,
    variance: T,
    norm: MixedNorm,
}

impl<B: Backend> Backward<B, 3> for Normalise {
    type State = Kept<FloatTensor<B>>;

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let Kept { inputs, output, mean, variance, norm } = ops.state;
        let [input, weight] = inputs.map(|node| checkpointer.retrieve_node_output::<FloatTensor<B>>(node));
        let gradient = gradients.consume::<B>(&ops.node);
        let gradient = match output {
            Some(output) => B::relu_backward(output, gradient),
            None => gradient,
        };
        let [input, gradient] = [input, gradient].map(|maps| B::float_cast(maps, norm.parameters));
        let found = B::batch_norm_train_backward(input, weight, mean, variance, norm.epsilon, gradient);
        let found = [B::float_cast(found.x_grad, norm.maps), found.gamma_grad, found.beta_grad];
        for (node, found) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, found);
            }
        }
    }
}
