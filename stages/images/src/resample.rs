//! Resampling of grey images.
//!
//! Each interpolation is that of a reference library, to the last bit where that is
//! possible; see `linear`, `area` and `lanczos`.

mod area;
mod columns;
mod dot;
mod lanczos;
mod linear;
mod rows;
mod taps;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pixels::{Pixels, Samples};

/// Interpolation methods.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// OpenCV's `INTER_LINEAR`: between the nearest 2 x 2 pixels, pixel centres at halves, no antialiasing.
    #[default]
    Bilinear,
    /// OpenCV's `INTER_AREA`: the mean over the area that a new pixel covers; bilinear when it enlarges.
    Area,
    /// Pillow's `LANCZOS`: a windowed sinc over three lobes, widened to the scale when it shrinks.
    Lanczos,
}

/// The grey image at `width` x `height`.
///
/// # Panics
/// If the image has more than one channel, or a side is 0.
pub fn resize(pixels: &Pixels, width: usize, height: usize, interpolation: Interpolation) -> Pixels {
    assert_eq!(pixels.channels, 1, "only grey images are resized");
    assert!(width > 0 && height > 0, "an image of {width} x {height} pixels");
    let samples = match &pixels.samples {
        Samples::U8(samples) => {
            let source = Plane { width: pixels.width, height: pixels.height, samples };
            Samples::U8(match interpolation {
                Interpolation::Bilinear => linear::resize_u8(source, width, height),
                Interpolation::Area => area::resize_u8(source, width, height),
                Interpolation::Lanczos => lanczos::resize_u8(source, width, height),
            })
        }
        Samples::U16(samples) => {
            let source = Plane { width: pixels.width, height: pixels.height, samples };
            Samples::U16(match interpolation {
                Interpolation::Bilinear => linear::resize_u16(source, width, height),
                Interpolation::Area => area::resize_u16(source, width, height),
                Interpolation::Lanczos => lanczos::resize_u16(source, width, height),
            })
        }
    };
    Pixels { width, height, channels: 1, samples }
}

/// Borrowed grey samples.
#[derive(Clone, Copy)]
struct Plane<'a, T> {
    width: usize,
    height: usize,
    samples: &'a [T],
}

impl<'a, T> Plane<'a, T> {
    fn row(&self, row: usize) -> &'a [T] {
        &self.samples[row * self.width..][..self.width]
    }
}
