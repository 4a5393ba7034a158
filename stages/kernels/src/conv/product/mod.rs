//! The innermost loops and the types of their arguments.

mod inner;
mod multiply;
mod pack;

pub(super) use inner::{InnerProduct, InnerProducts, LinePairs, SIDE, SumRows};
pub(super) use multiply::{Multiply, RowEpilogue, Target};
pub(super) use pack::{ChannelPlanes, Lines, Pack};

/// Elementwise operations at the end of each sum of a convolution: an affine map, a sum, a ReLU.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'a> {
    /// Factor of each channel.
    pub scale: &'a [f32],
    /// Summand of each channel, added after the factor.
    pub shift: &'a [f32],
    /// Summand of each number, as long as the result.
    pub summand: Option<&'a [f32]>,
    /// Whether a ReLU comes last.
    pub relu: bool,
}
