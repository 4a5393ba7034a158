//! Products of rows of weights with a panel of packed pixels.

use super::super::columns::{Places, VECTORS, panel};
use super::Epilogue;
use super::pack::gather;
use crate::simd::{Kernel, Simd};

/// The epilogue of some rows of a result.
#[derive(Clone, Copy)]
pub(in crate::conv) struct RowEpilogue<'a> {
    pub(in crate::conv) epilogue: &'a Epilogue<'a>,
    /// Number of the first row.
    pub(in crate::conv) first: usize,
    /// The summand's first number in the first row; null without a summand.
    pub(in crate::conv) summand: *const f32,
}

/// The destination of a tile of sums.
#[derive(Clone, Copy)]
pub(in crate::conv) struct Target<'a> {
    /// The first row.
    pub(in crate::conv) base: *mut f32,
    /// Numbers from one row to the next.
    pub(in crate::conv) stride: usize,
    /// The panel's places in the first row.
    pub(in crate::conv) places: &'a Places,
    /// Whether there are sums already, to which these are added.
    pub(in crate::conv) accumulate: bool,
}

/// Rows of weights times a panel; with the epilogue if these lines are the last.
pub(in crate::conv) struct Multiply<'a> {
    /// Lines of the panel.
    pub(in crate::conv) depth: usize,
    /// The first row's weights.
    pub(in crate::conv) weights: *const f32,
    /// Numbers from one row of weights to the next.
    pub(in crate::conv) row_length: usize,
    /// The packed pixels.
    pub(in crate::conv) panel: *const f32,
    /// Where sums go.
    pub(in crate::conv) target: Target<'a>,
    /// Operations at the end of each sum.
    pub(in crate::conv) epilogue: Option<RowEpilogue<'a>>,
}

impl Multiply<'_> {
    /// Multiplies one row, or as many as are in a tile.
    ///
    /// # Safety
    /// As for a [`Kernel`].
    pub(in crate::conv) unsafe fn run<S: Simd>(self, rows: usize) {
        // SAFETY: The caller's promise.
        unsafe {
            match rows {
                8 => S::run(Tile::<'_, 8>(self)),
                4 => S::run(Tile::<'_, 4>(self)),
                1 => S::run(Tile::<'_, 1>(self)),
                _ => unreachable!("no instruction set has tiles of {rows} rows"),
            }
        }
    }
}

/// A tile of `R` rows.
struct Tile<'a, const R: usize>(Multiply<'a>);

impl<const R: usize> Kernel for Tile<'_, R> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Tile(Multiply { depth, weights, row_length, panel: columns, target, epilogue }) = self;
        // SAFETY: The caller's promise.
        unsafe {
            let mut sums = [[S::splat(0.0); VECTORS]; R];
            for line in 0..depth {
                let columns = columns.add(line * panel::<S>());
                let columns =
                    [S::load(columns), S::load(columns.add(S::LANES)), S::load(columns.add(2 * S::LANES))];
                for (number, sums) in sums.iter_mut().enumerate() {
                    let weight = S::splat(*weights.add(number * row_length + line));
                    for (sum, column) in sums.iter_mut().zip(columns) {
                        *sum = S::mul_add(weight, column, *sum);
                    }
                }
            }
            for (number, sums) in sums.into_iter().enumerate() {
                finish::<S>(number, sums, target, epilogue);
            }
        }
    }
}

/// Writes the sums of a row, after what comes at the end of each.
///
/// # Safety
/// As for a [`Kernel`].
#[inline(always)]
unsafe fn finish<S: Simd>(
    row: usize,
    sums: [S::Vector; VECTORS],
    target: Target<'_>,
    epilogue: Option<RowEpilogue<'_>>,
) {
    let base = target.base.wrapping_add(row * target.stride);
    for (vector, mut sum) in sums.into_iter().enumerate() {
        let runs = target.places.of(vector);
        // SAFETY: The caller's promise.
        unsafe {
            if target.accumulate {
                sum = S::add(sum, gather::<S>(base, runs));
            }
            if let Some(RowEpilogue { epilogue, first, summand }) = epilogue {
                let scale = S::splat(*epilogue.scale.get_unchecked(first + row));
                let shift = S::splat(*epilogue.shift.get_unchecked(first + row));
                sum = S::mul_add(sum, scale, shift);
                if !summand.is_null() {
                    sum = S::add(sum, gather::<S>(summand.wrapping_add(row * target.stride), runs));
                }
                if epilogue.relu {
                    sum = S::relu(sum);
                }
            }
            for run in runs {
                S::store_lanes(base.wrapping_offset(run.offset), run.lanes, sum);
            }
        }
    }
}
