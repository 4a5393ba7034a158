//! The layout of an image in a TIFF file: the meaning of its samples, their compression, and the places of strips or tiles.

use std::ops::Range;

use super::super::raster::NumberType;
use super::fax::FaxForm;
use super::lzw::LzwForm;
use super::ycbcr::Chroma;

/// The meaning of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// Grey or any other channels; whether 0 is white.
    Grey { white_is_zero: bool },
    /// Red, green, blue, and perhaps others.
    Rgb,
    /// Places in a table of colours.
    Palette,
    /// Cyan, magenta, yellow and black ink.
    Cmyk,
    /// Luma and two of chroma.
    YCbCr,
    /// Lightness, and two numbers of colour around 0 (CIE L*a*b*).
    Lab,
}

impl Colour {
    /// Whether it becomes RGB of 8 bits.
    pub(crate) fn becomes_rgb(self) -> bool {
        matches!(self, Colour::Palette | Colour::Cmyk | Colour::YCbCr | Colour::Lab)
    }
}

/// Compression of a strip or tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// One that the `tiff` crate unpacks, by its number.
    ByCrate(u16),
    /// JPEG streams.
    Jpeg,
    /// JPEG of before TIFF 6.2.
    OldJpeg,
    /// Fax.
    Fax(FaxForm),
    /// LZW.
    Lzw(LzwForm),
    /// Zstandard.
    Zstd,
    /// SGI's logarithms of light, which become grey or RGB of 8 bits.
    SgiLog,
}

/// Layout of the samples of an image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Samples {
    /// Samples a pixel in the file.
    pub count: usize,
    /// Their type.
    pub numbers: NumberType,
    /// Their meaning.
    pub colour: Colour,
}

/// The strips or tiles of an image, of which a strip is a tile as wide as the image.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Pixels a row of the image.
    pub width: usize,
    /// Rows of the image.
    pub height: usize,
    /// Its samples.
    pub samples: Samples,
    /// Pixels a row of a strip or tile.
    pub chunk_width: usize,
    /// Rows of a strip or tile.
    pub chunk_height: usize,
    /// Tiles beside each other; 1 for strips.
    pub across: usize,
    /// Tiles or strips below each other.
    pub down: usize,
    /// Whether these are tiles, which are stored whole even where they reach beyond the image.
    pub tiled: bool,
    /// Bytes in the file of every strip or tile, all within the file: row by row, and plane by plane if `planar`.
    pub chunks: Vec<Range<usize>>,
    /// Whether each channel has strips or tiles of its own.
    pub planar: bool,
    /// Their compression.
    pub compression: Compression,
    /// 1, or 2 and 3 for samples stored as differences.
    pub predictor: u16,
    /// Whether the lowest bit of a byte comes first.
    pub lowest_bit_first: bool,
    /// Pixels that share their chroma, where there is any.
    pub chroma: Chroma,
    /// Rows of each of the strips of which `chunks` are the parts of one stream that holds the whole image; 0 if each holds its own.
    pub joined_rows: usize,
}
