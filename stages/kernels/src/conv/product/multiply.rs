//! Products of rows of weights with a panel of packed pixels.

use std::mem::MaybeUninit;

use super::super::columns::{Places, panel};
use super::Epilogue;
use super::pack::{gather, scatter};
use crate::simd::{Kernel, Simd};

/// The most vectors that a panel has.
const MAX_VECTORS: usize = 3;

/// The most numbers that a line of a panel has.
const MAX_PANEL: usize = 48;

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
    /// Multiplies at most [`Simd::ROWS`] rows, at least one.
    ///
    /// # Safety
    /// As for a [`Kernel`].
    pub(in crate::conv) unsafe fn run<S: Simd>(self, rows: usize) {
        const { assert!(S::ROWS <= 8 && S::VECTORS <= MAX_VECTORS && panel::<S>() <= MAX_PANEL) };
        // SAFETY: The caller's promise.
        unsafe {
            match rows {
                1 => S::run(Tile::<'_, 1>(self)),
                2 => S::run(Tile::<'_, 2>(self)),
                3 => S::run(Tile::<'_, 3>(self)),
                4 => S::run(Tile::<'_, 4>(self)),
                5 => S::run(Tile::<'_, 5>(self)),
                6 => S::run(Tile::<'_, 6>(self)),
                7 if S::ROWS > 6 => S::run(Tile::<'_, 7>(self)),
                8 if S::ROWS > 6 => S::run(Tile::<'_, 8>(self)),
                _ => unreachable!("tiles have 1 to {} rows, not {rows}", S::ROWS),
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
        let Tile(Multiply { depth, weights, row_length, panel: lines, target, epilogue }) = self;
        // SAFETY: The caller's promise.
        unsafe {
            // Of vectors that an instruction set does not use, nothing is left in the compiled code.
            let zero = S::splat(0.0);
            let mut sums = [[zero; MAX_VECTORS]; R];
            for line in 0..depth {
                let mut columns = [zero; MAX_VECTORS];
                for (vector, column) in columns.iter_mut().enumerate().take(S::VECTORS) {
                    *column = S::load(lines.add(line * panel::<S>() + vector * S::LANES));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let weight = S::splat(*weights.add(row * row_length + line));
                    for (sum, column) in sums.iter_mut().zip(columns).take(S::VECTORS) {
                        *sum = S::mul_add(weight, column, *sum);
                    }
                }
            }
            if target.places.are_whole::<S>() {
                finish_whole::<S, R>(sums, target, epilogue);
                return;
            }
            // Through memory, since registers have no numbers by which a loop could take them.
            let mut stored = [[MaybeUninit::uninit(); MAX_PANEL]; R];
            for (stored, sums) in stored.iter_mut().zip(sums) {
                for (vector, sum) in sums.into_iter().enumerate().take(S::VECTORS) {
                    S::store(stored.as_mut_ptr().add(vector * S::LANES).cast(), sum);
                }
            }
            S::run(FinishInPieces { sums: &stored, target, epilogue });
        }
    }
}

/// Writes the sums of a tile all of whose vectors lie in memory as they are, after what comes at the end of each. Step by
/// step, so that they all stay in registers.
///
/// # Safety
/// As for a [`Kernel`].
#[inline(always)]
unsafe fn finish_whole<S: Simd, const R: usize>(
    mut sums: [[S::Vector; MAX_VECTORS]; R],
    target: Target<'_>,
    epilogue: Option<RowEpilogue<'_>>,
) {
    let place = |row: usize, vector: usize| {
        let run = target.places.first.as_ptr().wrapping_add(vector);
        // SAFETY: A panel has as many vectors.
        (row * target.stride).wrapping_add_signed(unsafe { (*run).offset })
    };
    // SAFETY: The caller's promise.
    unsafe {
        if target.accumulate {
            each::<S, R>(&mut sums, |row, vector, sum| {
                S::add(sum, S::load(target.base.wrapping_add(place(row, vector))))
            });
        }
        if let Some(RowEpilogue { epilogue, first, summand }) = epilogue {
            let [scale, shift] = [epilogue.scale, epilogue.shift].map(|of| of.as_ptr().wrapping_add(first));
            each::<S, R>(&mut sums, |row, _, sum| {
                S::mul_add(sum, S::splat(*scale.add(row)), S::splat(*shift.add(row)))
            });
            if !summand.is_null() {
                each::<S, R>(&mut sums, |row, vector, sum| {
                    S::add(sum, S::load(summand.wrapping_add(place(row, vector))))
                });
            }
            if epilogue.relu {
                each::<S, R>(&mut sums, |_, _, sum| S::relu(sum));
            }
        }
        each::<S, R>(&mut sums, |row, vector, sum| {
            S::store(target.base.wrapping_add(place(row, vector)), sum);
            sum
        });
    }
}

/// Replaces each vector of a tile, given its row and number.
#[inline(always)]
fn each<S: Simd, const R: usize>(
    sums: &mut [[S::Vector; MAX_VECTORS]; R],
    by: impl Fn(usize, usize, S::Vector) -> S::Vector,
) {
    for (row, sums) in sums.iter_mut().enumerate() {
        for (vector, sum) in sums.iter_mut().enumerate().take(S::VECTORS) {
            *sum = by(row, vector, *sum);
        }
    }
}

/// Writes rows of sums whose vectors lie in memory in pieces, after what comes at the end of each.
struct FinishInPieces<'a> {
    sums: &'a [[MaybeUninit<f32>; MAX_PANEL]],
    target: Target<'a>,
    epilogue: Option<RowEpilogue<'a>>,
}

impl Kernel for FinishInPieces<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let FinishInPieces { sums, target, epilogue } = self;
        for (row, sums) in sums.iter().enumerate() {
            for vector in 0..S::VECTORS {
                // SAFETY: The caller's promise.
                unsafe {
                    let sum = S::load(sums.as_ptr().add(vector * S::LANES).cast());
                    finish::<S>((row, vector), sum, target, epilogue);
                }
            }
        }
    }
}

/// Writes a vector of sums of a row, after what comes at the end of each.
///
/// # Safety
/// As for a [`Kernel`].
#[inline(always)]
unsafe fn finish<S: Simd>(
    (row, vector): (usize, usize),
    mut sum: S::Vector,
    target: Target<'_>,
    epilogue: Option<RowEpilogue<'_>>,
) {
    let base = target.base.wrapping_add(row * target.stride);
    // SAFETY: The caller's promise.
    unsafe {
        if target.accumulate {
            sum = S::add(sum, gather::<S>(base, target.places, vector));
        }
        if let Some(RowEpilogue { epilogue, first, summand }) = epilogue {
            let scale = S::splat(*epilogue.scale.get_unchecked(first + row));
            let shift = S::splat(*epilogue.shift.get_unchecked(first + row));
            sum = S::mul_add(sum, scale, shift);
            if !summand.is_null() {
                let summand = summand.wrapping_add(row * target.stride);
                sum = S::add(sum, gather::<S>(summand, target.places, vector));
            }
            if epilogue.relu {
                sum = S::relu(sum);
            }
        }
        scatter::<S>(base, target.places, vector, sum);
    }
}
