//! Layout of the samples in a TIFF file.

use std::ops::Range;

use super::directory::{Directory, Tag};
use super::unpack::Compression;
use super::{DecodeError, FORMAT, Header, Limits, broken, damaged, unsupported};

/// The strips or tiles of an image, of which a strip is a tile as wide as the image.
pub(crate) struct Layout {
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
    /// Bytes in the file of every strip or tile: row by row, and plane by plane if `planar`.
    pub chunks: Vec<Range<usize>>,
    /// Whether each channel has strips or tiles of its own.
    pub planar: bool,
    /// Their compression.
    pub compression: Compression,
    /// Whether samples are stored as the difference from their left neighbour.
    pub predicted: bool,
    /// Whether 0 means white.
    pub white_is_zero: bool,
    /// Whether the upper byte of 16 bits comes first.
    pub big_endian: bool,
}

/// Samples a pixel and bits a sample, if they are supported.
pub(crate) fn samples(directory: &Directory<'_>) -> Result<(usize, u8), DecodeError> {
    let channels = directory.number(Tag::SamplesPerPixel, 1).map_err(broken)?;
    if !(1..=4).contains(&channels) {
        return Err(unsupported(FORMAT, format!("{channels} samples a pixel")));
    }
    let depth = match directory.numbers(Tag::BitsPerSample).map_err(broken)?.as_deref() {
        Some([8, rest @ ..]) if rest.iter().all(|&bits| bits == 8) => 8,
        Some([16, rest @ ..]) if rest.iter().all(|&bits| bits == 16) => 16,
        None => return Err(unsupported(FORMAT, "1 bit a sample")),
        Some(bits) => {
            let bits: Vec<String> = bits.iter().map(usize::to_string).collect();
            return Err(unsupported(FORMAT, format!("{} bits a sample", bits.join(", "))));
        }
    };
    let formats = directory.numbers(Tag::SampleFormat).map_err(broken)?;
    if formats.is_some_and(|formats| formats.iter().any(|&format| format != 1)) {
        return Err(unsupported(FORMAT, "samples that are signed or floating-point numbers"));
    }
    // White is zero, black is zero, RGB.
    match directory.number(Tag::Photometric, 1).map_err(broken)? {
        0..=2 => Ok((channels, depth)),
        other => Err(unsupported(FORMAT, format!("photometric interpretation {other} (a palette, CMYK or the like)"))),
    }
}

impl Layout {
    /// The layout in the directory, as far as it makes sense for an image of such a header.
    pub(crate) fn read(directory: &Directory<'_>, header: &Header, limits: &Limits) -> Result<Layout, DecodeError> {
        let number = |tag, default| directory.number(tag, default).map_err(broken);
        let tiled = directory.numbers(Tag::TileOffsets).map_err(broken)?.is_some();
        let (chunk_width, chunk_height) = if tiled {
            (number(Tag::TileWidth, 0)?, number(Tag::TileHeight, 0)?)
        } else {
            (header.width, number(Tag::RowsPerStrip, header.height)?.min(header.height))
        };
        let sample_bytes = header.channels * usize::from(header.depth / 8);
        let chunk_bytes = chunk_width.checked_mul(chunk_height).and_then(|pixels| pixels.checked_mul(sample_bytes));
        if chunk_bytes.is_none_or(|bytes| bytes == 0 || bytes > limits.max_bytes) {
            return Err(damaged(FORMAT, format!("strips or tiles of {chunk_width} x {chunk_height} pixels")));
        }
        if number(Tag::FillOrder, 1)? != 1 {
            return Err(unsupported(FORMAT, "the lowest bit first"));
        }
        let predicted = match number(Tag::Predictor, 1)? {
            1 => false,
            2 => true,
            other => return Err(unsupported(FORMAT, format!("predictor {other}"))),
        };
        let mut layout = Layout {
            chunk_width,
            chunk_height,
            across: header.width.div_ceil(chunk_width),
            down: header.height.div_ceil(chunk_height),
            tiled,
            chunks: Vec::new(),
            planar: header.channels > 1 && number(Tag::PlanarConfiguration, 1)? == 2,
            compression: Compression::of_tag(number(Tag::Compression, 1)?)
                .map_err(|other| unsupported(FORMAT, format!("compression {other}")))?,
            predicted,
            white_is_zero: number(Tag::Photometric, 1)? == 0,
            big_endian: directory.big_endian,
        };
        layout.chunks = chunks(directory, tiled)?;
        let planes = if layout.planar { header.channels } else { 1 };
        if layout.chunks.len() != layout.chunks_a_plane() * planes {
            return Err(damaged(FORMAT, format!("{} strips or tiles do not make its image", layout.chunks.len())));
        }
        Ok(layout)
    }

    /// Strips or tiles of one plane.
    pub(crate) fn chunks_a_plane(&self) -> usize {
        self.across * self.down
    }
}

/// Places of the strips or tiles. That they lie within the file is checked when they are read.
fn chunks(directory: &Directory<'_>, tiled: bool) -> Result<Vec<Range<usize>>, DecodeError> {
    let (offsets, lengths) =
        if tiled { (Tag::TileOffsets, Tag::TileByteCounts) } else { (Tag::StripOffsets, Tag::StripByteCounts) };
    let offsets = directory.numbers(offsets).map_err(broken)?.unwrap_or_default();
    let lengths = directory.numbers(lengths).map_err(broken)?.unwrap_or_default();
    if offsets.len() != lengths.len() {
        return Err(damaged(FORMAT, "its strips or tiles have not as many places as lengths"));
    }
    let range = |(&offset, &length): (&usize, &usize)| Some(offset..offset.checked_add(length)?);
    let ranges: Option<Vec<_>> = offsets.iter().zip(&lengths).map(range).collect();
    ranges.ok_or_else(|| damaged(FORMAT, "a strip or tile lies beyond any file"))
}
