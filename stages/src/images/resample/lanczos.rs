//! Lanczos resampling as Pillow's `LANCZOS` (`src/libImaging/Resample.c`).
//!
//! For 8 bits the arithmetic is Pillow's fixed point with a rounding to 8 bits between the two passes, so that the results
//! are the same bits; for 16 bits it is double precision.

use std::f64::consts::PI;

use super::Plane;

/// Lobes of the window.
const LOBES: f64 = 3.0;

/// Bits behind the point of a fixed-point weight.
const WEIGHT_BITS: u32 = 32 - 8 - 2;

/// The weights of one new position: the first old position they apply to, then one after another.
struct Kernel<W> {
    first: usize,
    weights: Vec<W>,
}

pub fn resize_u8(source: Plane<'_, u8>, width: usize, height: usize) -> Vec<u8> {
    let fixed = |kernel: Kernel<f64>| {
        let fixed = |weight: f64| (weight * f64::from(1 << WEIGHT_BITS) + 0.5f64.copysign(weight)) as i32;
        Kernel { first: kernel.first, weights: kernel.weights.into_iter().map(fixed).collect() }
    };
    let columns: Option<Vec<Kernel<i32>>> =
        kernels(source.width, width).map(|all| all.into_iter().map(fixed).collect());
    let rows: Option<Vec<Kernel<i32>>> = kernels(source.height, height).map(|all| all.into_iter().map(fixed).collect());
    // The sum of the weights is 1 and that of their magnitudes below 2, so that an i32 holds the sums.
    let half = 1 << (WEIGHT_BITS - 1);
    let narrow = |sum: i32| ((sum + half) >> WEIGHT_BITS).clamp(0, 255) as u8;
    two_passes(source, columns, rows, |sum: i32, weight, sample: u8| sum + weight * i32::from(sample), narrow)
}

pub fn resize_u16(source: Plane<'_, u16>, width: usize, height: usize) -> Vec<u16> {
    let (columns, rows) = (kernels(source.width, width), kernels(source.height, height));
    let narrow = |sum: f64| (sum + 0.5).floor().clamp(0.0, 65_535.0) as u16;
    two_passes(source, columns, rows, |sum: f64, weight, sample: u16| sum + weight * f64::from(sample), narrow)
}

/// The weights along one axis; none where the size stays and Pillow leaves the axis alone.
fn kernels(from: usize, to: usize) -> Option<Vec<Kernel<f64>>> {
    if from == to {
        return None;
    }
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
        Kernel { first, weights }
    };
    Some((0..to).map(kernel).collect())
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

/// Columns first, then rows, each narrowed to samples.
fn two_passes<T: Copy, S: Copy + Default>(
    source: Plane<'_, T>,
    columns: Option<Vec<Kernel<S>>>,
    rows: Option<Vec<Kernel<S>>>,
    add: impl Fn(S, S, T) -> S,
    narrow: impl Fn(S) -> T,
) -> Vec<T> {
    let (width, across) = match columns {
        None => (source.width, source.samples.to_vec()),
        Some(columns) => {
            let mut out = Vec::with_capacity(columns.len() * source.height);
            for row in 0..source.height {
                let old = source.row(row);
                out.extend(columns.iter().map(|kernel| {
                    let covered = kernel.weights.iter().zip(&old[kernel.first..]);
                    narrow(covered.fold(S::default(), |sum, (&weight, &sample)| add(sum, weight, sample)))
                }));
            }
            (columns.len(), out)
        }
    };
    let Some(rows) = rows else { return across };
    let mut out = Vec::with_capacity(width * rows.len());
    let mut sums = vec![S::default(); width];
    for kernel in &rows {
        sums.fill(S::default());
        for (at, &weight) in kernel.weights.iter().enumerate() {
            let old = &across[(kernel.first + at) * width..][..width];
            for (sum, &sample) in sums.iter_mut().zip(old) {
                *sum = add(*sum, weight, sample);
            }
        }
        out.extend(sums.iter().map(|&sum| narrow(sum)));
    }
    out
}
