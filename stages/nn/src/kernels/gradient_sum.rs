//! Gradients of several uses of one tensor.

use std::sync::{Arc, Mutex, PoisonError};

use burn::backend::flex::FlexTensor;

/// Where the gradients of several uses of a tensor are added up.
#[derive(Debug, Clone)]
pub(crate) struct GradientSum(Arc<Mutex<Pending>>);

#[derive(Debug)]
struct Pending {
    /// Gradients that have not come.
    awaited: usize,
    /// The sum of those that have.
    sum: Option<FlexTensor>,
}

impl GradientSum {
    /// An empty sum that awaits this number of gradients.
    pub(crate) fn of(awaited: usize) -> GradientSum {
        GradientSum(Arc::new(Mutex::new(Pending { awaited, sum: None })))
    }

    /// Adds a gradient by `plus`; gives the sum once all have come.
    pub(crate) fn add(
        &self,
        gradient: FlexTensor,
        plus: impl FnOnce(FlexTensor, FlexTensor) -> FlexTensor,
    ) -> Option<FlexTensor> {
        let mut pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.awaited -= 1;
        let sum = match pending.sum.take() {
            Some(sum) => plus(gradient, sum),
            None => gradient,
        };
        match pending.awaited {
            0 => Some(sum),
            _ => {
                pending.sum = Some(sum);
                None
            }
        }
    }
}
