//! One loss of several batches, as PyTorch's `DataParallel` computes it: batch norms see one batch each, the loss sees all.
//!
//! A loss that ranks images, or counts them, is not the mean of the losses of parts. So the outputs of all batches are put
//! together, the loss is computed once, and its gradient goes back to each batch.

use burn::prelude::*;

/// The loss of several batches together.
#[derive(Debug)]
pub struct GatheredLoss {
    /// The loss, `[1]`.
    pub loss: Tensor<1>,
    /// Its gradient by the outputs of each batch, `[row, output]`, in the order of batches.
    pub gradients: Vec<Tensor<2>>,
}

/// Computes `loss` once, of the outputs `[row, output]` of all batches in their order. They are on one device.
pub fn gathered_loss(outputs: Vec<Tensor<2>>, loss: impl FnOnce(Tensor<2>) -> Tensor<1>) -> GatheredLoss {
    let rows: Vec<usize> = outputs.iter().map(|outputs| outputs.dims()[0]).collect();
    let joint = Tensor::cat(outputs.into_iter().map(Tensor::inner).collect(), 0).autodiff().require_grad();
    let loss = loss(joint.clone());
    let mut gradients = loss.backward();
    let of_joint = joint.grad_remove(&mut gradients).expect("a loss depends on the outputs");
    GatheredLoss { loss: loss.detach().inner(), gradients: of_joint.split_with_sizes(rows, 0) }
}

/// A number whose gradient by `outputs` is `gradient`, for the backward pass of one batch; `[1]`.
pub fn with_gradient(outputs: Tensor<2>, gradient: Tensor<2>) -> Tensor<1> {
    (outputs * gradient).sum()
}
