//! The innermost loops, and what they are told.

#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(not(target_arch = "x86_64"))]
mod elsewhere;

#[cfg(target_arch = "x86_64")]
pub use avx512::{inner_product, inner_products, multiply, pack};
#[cfg(not(target_arch = "x86_64"))]
pub use elsewhere::{inner_product, inner_products, multiply, pack};

use super::columns::Places;

/// Rows of a tile of the product.
pub const ROWS: usize = 8;

/// What is done to each sum at its end.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'a> {
    /// What each channel is multiplied by.
    pub scale: &'a [f32],
    /// What is added to each channel then.
    pub shift: &'a [f32],
    /// What is added then, as long as the result.
    pub summand: Option<&'a [f32]>,
    /// Whether what is below zero becomes zero in the end.
    pub relu: bool,
}

/// Where packed pixels go: lines of vectors.
#[derive(Clone, Copy)]
pub struct Lines {
    /// The first.
    pub base: *mut f32,
    /// Numbers from one line to the next.
    pub stride: usize,
    /// Vectors in a line.
    pub vectors: usize,
}

/// Where a tile of sums goes.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    /// The first row.
    pub base: *mut f32,
    /// Numbers from one row to the next.
    pub stride: usize,
    /// The panel's places in the first row.
    pub places: &'a Places,
    /// Whether there are sums already, to which these are added.
    pub begun: bool,
}

/// Lines of one side in a tile of inner products.
pub const SIDE: usize = 4;
