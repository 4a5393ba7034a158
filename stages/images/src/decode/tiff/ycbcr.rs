//! YCbCr outside of JPEG: samples of chroma that several pixels share, and the colours that the directory defines.
//!
//! The numbers are those of libtiff's RGBA interface, which Pillow and OpenCV read such files by: whole numbers with 16 binary
//! digits behind the point.

use super::super::directory::{Directory, Tag};
use super::super::{DecodeError, damaged};
use super::FORMAT;

/// Binary digits behind the point.
const DIGITS: u32 = 16;

/// Pixels beside and below each other that share their chroma.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chroma {
    /// Pixels beside each other: 1, 2 or 4.
    pub across: usize,
    /// Pixels below each other: 1, 2 or 4.
    pub down: usize,
}

impl Chroma {
    /// Chroma of its own for each pixel.
    pub(crate) const WHOLE: Chroma = Chroma { across: 1, down: 1 };

    /// The form in a directory, if there is such a one.
    pub(crate) fn read(directory: &Directory<'_>) -> Result<Option<Chroma>, String> {
        let stored = directory.numbers(Tag::ChromaSubsampling)?.unwrap_or_else(|| vec![2, 2]);
        Ok(match stored[..] {
            [across @ (1 | 2 | 4), down @ (1 | 2 | 4), ..] => Some(Chroma { across, down }),
            _ => None,
        })
    }

    /// Bytes of a unit: the luma of its pixels row by row, then the two of chroma.
    fn unit_bytes(self) -> usize {
        self.across * self.down + 2
    }

    /// Bytes of a row of units for so many pixels.
    pub(crate) fn row_bytes(self, width: usize) -> usize {
        width.div_ceil(self.across) * self.unit_bytes()
    }

    /// Spreads rows of units over rows of `width` pixels, luma and chroma of each side by side.
    pub(crate) fn spread(self, units: &[u8], width: usize, out: &mut [u8]) {
        let unit_rows = units.chunks_exact(self.row_bytes(width));
        for (rows, unit_row) in out.chunks_mut(3 * width * self.down).zip(unit_rows) {
            for (y, row) in rows.chunks_exact_mut(3 * width).enumerate() {
                let blocks = row.chunks_mut(3 * self.across).zip(unit_row.chunks_exact(self.unit_bytes()));
                for (block, unit) in blocks {
                    let (luma, chroma) = unit.split_at(self.across * self.down);
                    for (pixel, luma) in block.chunks_exact_mut(3).zip(&luma[y * self.across..]) {
                        pixel.copy_from_slice(&[*luma, chroma[0], chroma[1]]);
                    }
                }
            }
        }
    }
}

/// Tables from luma and chroma to RGB.
pub(crate) struct ToRgb {
    luma: [i32; 256],
    red: [i32; 256],
    blue: [i32; 256],
    /// Parts of green by the two of chroma, `DIGITS` digits further left.
    green: [[i32; 256]; 2],
}

impl ToRgb {
    /// The tables for the coefficients and the range of a directory: without these ITU-R BT.601 at the full range.
    pub(crate) fn read(directory: &Directory<'_>) -> Result<ToRgb, DecodeError> {
        let rationals = |tag| directory.rationals(tag).map_err(|reason| damaged(FORMAT, reason));
        let coefficients = rationals(Tag::YCbCrCoefficients)?.unwrap_or_default();
        let range = rationals(Tag::ReferenceBlackWhite)?.unwrap_or_default();
        let (red, green, blue) = match coefficients[..] {
            [red, green, blue, ..] if (red + blue).is_finite() && green.is_normal() => (red, green, blue),
            _ => (0.299, 0.587, 0.114),
        };
        let range = range
            .first_chunk()
            .copied()
            .filter(|range| range.iter().all(|end| end.is_finite()))
            .unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
        Ok(ToRgb::new([red, green, blue], range))
    }

    fn new([red, green, blue]: [f64; 3], range: [f64; 6]) -> ToRgb {
        let fixed = |factor: f64| (factor.clamp(0.0, 2.0) * f64::from(1 << DIGITS) + 0.5) as i32;
        let half = 1 << (DIGITS - 1);
        let (of_red, of_blue) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let numbers: [i32; 256] = std::array::from_fn(|stored| stored as i32);
        let chroma = |[black, white]: [f64; 2]| {
            numbers.map(|stored| value(stored - 128, [black - 128.0, white - 128.0], 127.0).clamp(-256, 256))
        };
        let blue_chroma = chroma([range[2], range[3]]);
        let red_chroma = chroma([range[4], range[5]]);
        ToRgb {
            luma: numbers.map(|stored| value(stored, [range[0], range[1]], 255.0).clamp(-512, 512)),
            red: red_chroma.map(|chroma| (fixed(of_red) * chroma + half) >> DIGITS),
            blue: blue_chroma.map(|chroma| (fixed(of_blue) * chroma + half) >> DIGITS),
            green: [
                blue_chroma.map(|chroma| half - fixed(blue * of_blue / green) * chroma),
                red_chroma.map(|chroma| -fixed(red * of_red / green) * chroma),
            ],
        }
    }

    /// The colour of luma and chroma.
    pub(crate) fn rgb(&self, stored: [u8; 3]) -> [u8; 3] {
        let [luma, blue, red] = stored.map(usize::from);
        let green = (self.green[0][blue] + self.green[1][red]) >> DIGITS;
        // Lossless: clamped to a byte.
        [self.red[red], green, self.blue[blue]].map(|part| (self.luma[luma] + part).clamp(0, 255) as u8)
    }
}

/// The number that a stored one means, between `black`, which means 0, and `white`, which means `most`.
fn value(stored: i32, [black, white]: [f64; 2], most: f64) -> i32 {
    let (black, white) = (black.trunc(), white.trunc());
    let span = if white == black { 1.0 } else { white - black };
    ((f64::from(stored) - black) * most / span) as i32
}
