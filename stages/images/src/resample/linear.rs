//! Bilinear interpolation as OpenCV's `INTER_LINEAR` (`imgproc/src/resize.cpp`).

use super::Plane;
use super::area;
use super::taps::{Taps, interpolate_u8, interpolate_u16};

pub(crate) fn resize_u8(source: Plane<'_, u8>, width: usize, height: usize) -> Vec<u8> {
    // OpenCV takes the mean of 2 x 2 at exactly half the size.
    if source.width == 2 * width && source.height == 2 * height {
        return area::resize_u8(source, width, height);
    }
    interpolate_u8(source, centred(source.width, width), centred(source.height, height))
}

pub(crate) fn resize_u16(source: Plane<'_, u16>, width: usize, height: usize) -> Vec<u16> {
    if source.width == 2 * width && source.height == 2 * height {
        return area::resize_u16(source, width, height);
    }
    interpolate_u16(source, centred(source.width, width), centred(source.height, height))
}

/// Taps with pixel centres at halves.
fn centred(from: usize, to: usize) -> Taps {
    let scale = 1.0 / (to as f64 / from as f64);
    let tap = |at: usize| {
        let position = ((at as f64 + 0.5) * scale - 0.5) as f32;
        let left = position.floor();
        (left as isize, position - left)
    };
    Taps((0..to).map(tap).collect())
}
