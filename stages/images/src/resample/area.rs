//! The mean over the area of a new pixel, as OpenCV's `INTER_AREA` (`imgproc/src/resize.cpp`).
//!
//! If either side grows there is no such area, and OpenCV interpolates bilinearly at positions of its own.

use super::Plane;
use super::taps::{Taps, interpolate_u8, interpolate_u16};

pub(crate) fn resize_u8(source: Plane<'_, u8>, width: usize, height: usize) -> Vec<u8> {
    if width > source.width || height > source.height {
        return interpolate_u8(source, enlarging(source.width, width), enlarging(source.height, height));
    }
    // Casts of rounded means of u8 samples: within 0 to 255, and saturating anyway.
    shrink(source, width, height, f64::from, |mean| round_up_at_half(source, width, height, mean) as u8)
}

pub(crate) fn resize_u16(source: Plane<'_, u16>, width: usize, height: usize) -> Vec<u16> {
    if width > source.width || height > source.height {
        return interpolate_u16(source, enlarging(source.width, width), enlarging(source.height, height));
    }
    shrink(source, width, height, f64::from, |mean| round_up_at_half(source, width, height, mean) as u16)
}

/// OpenCV adds half and shifts when both sides are halved, and rounds to even otherwise.
fn round_up_at_half<T>(source: Plane<'_, T>, width: usize, height: usize, mean: f64) -> f64 {
    let halved = source.width == 2 * width && source.height == 2 * height;
    if halved { (mean + 0.5).floor() } else { mean.round_ties_even() }
}

/// Positions that `INTER_AREA` samples when it enlarges.
fn enlarging(from: usize, to: usize) -> Taps {
    let inverse = to as f64 / from as f64;
    let scale = 1.0 / inverse;
    Taps(
        (0..to)
            .map(|at| {
                let left = (at as f64 * scale).floor();
                let weight = ((at as f64 + 1.0) - (left + 1.0) * inverse) as f32;
                (left as isize, if weight <= 0.0 { 0.0 } else { weight - weight.floor() })
            })
            .collect(),
    )
}

/// For each new position the old positions it covers, with the covered share of the new pixel.
fn coverage(from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
    let scale = from as f64 / to as f64;
    (0..to)
        .map(|at| {
            let (start, end) = (at as f64 * scale, ((at + 1) as f64 * scale).min(from as f64));
            let share = |old: usize| {
                let covered = end.min((old + 1) as f64) - start.max(old as f64);
                (old, covered / (end - start))
            };
            // Slivers that only rounding made are left out, as in OpenCV.
            (start as usize..(end.ceil() as usize).min(from)).map(share).filter(|&(_, share)| share > 1e-9).collect()
        })
        .collect()
}

fn shrink<T: Copy>(
    source: Plane<'_, T>,
    width: usize,
    height: usize,
    widen: impl Fn(T) -> f64,
    narrow: impl Fn(f64) -> T,
) -> Vec<T> {
    let columns = coverage(source.width, width);
    let mut out = Vec::with_capacity(width * height);
    let mut sums = vec![0.0; width];
    for rows in coverage(source.height, height) {
        sums.fill(0.0);
        for (row, row_share) in rows {
            let old = source.row(row);
            for (sum, column) in sums.iter_mut().zip(&columns) {
                *sum += row_share * column.iter().map(|&(at, share)| widen(old[at]) * share).sum::<f64>();
            }
        }
        out.extend(sums.iter().map(|&mean| narrow(mean)));
    }
    out
}
