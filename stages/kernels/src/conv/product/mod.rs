//! The innermost loops and the types of their arguments.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(not(target_arch = "x86_64"))]
mod elsewhere;

#[cfg(target_arch = "x86_64")]
pub(super) use avx512::{inner_product, inner_products, multiply, pack};
#[cfg(not(target_arch = "x86_64"))]
pub(super) use elsewhere::{inner_product, inner_products, multiply, pack};

use super::columns::Places;

/// Rows of a tile of the product.
pub(super) const ROWS: usize = 8;

/// Number of lines of each operand in a tile of inner products.
pub(super) const SIDE: usize = 4;

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

/// The epilogue of some rows of a result.
#[derive(Clone, Copy)]
pub(super) struct RowEpilogue<'a> {
    pub(super) epilogue: &'a Epilogue<'a>,
    /// Number of the first row.
    pub(super) first: usize,
    /// The summand's first number in the first row; null without a summand.
    pub(super) summand: *const f32,
}

/// Channels to read: planes in memory at equal distances.
#[derive(Clone, Copy)]
pub(super) struct ChannelPlanes {
    /// The first number of the first channel.
    pub(super) base: *const f32,
    /// Number of channels.
    pub(super) count: usize,
    /// Numbers from one channel to the next.
    pub(super) stride: usize,
}

/// The destination of packed pixels: lines of vectors.
#[derive(Clone, Copy)]
pub(super) struct Lines {
    /// The first line.
    pub(super) base: *mut f32,
    /// Numbers from one line to the next.
    pub(super) stride: usize,
    /// Vectors in a line.
    pub(super) vectors: usize,
}

/// The destination of a tile of sums.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// The first row.
    pub(super) base: *mut f32,
    /// Numbers from one row to the next.
    pub(super) stride: usize,
    /// The panel's places in the first row.
    pub(super) places: &'a Places,
    /// Whether there are sums already, to which these are added.
    pub(super) accumulate: bool,
}

/// Two sets of packed lines whose inner products are wanted.
#[derive(Clone, Copy)]
pub(super) struct LinePairs {
    /// The first line of the left operand.
    pub(super) left: *const f32,
    /// The first line of the right operand.
    pub(super) right: *const f32,
    /// Numbers from one line to the next.
    pub(super) stride: usize,
    /// Vectors in a line.
    pub(super) vectors: usize,
}

/// The destination of inner products: rows of sums.
#[derive(Clone, Copy)]
pub(super) struct SumRows {
    /// The first sum.
    pub(super) base: *mut f32,
    /// Numbers from one row to the next.
    pub(super) stride: usize,
}
