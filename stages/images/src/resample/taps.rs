//! Interpolation between neighbouring pixels, the arithmetic of OpenCV's `INTER_LINEAR` (`imgproc/src/resize.cpp`).
//!
//! For 8 bits the arithmetic is OpenCV's fixed point, so that the results are the same bits: weights of 11 bits,
//! columns first and exactly, then rows with a rounding of their own. For 16 bits it is single precision, as there.

use super::columns::Columns;
use super::{Plane, rows};

/// Bits of a fixed-point weight.
const WEIGHT_BITS: u32 = 11;
const ONE: f32 = (1 << WEIGHT_BITS) as f32;

/// For each new position along one axis: the left of the two old positions it lies between, and the right one's weight.
pub(crate) struct Taps(pub Vec<(isize, f32)>);

impl Taps {
    /// Beyond the first and the last old position there is only that one to take.
    fn clamped(self, from: usize) -> impl Iterator<Item = (usize, f32)> {
        let last = from as isize - 1;
        self.0.into_iter().map(move |(left, weight)| match left {
            ..0 => (0, 0.0),
            left if left >= last => (from - 1, 0.0),
            // Not negative here.
            left => (left as usize, weight),
        })
    }
}

/// The two-pass scheme of both depths: `horizontal` fills a row of intermediate values from an old row, `vertical`
/// makes a new row of two of them and the lower one's weight. Old rows are passed over once, in order.
fn two_passes<T: Copy + Default, M: Copy + Default>(
    source: Plane<'_, T>,
    width: usize,
    rows: &Taps,
    horizontal: impl Fn(&[T], &mut [M]),
    vertical: impl Fn(&[M], &[M], f32, &mut [T]),
) -> Vec<T> {
    let last = source.height as isize - 1;
    let mut out = vec![T::default(); width * rows.0.len()];
    let mut upper = (None, vec![M::default(); width]);
    let mut lower = (None, vec![M::default(); width]);
    for (new, &(top, weight)) in out.chunks_exact_mut(width).zip(&rows.0) {
        let wanted = [top.clamp(0, last) as usize, (top + 1).clamp(0, last) as usize];
        if lower.0 == Some(wanted[0]) {
            std::mem::swap(&mut upper, &mut lower);
        }
        for (held, wanted) in [(&mut upper, wanted[0]), (&mut lower, wanted[1])] {
            if held.0 != Some(wanted) {
                horizontal(source.row(wanted), &mut held.1);
                held.0 = Some(wanted);
            }
        }
        vertical(&upper.1, &lower.1, weight, new);
    }
    out
}

pub(crate) fn interpolate_u8(source: Plane<'_, u8>, columns: Taps, lines: Taps) -> Vec<u8> {
    let width = columns.0.len();
    let weights = |(left, weight)| (left, [fixed(1.0 - weight), fixed(weight)]);
    let columns = Columns::new(columns.clamped(source.width).map(weights), source.width);
    let vertical = |upper: &[i16], lower: &[i16], weight: f32, new: &mut [u8]| {
        rows::blend(upper, lower, [fixed(1.0 - weight), fixed(weight)], new);
    };
    two_passes(source, width, &lines, |old, new| columns.apply(old, new), vertical)
}

pub(crate) fn interpolate_u16(source: Plane<'_, u16>, columns: Taps, lines: Taps) -> Vec<u16> {
    let width = columns.0.len();
    let right = |left: usize| (left + 1).min(source.width - 1);
    let columns: Vec<(usize, usize, f32)> =
        columns.clamped(source.width).map(|(left, weight)| (left, right(left), weight)).collect();
    let horizontal = |old: &[u16], row: &mut [f32]| {
        for (value, &(left, right, weight)) in row.iter_mut().zip(&columns) {
            *value = f32::from(old[left]) * (1.0 - weight) + f32::from(old[right]) * weight;
        }
    };
    let vertical = |upper: &[f32], lower: &[f32], weight: f32, new: &mut [u16]| {
        for ((new, &upper), &lower) in new.iter_mut().zip(upper).zip(lower) {
            // The cast saturates, and the value is within the range of the two rows up to rounding.
            *new = (upper * (1.0 - weight) + lower * weight).round_ties_even() as u16;
        }
    };
    two_passes(source, width, &lines, horizontal, vertical)
}

/// A weight of 0 to 1 in units of 2^-11.
fn fixed(weight: f32) -> i16 {
    (weight * ONE).round_ties_even() as i16
}
