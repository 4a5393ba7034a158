//! The kernels where gradients are wanted.

use std::sync::Arc;

use athanor_kernels::conv::Convolution;
use athanor_kernels::pool::Windows;
use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Flex};
use burn::tensor::Shape;

use super::flex::{
    Normalising, average_pool_gradient, input_gradient, kernel_gradient, max_pool, max_pool_gradient,
    normalisation_gradients, pool_planes, pool_planes_gradient, relu_gradient, sum,
};
use super::{GradientSum, Kernels};

type Tracked<C> = FloatTensor<Autodiff<Flex, C>>;

impl<C: CheckpointStrategy> Kernels for Autodiff<Flex, C> {
    fn convolve(input: Tracked<C>, kernels: Tracked<C>, convolution: Convolution) -> Tracked<C> {
        match Convolve.prepare::<C>([input.node(), kernels.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&input), prep.checkpoint(&kernels), convolution);
                prep.finish(state, Flex::convolve(input.into_primitive(), kernels.into_primitive(), convolution))
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::convolve(input.into_primitive(), kernels.into_primitive(), convolution))
            }
        }
    }

    fn normalise(
        input: Tracked<C>,
        weight: Tracked<C>,
        bias: Tracked<C>,
        epsilon: f64,
        relu: bool,
    ) -> (Tracked<C>, Tracked<C>, Tracked<C>) {
        let prep = Normalise.prepare::<C>([input.node(), weight.node(), bias.node()]).compute_bound().stateful();
        let run = |input: Tracked<C>, weight: Tracked<C>, bias: FlexTensor| {
            Flex::normalise(input.into_primitive(), weight.into_primitive(), bias, epsilon, relu)
        };
        let bias = bias.into_primitive();
        let (output, mean, variance) = match prep {
            OpsKind::Tracked(mut prep) => {
                let inputs = (prep.checkpoint(&input), prep.checkpoint(&weight));
                let (output, mean, variance) = run(input, weight, bias.clone());
                let normalising = Normalising { bias, mean: mean.clone(), variance: variance.clone(), epsilon, relu };
                (prep.finish((inputs, normalising), output), mean, variance)
            }
            OpsKind::UnTracked(prep) => {
                let (output, mean, variance) = run(input, weight, bias);
                (prep.finish(output), mean, variance)
            }
        };
        (output, <Self as AutodiffBackend>::from_inner(mean), <Self as AutodiffBackend>::from_inner(variance))
    }

    fn add_relu(left: Tracked<C>, right: Tracked<C>) -> Tracked<C> {
        let prep = AddRelu.prepare::<C>([left.node(), right.node()]).compute_bound().stateful();
        let output = Flex::add_relu(left.into_primitive(), right.into_primitive());
        match prep {
            OpsKind::Tracked(prep) => prep.finish(output.clone(), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn branch(input: Tracked<C>, sum: GradientSum) -> Tracked<C> {
        match Branch.prepare::<C>([input.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(sum, input.into_primitive()),
            OpsKind::UnTracked(prep) => prep.finish(input.into_primitive()),
        }
    }

    fn max_pool(input: Tracked<C>, windows: Windows) -> Tracked<C> {
        let prep = MaxPool.prepare::<C>([input.node()]).compute_bound().stateful();
        let (output, argmax) = max_pool(&input.into_primitive(), &windows);
        match prep {
            OpsKind::Tracked(prep) => prep.finish((windows, argmax.into()), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn average_pool(input: Tracked<C>, windows: Windows) -> Tracked<C> {
        let prep = AveragePool.prepare::<C>([input.node()]).compute_bound().stateful();
        let output = Flex::average_pool(input.into_primitive(), windows);
        match prep {
            OpsKind::Tracked(prep) => prep.finish(windows, output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }

    fn pool_planes(input: Tracked<C>) -> Tracked<C> {
        let prep = PoolPlanes.prepare::<C>([input.node()]).compute_bound().stateful();
        let input = input.into_primitive();
        let (output, places) = pool_planes(&input);
        match prep {
            OpsKind::Tracked(prep) => prep.finish((input.layout().shape().clone(), places.into()), output),
            OpsKind::UnTracked(prep) => prep.finish(output),
        }
    }
}

#[derive(Debug)]
struct AddRelu;

impl Backward<Flex, 2> for AddRelu {
    /// The output.
    type State = FlexTensor;

    fn backward(self, ops: Ops<FlexTensor, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = relu_gradient(&ops.state, &gradients.consume::<Flex>(&ops.node));
        for node in ops.parents.into_iter().flatten() {
            gradients.register::<Flex>(node.id, gradient.clone());
        }
    }
}

#[derive(Debug)]
struct Branch;

impl Backward<Flex, 1> for Branch {
    /// Where the gradients of all branches meet.
    type State = GradientSum;

    fn backward(self, ops: Ops<GradientSum, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let whole = ops.state.add(gradients.consume::<Flex>(&ops.node), sum);
        if let ([Some(node)], Some(whole)) = (ops.parents, whole) {
            gradients.register::<Flex>(node.id, whole);
        }
    }
}

#[derive(Debug)]
struct MaxPool;

impl Backward<Flex, 1> for MaxPool {
    /// The windows, and the place of the largest number of each.
    type State = (Windows, Arc<[u8]>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let ((windows, argmax), [node]) = (ops.state, ops.parents);
        if let Some(node) = node {
            gradients.register::<Flex>(node.id, max_pool_gradient(&windows, &gradient, &argmax));
        }
    }
}

#[derive(Debug)]
struct AveragePool;

impl Backward<Flex, 1> for AveragePool {
    type State = Windows;

    fn backward(self, ops: Ops<Windows, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let [node] = ops.parents;
        if let Some(node) = node {
            gradients.register::<Flex>(node.id, average_pool_gradient(&ops.state, &gradient));
        }
    }
}

#[derive(Debug)]
struct PoolPlanes;

impl Backward<Flex, 1> for PoolPlanes {
    /// The input's shape, and the place of the largest number of each plane.
    type State = (Shape, Arc<[u32]>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node);
        let ((shape, places), [node]) = (ops.state, ops.parents);
        if let Some(node) = node {
            gradients.register::<Flex>(node.id, pool_planes_gradient(&shape, &gradient, &places));
        }
    }
}

#[derive(Debug)]
struct Convolve;

impl Backward<Flex, 2> for Convolve {
    /// Input, kernels, and what was convolved with what.
    type State = (NodeId, NodeId, Convolution);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let (input, kernels, convolution) = ops.state;
        let [input, kernels] = [input, kernels].map(|node| checkpointer.retrieve_node_output::<FlexTensor>(node));
        let gradient = gradients.consume::<Flex>(&ops.node);
        let [of_input, of_kernels] = ops.parents;
        if let Some(node) = of_input {
            gradients.register::<Flex>(node.id, input_gradient(&convolution, &gradient, &kernels));
        }
        if let Some(node) = of_kernels {
            gradients.register::<Flex>(node.id, kernel_gradient(&convolution, &input, &gradient));
        }
    }
}

#[derive(Debug)]
struct Normalise;

impl Backward<Flex, 3> for Normalise {
    /// Input and weights, and what else it takes.
    type State = ((NodeId, NodeId), Normalising);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let ((input, weight), normalising) = ops.state;
        let [input, weight] = [input, weight].map(|node| checkpointer.retrieve_node_output::<FlexTensor>(node));
        let gradient = gradients.consume::<Flex>(&ops.node);
        let found = normalisation_gradients(&input, &weight, &normalising, &gradient);
        for (node, found) in ops.parents.into_iter().zip(found) {
            if let Some(node) = node {
                gradients.register::<Flex>(node.id, found);
            }
        }
    }
}
