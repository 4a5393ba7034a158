//! Decoded samples as the file has them, before they are scaled.

use super::Header;
use crate::pixels::{Pixels, Samples};

/// A decoded image with the file's own numbers.
#[derive(Debug)]
pub(crate) struct Raster {
    pub width: usize,
    pub height: usize,
    pub channels: usize,
    pub samples: RawSamples,
}

/// Samples as the file has them.
#[derive(Debug)]
pub(crate) enum RawSamples {
    /// Up to 8 bits, already at the range of 8.
    U8(Vec<u8>),
    /// Numbers of this many bits, 9 to 16.
    U16(Vec<u16>, u8),
    /// All others.
    Wide(Vec<f64>, NumberType),
}

/// Type of the numbers in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NumberType {
    /// Unsigned, of this many bits.
    Unsigned(u8),
    /// Signed, of this many bits.
    Signed(u8),
    /// Floating-point.
    Float(u8),
}

impl NumberType {
    /// Bits in the file.
    pub(crate) fn bits(self) -> u8 {
        let (NumberType::Unsigned(bits) | NumberType::Signed(bits) | NumberType::Float(bits)) = self;
        bits
    }

    /// Bits a sample that decoding delivers.
    pub(crate) fn depth(self) -> u8 {
        match self {
            NumberType::Unsigned(..=8) | NumberType::Signed(8) => 8,
            _ => 16,
        }
    }

    /// Bytes that a sample needs while it is decoded.
    pub(crate) fn working_bytes(self) -> usize {
        match self {
            NumberType::Unsigned(..=8) => 1,
            NumberType::Unsigned(9..=16) => 2,
            _ => size_of::<f64>(),
        }
    }
}

impl Raster {
    /// A raster of `header`'s size.
    pub(crate) fn new(header: &Header, samples: RawSamples) -> Raster {
        Raster { width: header.width, height: header.height, channels: header.channels, samples }
    }

    /// The image of samples that are scaled.
    pub(crate) fn into_pixels(self, samples: Samples) -> Pixels {
        Pixels { width: self.width, height: self.height, channels: self.channels, samples }
    }
}
