//! Where in a TIFF file the samples lie, and how they are stored.

use std::ops::Range;

use ::tiff::TiffResult;
use ::tiff::decoder::Decoder;
use ::tiff::tags::{ByteOrder, Tag};

use super::unpack::Compression;
use super::{DecodeError, FORMAT, Header, Limits, Reader, damaged, refusal, unsupported};

/// The strips or tiles of an image, of which a strip is a tile as wide as the image.
pub struct Layout {
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
    /// How they are packed.
    pub compression: Compression,
    /// Whether samples are stored as the difference from their left neighbour.
    pub predicted: bool,
    /// Whether 0 means white.
    pub white_is_zero: bool,
    /// Whether the upper byte of 16 bits comes first.
    pub big_endian: bool,
}

/// Samples a pixel and bits a sample, if they are ones we read.
pub fn samples(reader: &mut Reader<'_>) -> Result<(usize, u8), DecodeError> {
    let channels = number(reader, Tag::SamplesPerPixel, 1)?;
    if !(1..=4).contains(&channels) {
        return Err(unsupported(FORMAT, format!("{channels} samples a pixel")));
    }
    let list = |reader: &mut Reader<'_>, tag| reader.find_tag_unsigned_vec::<u16>(tag).map_err(refusal);
    let depth = match list(reader, Tag::BitsPerSample)?.as_deref() {
        Some([8, rest @ ..]) if rest.iter().all(|&bits| bits == 8) => 8,
        Some([16, rest @ ..]) if rest.iter().all(|&bits| bits == 16) => 16,
        None => return Err(unsupported(FORMAT, "1 bit a sample")),
        Some(bits) => return Err(unsupported(FORMAT, format!("bits a sample of {bits:?}"))),
    };
    if list(reader, Tag::SampleFormat)?.is_some_and(|formats| formats.iter().any(|&format| format != 1)) {
        return Err(unsupported(FORMAT, "samples that are signed or floating-point numbers"));
    }
    // White is zero, black is zero, RGB.
    match number(reader, Tag::PhotometricInterpretation, 1)? {
        0..=2 => Ok((channels, depth)),
        other => Err(unsupported(FORMAT, format!("photometric interpretation {other} (a palette, CMYK or the like)"))),
    }
}

impl Layout {
    /// What the directory says, as far as it makes sense for an image of such a header.
    pub fn read(reader: &mut Reader<'_>, header: &Header, limits: &Limits) -> Result<Layout, DecodeError> {
        let tiled = reader.find_tag(Tag::TileOffsets).map_err(refusal)?.is_some();
        let (chunk_width, chunk_height) = if tiled {
            (number(reader, Tag::TileWidth, 0)?, number(reader, Tag::TileLength, 0)?)
        } else {
            (header.width, number(reader, Tag::RowsPerStrip, header.height)?.min(header.height))
        };
        let sample_bytes = header.channels * usize::from(header.depth / 8);
        let chunk_bytes = chunk_width.checked_mul(chunk_height).and_then(|pixels| pixels.checked_mul(sample_bytes));
        if chunk_bytes.is_none_or(|bytes| bytes == 0 || bytes > limits.max_bytes) {
            return Err(damaged(FORMAT, format!("strips or tiles of {chunk_width} x {chunk_height} pixels")));
        }
        if number(reader, Tag::FillOrder, 1)? != 1 {
            return Err(unsupported(FORMAT, "the lowest bit first"));
        }
        let predicted = match number(reader, Tag::Predictor, 1)? {
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
            planar: header.channels > 1 && number(reader, Tag::PlanarConfiguration, 1)? == 2,
            compression: Compression::of_tag(number(reader, Tag::Compression, 1)?)
                .map_err(|other| unsupported(FORMAT, format!("compression {other}")))?,
            predicted,
            white_is_zero: number(reader, Tag::PhotometricInterpretation, 1)? == 0,
            big_endian: reader.byte_order() == ByteOrder::BigEndian,
        };
        layout.chunks = chunks(reader, tiled)?;
        let planes = if layout.planar { header.channels } else { 1 };
        if layout.chunks.len() != layout.chunks_a_plane() * planes {
            return Err(damaged(FORMAT, format!("{} strips or tiles do not make its image", layout.chunks.len())));
        }
        Ok(layout)
    }

    /// Strips or tiles of one plane.
    pub fn chunks_a_plane(&self) -> usize {
        self.across * self.down
    }
}

fn number(reader: &mut Reader<'_>, tag: Tag, default: usize) -> Result<usize, DecodeError> {
    let found: TiffResult<Option<u32>> = Decoder::find_tag_unsigned(reader, tag);
    // Lossless: the crate runs where a usize has at least 32 bits.
    Ok(found.map_err(refusal)?.map_or(default, |number| number as usize))
}

/// Where the strips or tiles lie. That they lie within the file is seen when they are read.
fn chunks(reader: &mut Reader<'_>, tiled: bool) -> Result<Vec<Range<usize>>, DecodeError> {
    let (offsets, lengths) =
        if tiled { (Tag::TileOffsets, Tag::TileByteCounts) } else { (Tag::StripOffsets, Tag::StripByteCounts) };
    let offsets = reader.get_tag_u64_vec(offsets).map_err(refusal)?;
    let lengths = reader.get_tag_u64_vec(lengths).map_err(refusal)?;
    if offsets.len() != lengths.len() {
        return Err(damaged(FORMAT, "its strips or tiles have not as many places as lengths"));
    }
    let range = |(&offset, &length): (&u64, &u64)| {
        let end = offset.checked_add(length)?;
        Some(usize::try_from(offset).ok()?..usize::try_from(end).ok()?)
    };
    let ranges: Option<Vec<_>> = offsets.iter().zip(&lengths).map(range).collect();
    ranges.ok_or_else(|| damaged(FORMAT, "a strip or tile lies beyond any file"))
}
