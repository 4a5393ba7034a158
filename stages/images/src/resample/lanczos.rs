//! Lanczos resampling as Pillow's `LANCZOS` (`src/libImaging/Resample.c`).
//!
//! For 8 bits the arithmetic is Pillow's fixed point with a rounding to 8 bits between the two passes, so that the
//! results are the same bits; for 16 bits it is double precision.

use std::f64::consts::PI;

use super::{Plane, dot};

/// Lobes of the window.
const LOBES: f64 = 3.0;

/// Bits behind the point of a fixed-point weight of 8-bit samples.
const WEIGHT_BITS: u32 = 32 - 8 - 2;

pub(crate) fn resize_u8(source: Plane<'_, u8>, width: usize, height: usize) -> Vec<u8> {
    two_passes(source, width, height)
}

pub(crate) fn resize_u16(source: Plane<'_, u16>, width: usize, height: usize) -> Vec<u16> {
    two_passes(source, width, height)
}

/// The arithmetic of one depth.
trait Sample: Copy {
    /// The weights of one new sample.
    type Weights;
    /// A sample as it is multiplied.
    type Wide: Copy + Default;
    /// A sum of weighted samples.
    type Sum: Copy + Default;
    fn weights(weights: Vec<f64>) -> Self::Weights;
    fn widen(self) -> Self::Wide;
    /// The weighted sum of the first of the samples.
    fn dot(weights: &Self::Weights, samples: &[Self::Wide]) -> Self::Sum;
    /// Adds a whole row, weighted by weight `at`.
    fn add(weights: &Self::Weights, at: usize, row: &[Self], sums: &mut [Self::Sum]);
    fn narrow(sum: Self::Sum) -> Self;
}

impl Sample for u8 {
    /// The upper and the lower part of every weight.
    type Weights = [Vec<i16>; 2];
    type Wide = i16;
    type Sum = i32;

    fn widen(self) -> i16 {
        self.into()
    }

    fn weights(weights: Vec<f64>) -> Self::Weights {
        let fixed = |weight: &f64| (weight * f64::from(1 << WEIGHT_BITS) + 0.5f64.copysign(*weight)) as i32;
        // At most 2^22 in magnitude, so that the upper part has 12 bits with its sign.
        let high = |weight| (fixed(weight) >> dot::LOW_BITS) as i16;
        let low = |weight| (fixed(weight) & ((1 << dot::LOW_BITS) - 1)) as i16;
        [weights.iter().map(high).collect(), weights.iter().map(low).collect()]
    }

    fn dot([high, low]: &Self::Weights, samples: &[i16]) -> i32 {
        dot::in_parts(high, low, samples)
    }

    fn add([high, low]: &Self::Weights, at: usize, row: &[u8], sums: &mut [i32]) {
        let weight = (i32::from(high[at]) << dot::LOW_BITS) + i32::from(low[at]);
        sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += weight * i32::from(sample));
    }

    fn narrow(sum: i32) -> u8 {
        ((sum + (1 << (WEIGHT_BITS - 1))) >> WEIGHT_BITS).clamp(0, 255) as u8
    }
}

impl Sample for u16 {
    type Weights = Vec<f64>;
    type Wide = f64;
    type Sum = f64;

    fn widen(self) -> f64 {
        self.into()
    }

    fn weights(weights: Vec<f64>) -> Vec<f64> {
        weights
    }

    fn dot(weights: &Vec<f64>, samples: &[f64]) -> f64 {
        weights.iter().zip(samples).map(|(weight, sample)| weight * sample).sum()
    }

    fn add(weights: &Vec<f64>, at: usize, row: &[u16], sums: &mut [f64]) {
        sums.iter_mut().zip(row).for_each(|(sum, &sample)| *sum += weights[at] * f64::from(sample));
    }

    fn narrow(sum: f64) -> u16 {
        (sum + 0.5).floor().clamp(0.0, 65_535.0) as u16
    }
}

/// The weights of old positions for one new position.
struct Kernel<W> {
    /// The first old position that has a weight.
    first: usize,
    /// Number of weights.
    count: usize,
    /// The weights, and zeros up to a multiple of [`dot::STRIDE`].
    weights: W,
}

fn kernels<T: Sample>(from: usize, to: usize) -> Vec<Kernel<T::Weights>> {
    let scale = from as f64 / to as f64;
    let widening = scale.max(1.0);
    let support = LOBES * widening;
    let kernel = |at: usize| {
        let centre = (at as f64 + 0.5) * scale;
        // Truncating casts, as in C; negative values saturate to 0 where Pillow clamps.
        let first = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let narrowing = 1.0 / widening;
        let raw = (first..end).map(|old| lanczos((old as f64 - centre + 0.5) * narrowing));
        let mut weights: Vec<f64> = raw.collect();
        let sum: f64 = weights.iter().sum();
        if sum != 0.0 {
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        let count = weights.len();
        weights.resize(count.next_multiple_of(dot::STRIDE), 0.0);
        Kernel { first, count, weights: T::weights(weights) }
    };
    (0..to).map(kernel).collect()
}

fn lanczos(x: f64) -> f64 {
    if (-LOBES..LOBES).contains(&x) { sinc(x) * sinc(x / LOBES) } else { 0.0 }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

/// Columns first, then rows, each narrowed to samples; or the other way round where Pillow (since 12) does so because
/// the height shrinks by more than twice as many pixels as the width. A side that stays is left alone.
fn two_passes<T: Sample>(source: Plane<'_, T>, width: usize, height: usize) -> Vec<T> {
    let shrinks_by = |from: usize, to: usize| from as i64 - to as i64;
    let lower_by = shrinks_by(source.height, height);
    let rows_first = lower_by > 0 && lower_by > 2 * shrinks_by(source.width, width);
    let columns = kernels::<T>(source.width, width);
    // Square images are the rule, and the weights take longer than the second pass.
    let rows = (source.width, width) != (source.height, height);
    let rows = rows.then(|| kernels::<T>(source.height, height));
    let rows = rows.as_ref().unwrap_or(&columns);
    let pass = |plane: Plane<'_, T>, by_rows: bool| match by_rows {
        true if plane.height != height => Some(down(plane, rows)),
        false if plane.width != width => Some(across(plane, &columns)),
        _ => None,
    };
    let first = pass(source, rows_first);
    let between = match &first {
        Some(samples) if rows_first => Plane { width: source.width, height, samples },
        Some(samples) => Plane { width, height: source.height, samples },
        None => source,
    };
    pass(between, !rows_first).or(first).unwrap_or_else(|| source.samples.to_vec())
}

fn across<T: Sample>(source: Plane<'_, T>, columns: &[Kernel<T::Weights>]) -> Vec<T> {
    let mut out = Vec::with_capacity(columns.len() * source.height);
    let mut old = Vec::with_capacity(source.width + dot::STRIDE);
    for row in 0..source.height {
        old.clear();
        old.extend(source.row(row).iter().map(|sample| sample.widen()));
        old.resize(source.width + dot::STRIDE, T::Wide::default());
        let value = |kernel: &Kernel<T::Weights>| T::dot(&kernel.weights, &old[kernel.first..]);
        out.extend(columns.iter().map(|kernel| T::narrow(value(kernel))));
    }
    out
}

fn down<T: Sample>(source: Plane<'_, T>, rows: &[Kernel<T::Weights>]) -> Vec<T> {
    let mut out = Vec::with_capacity(source.width * rows.len());
    let mut sums = vec![T::Sum::default(); source.width];
    for kernel in rows {
        sums.fill(T::Sum::default());
        for at in 0..kernel.count {
            T::add(&kernel.weights, at, source.row(kernel.first + at), &mut sums);
        }
        out.extend(sums.iter().map(|&sum| T::narrow(sum)));
    }
    out
}
