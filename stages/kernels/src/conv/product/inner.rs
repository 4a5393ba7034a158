//! Inner products of packed lines.

use crate::simd::{Kernel, Simd};

/// Number of lines of the left operand in a tile of inner products.
pub(in crate::conv) const SIDE: usize = 4;

/// Two sets of packed lines whose inner products are wanted.
#[derive(Clone, Copy)]
pub(in crate::conv) struct LinePairs {
    /// The first line of the left operand.
    pub(in crate::conv) left: *const f32,
    /// The first line of the right operand.
    pub(in crate::conv) right: *const f32,
    /// Numbers from one line to the next.
    pub(in crate::conv) stride: usize,
    /// Vectors in a line.
    pub(in crate::conv) vectors: usize,
}

/// The destination of inner products: rows of sums.
#[derive(Clone, Copy)]
pub(in crate::conv) struct SumRows {
    /// The first sum.
    pub(in crate::conv) base: *mut f32,
    /// Numbers from one row to the next.
    pub(in crate::conv) stride: usize,
}

/// Adds the inner products of a tile of lines, [`SIDE`] left ones and [`Simd::RIGHT`] right ones, to `sums`.
pub(in crate::conv) struct InnerProducts {
    /// The lines of both operands.
    pub(in crate::conv) lines: LinePairs,
    /// A row for each left line, a number for each right one.
    pub(in crate::conv) sums: SumRows,
}

impl InnerProducts {
    /// Computes the tile.
    ///
    /// # Safety
    /// As for a [`Kernel`].
    pub(in crate::conv) unsafe fn run<S: Simd>(self) {
        // SAFETY: The caller's promise.
        unsafe {
            match S::RIGHT {
                4 => S::run(Tile::<4>(self)),
                3 => S::run(Tile::<3>(self)),
                _ => unreachable!("no instruction set has tiles of {} right lines", S::RIGHT),
            }
        }
    }
}

/// A tile of `RIGHT` right lines.
struct Tile<const RIGHT: usize>(InnerProducts);

impl<const RIGHT: usize> Kernel for Tile<RIGHT> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Tile(InnerProducts { lines: LinePairs { left, right, stride, vectors }, sums }) = self;
        // SAFETY: The caller's promise.
        unsafe {
            let zero = S::splat(0.0);
            let mut products = [[zero; RIGHT]; SIDE];
            for vector in 0..vectors {
                let mut columns = [zero; RIGHT];
                for (number, column) in columns.iter_mut().enumerate() {
                    *column = S::load(right.add(number * stride + vector * S::LANES));
                }
                for (number, products) in products.iter_mut().enumerate() {
                    let left = S::load(left.add(number * stride + vector * S::LANES));
                    for (product, right) in products.iter_mut().zip(columns) {
                        *product = S::mul_add(left, right, *product);
                    }
                }
            }
            for (row, products) in products.into_iter().enumerate() {
                let mut four = [zero; 4];
                four[..RIGHT].copy_from_slice(&products);
                let sums = sums.base.add(row * sums.stride);
                for (number, total) in S::totals(four).into_iter().take(RIGHT).enumerate() {
                    *sums.add(number) += total;
                }
            }
        }
    }
}

/// Adds the inner product of the first left and the first right line to `sum`: the same bits as in a tile.
pub(in crate::conv) struct InnerProduct {
    /// The lines of both operands.
    pub(in crate::conv) lines: LinePairs,
    /// Where to.
    pub(in crate::conv) sum: *mut f32,
}

impl Kernel for InnerProduct {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let LinePairs { left, right, vectors, .. } = self.lines;
        // SAFETY: The caller's promise.
        unsafe {
            let zero = S::splat(0.0);
            let mut product = zero;
            for vector in 0..vectors {
                let [left, right] = [left.add(vector * S::LANES), right.add(vector * S::LANES)];
                product = S::mul_add(S::load(left), S::load(right), product);
            }
            *self.sum += S::totals([product, zero, zero, zero])[0];
        }
    }
}
