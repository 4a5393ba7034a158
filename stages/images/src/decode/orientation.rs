//! Turning and mirroring of images, as TIFF and EXIF number it.

use super::Header;
use crate::pixels::{Pixels, Samples};

/// An orientation: which side of the stored image is the top, and which the left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Orientation {
    /// Whether rows are stored as columns.
    transposed: bool,
    /// Whether the picture's right is stored first.
    from_right: bool,
    /// Whether the picture's bottom is stored first.
    from_bottom: bool,
}

impl Orientation {
    /// The orientation of this number, 1 to 8; any other number means none.
    pub(crate) fn of(number: usize) -> Orientation {
        let [transposed, from_right, from_bottom] = match number {
            2 => [false, true, false],
            3 => [false, true, true],
            4 => [false, false, true],
            5 => [true, false, false],
            6 => [true, true, false],
            7 => [true, true, true],
            8 => [true, false, true],
            _ => [false; 3],
        };
        Orientation { transposed, from_right, from_bottom }
    }

    /// The header of the turned image.
    pub(crate) fn turn_header(self, header: Header) -> Header {
        match self.transposed {
            true => Header { width: header.height, height: header.width, ..header },
            false => header,
        }
    }

    /// The turned image.
    pub(crate) fn turn(self, image: Pixels) -> Pixels {
        if self == Orientation::default() {
            return image;
        }
        let (width, height) = (image.width, image.height);
        let samples = match &image.samples {
            Samples::U8(samples) => Samples::U8(self.turned(samples, width, height, image.channels)),
            Samples::U16(samples) => Samples::U16(self.turned(samples, width, height, image.channels)),
        };
        let (width, height) = if self.transposed { (height, width) } else { (width, height) };
        Pixels { width, height, samples, ..image }
    }

    fn turned<T: Copy>(self, samples: &[T], width: usize, height: usize, channels: usize) -> Vec<T> {
        let (out_width, out_height) = if self.transposed { (height, width) } else { (width, height) };
        let mut out = Vec::with_capacity(samples.len());
        for row in 0..out_height {
            let row = if self.from_bottom { out_height - 1 - row } else { row };
            for column in 0..out_width {
                let column = if self.from_right { out_width - 1 - column } else { column };
                let pixel = if self.transposed { column * width + row } else { row * width + column };
                out.extend_from_slice(&samples[pixel * channels..(pixel + 1) * channels]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orientations_are_pillows() {
        // 1 2 3 / 4 5 6 by `ImageOps.exif_transpose` of Pillow 13.0.0.
        let expected: [(usize, usize, [u8; 6]); 10] = [
            (0, 3, [1, 2, 3, 4, 5, 6]),
            (1, 3, [1, 2, 3, 4, 5, 6]),
            (2, 3, [3, 2, 1, 6, 5, 4]),
            (3, 3, [6, 5, 4, 3, 2, 1]),
            (4, 3, [4, 5, 6, 1, 2, 3]),
            (5, 2, [1, 4, 2, 5, 3, 6]),
            (6, 2, [4, 1, 5, 2, 6, 3]),
            (7, 2, [6, 3, 5, 2, 4, 1]),
            (8, 2, [3, 6, 2, 5, 1, 4]),
            (9, 3, [1, 2, 3, 4, 5, 6]),
        ];
        for (number, width, samples) in expected {
            let turned = Orientation::of(number).turn(Pixels::grey8(3, 2, vec![1, 2, 3, 4, 5, 6]));
            assert_eq!(turned, Pixels::grey8(width, 6 / width, samples.to_vec()), "{number}");
        }
    }
}
