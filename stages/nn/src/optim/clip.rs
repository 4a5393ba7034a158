//! Clipping gradients by their norm over all parameters, as PyTorch's `clip_grad_norm_` does.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::FloatDType;

use crate::kernels;

/// Keeps a norm of zero from being divided by.
const TINY: f64 = 1e-6;

/// Scales all gradients of `module` alike, so that their norm is at most `largest`; returns the norm before, `[1]`.
///
/// Nothing is read back from a GPU. There is no norm where there are no gradients. A norm that is not finite makes all
/// gradients not finite; the caller should look.
pub fn clip_gradient_norm<M: Module>(module: &M, gradients: &mut GradientsParams, largest: f64) -> Option<Tensor<1>> {
    let mut squares = SumOfSquares { gradients, sum: None };
    module.visit(&mut squares);
    let norm = squares.sum?.sqrt();
    let factor = ((norm.clone() + TINY).recip() * largest).clamp_max(1.0);
    if kernels::supports(&factor) {
        // A CPU has nothing to wait for. Most steps need no scaling.
        let factor: f32 = factor.into_scalar();
        if factor != 1.0 {
            module.visit(&mut Scale { gradients, factor });
        }
    } else {
        module.visit(&mut ScaleOnDevice { gradients, factor });
    }
    Some(norm)
}

struct SumOfSquares<'a> {
    gradients: &'a mut GradientsParams,
    sum: Option<Tensor<1>>,
}

impl ModuleVisitor for SumOfSquares<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(parameter.id) else { return };
        let (squares, gradient) = if kernels::supports(&gradient) {
            kernels::sum_of_squares(gradient)
        } else {
            (gradient.clone().cast(FloatDType::F32).square().sum(), gradient)
        };
        self.gradients.register(parameter.id, gradient);
        self.sum = Some(match self.sum.take() {
            Some(sum) => sum + squares,
            None => squares,
        });
    }
}

struct Scale<'a> {
    gradients: &'a mut GradientsParams,
    factor: f32,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(parameter.id) else { return };
        self.gradients.register(parameter.id, kernels::scale(gradient, self.factor));
    }
}

struct ScaleOnDevice<'a> {
    gradients: &'a mut GradientsParams,
    factor: Tensor<1>,
}

impl ModuleVisitor for ScaleOnDevice<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.remove::<D>(parameter.id) else { return };
        let factor = self.factor.clone().cast(gradient.dtype()).unsqueeze();
        self.gradients.register(parameter.id, gradient * factor);
    }
}
