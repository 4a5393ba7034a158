//! The guard in front of the `tiff` crate: what a directory promises is held against the file's length and our limits before
//! anything is reserved for it, and what libtiff forgives is mended. `docs/upstream.md` has the reasons one by one.

use std::ops::Range;

use super::super::directory::{Directory, Tag};
use super::super::raster::NumberType;
use super::super::{DecodeError, Header, Limits, damaged, unsupported};
use super::fax::FaxForm;
use super::layout::{Colour, Compression, Layout, Samples};
use super::lzw::LzwForm;
use super::ycbcr::Chroma;
use super::{FORMAT, old_jpeg};

/// Strips or tiles of an image.
const MAX_CHUNKS: usize = 1 << 20;

/// The number of JPEG of before TIFF 6.2 among compressions.
const OLD_JPEG: usize = 6;

/// The number of SGI's logarithms of light among compressions.
const SGI_LOG: usize = 34_676;

/// Samples a pixel.
const MAX_SAMPLES: usize = 256;

const RAW: Compression = Compression::ByCrate(1);
const LZW: Compression = Compression::Lzw(LzwForm::Tiff5);
const DEFLATE: Compression = Compression::ByCrate(8);

fn broken(reason: String) -> DecodeError {
    damaged(FORMAT, reason)
}

fn refused<T>(what: impl std::fmt::Display) -> Result<T, DecodeError> {
    Err(unsupported(FORMAT, what))
}

/// The samples of an image, if they are supported.
pub(crate) fn samples(directory: &Directory<'_>) -> Result<Samples, DecodeError> {
    let number = |tag, default| directory.number(tag, default).map_err(broken);
    let compression = number(Tag::Compression, 1)?;
    let is_old_jpeg = compression == OLD_JPEG;
    // Writers of old JPEG leave the tag out.
    let count = number(Tag::SamplesPerPixel, if is_old_jpeg { 3 } else { 1 })?;
    if !(1..=MAX_SAMPLES).contains(&count) {
        return refused(format!("{count} samples a pixel"));
    }
    let all = directory.numbers(Tag::BitsPerSample).map_err(broken)?.unwrap_or_else(|| vec![1]);
    let bits = match all.first() {
        Some(bits @ 1..=64) if all.iter().take(count).all(|other| other == bits) => *bits as u8,
        _ => {
            let bits: Vec<String> = all.iter().map(usize::to_string).collect();
            let bits = if bits.is_empty() { "no number of".to_owned() } else { bits.join(", ") };
            return refused(format!("{bits} bits a sample"));
        }
    };
    let formats = directory.numbers(Tag::SampleFormat).map_err(broken)?.unwrap_or_default();
    let format = formats.first().copied().unwrap_or(1);
    if formats.iter().take(count).any(|other| *other != format) {
        return refused("samples of several types");
    }
    let numbers = match (format, bits) {
        // Logarithms of light, as which alone they are stored.
        _ if compression == SGI_LOG => NumberType::Unsigned(8),
        // 4 says that nothing is said.
        (1 | 4, 1..=32 | 64) => NumberType::Unsigned(bits),
        (2, 8 | 16 | 32 | 64) => NumberType::Signed(bits),
        (3, 16 | 32 | 64) => NumberType::Float(bits),
        (5 | 6, _) => return refused("samples that are complex numbers"),
        (format, bits) => return refused(format!("{bits} bits a sample in the sample format {format}")),
    };
    // Without the tag, fax machines mean that 0 is white, and others that it is black.
    let default = if matches!(compression, 2..=4) { 0 } else { 1 };
    let colour = match number(Tag::Photometric, default)? {
        // Of signed numbers of more bits, and of floating-point ones, Pillow, OpenCV and tifffile show the numbers.
        0 => Colour::Grey { white_is_zero: matches!(numbers, NumberType::Unsigned(_) | NumberType::Signed(8)) },
        // A mask has the meaning of a grey image.
        1 | 4 => Colour::Grey { white_is_zero: false },
        2 if count < 3 => {
            let reason = format!("it says that it is in RGB, and that a pixel has {count} of the 3 samples");
            return Err(broken(reason));
        }
        2 => Colour::Rgb,
        3 if matches!(numbers, NumberType::Unsigned(..=16)) => Colour::Palette,
        5 if count >= 4 && matches!(numbers, NumberType::Unsigned(8 | 16)) => Colour::Cmyk,
        6 if count == 3 && numbers == NumberType::Unsigned(8) => Colour::YCbCr,
        8 if count == 3 && numbers == NumberType::Unsigned(8) => Colour::Lab,
        3 | 5 | 6 | 8 => return refused(format!("colour with {count} samples of {bits} bits a pixel")),
        9 | 10 => return refused("ICC or ITU Lab colour"),
        32_803 => return refused("an undeveloped image of a camera's sensor"),
        32_844 if compression == SGI_LOG && count == 1 => Colour::Grey { white_is_zero: false },
        32_845 if compression == SGI_LOG && count == 3 => Colour::Rgb,
        32_844 | 32_845 => return refused("LogLuv colour that is not compressed as SGI Log of 32 bits"),
        other => return refused(format!("the photometric interpretation {other}")),
    };
    if compression == SGI_LOG && !matches!(number(Tag::Photometric, default)?, 32_844 | 32_845) {
        return refused("SGI Log compression of other colours than LogLuv");
    }
    if is_old_jpeg && colour != Colour::YCbCr {
        return refused("JPEG of before TIFF 6.2 in other colours than YCbCr");
    }
    Ok(Samples { count, numbers, colour })
}

impl Samples {
    /// Samples a pixel that are delivered.
    pub(crate) fn channels(&self) -> usize {
        if self.colour.becomes_rgb() { 3 } else { self.count }
    }

    /// Bits a sample that are delivered.
    pub(crate) fn depth(&self) -> u8 {
        if self.colour.becomes_rgb() { 8 } else { self.numbers.depth() }
    }
}

impl Layout {
    /// The layout in the directory, as far as it makes sense for an image of such a header in a file of `file` bytes.
    pub(crate) fn read(
        directory: &Directory<'_>,
        header: &Header,
        samples: Samples,
        limits: &Limits,
        file: &[u8],
    ) -> Result<Layout, DecodeError> {
        let number = |tag, default| directory.number(tag, default).map_err(broken);
        let tiled = number(Tag::TileWidth, 0)? != 0;
        let (chunk_width, chunk_height) = if tiled {
            (number(Tag::TileWidth, 0)?, number(Tag::TileHeight, 0)?)
        } else {
            let rows = number(Tag::RowsPerStrip, header.height)?;
            (header.width, if rows == 0 { header.height } else { rows.min(header.height) })
        };
        let compression = compression(number(Tag::Compression, 1)?, number(Tag::T4Options, 0)?)?;
        let mut layout = Layout {
            width: header.width,
            height: header.height,
            samples,
            chunk_width,
            chunk_height,
            across: header.width.div_ceil(chunk_width.max(1)),
            down: header.height.div_ceil(chunk_height.max(1)),
            tiled,
            chunks: Vec::new(),
            planar: samples.count > 1 && number(Tag::PlanarConfiguration, 1)? == 2,
            compression,
            predictor: predictor(number(Tag::Predictor, 1)?, compression, samples.numbers)?,
            lowest_bit_first: number(Tag::FillOrder, 1)? == 2,
            chroma: Chroma::WHOLE,
            joined_rows: 0,
        };
        if samples.colour == Colour::YCbCr && !layout.is_jpeg() {
            let chroma = Chroma::read(directory).map_err(broken)?.filter(|chroma| layout.takes(*chroma));
            layout.chroma = chroma.map_or_else(|| refused("such an arrangement of chroma"), Ok)?;
        }
        layout.check(limits)?;
        layout.chunks = layout.find_chunks(directory, file)?;
        if compression == Compression::OldJpeg {
            old_jpeg::join(&mut layout, directory, file)?;
        }
        let old = |place: &Range<usize>| matches!(file[place.clone()], [0, odd, ..] if odd & 1 == 1);
        if layout.compression == LZW && layout.chunks.first().is_some_and(old) {
            layout.compression = Compression::Lzw(LzwForm::Old);
        }
        Ok(layout)
    }

    /// Checks that a strip or tile may be reserved, and that its samples are stored in a way that is known.
    fn check(&self, limits: &Limits) -> Result<(), DecodeError> {
        let pixels = self.chunk_width.checked_mul(self.chunk_height);
        let bytes = pixels.and_then(|pixels| pixels.checked_mul(self.samples.count * 8));
        let bits = usize::from(self.samples.numbers.bits());
        if bytes.is_none_or(|bytes| bytes == 0 || bytes / 64 * bits > limits.max_bytes) {
            let (width, height) = (self.chunk_width, self.chunk_height);
            return Err(damaged(FORMAT, format!("strips or tiles of {width} x {height} pixels")));
        }
        if self.chunks_a_plane() * self.planes() > MAX_CHUNKS {
            return refused(format!("more than {MAX_CHUNKS} strips or tiles"));
        }
        if self.is_jpeg() && self.samples.numbers != NumberType::Unsigned(8) {
            return refused(format!("JPEG at {bits} bits"));
        }
        if self.compression == Compression::SgiLog && self.planar {
            return refused("SGI Log compression in planes");
        }
        let is_fax = matches!(self.compression, Compression::Fax(_));
        if is_fax && (bits != 1 || self.samples.count != 1) {
            return refused("fax compression of grey or coloured samples");
        }
        Ok(())
    }

    /// Whether strips and tiles are JPEG streams, or parts of one.
    pub(crate) fn is_jpeg(&self) -> bool {
        matches!(self.compression, Compression::Jpeg | Compression::OldJpeg)
    }

    /// Whether units of such chroma fit: those of several pixels go without planes and differences.
    fn takes(&self, chroma: Chroma) -> bool {
        chroma == Chroma::WHOLE || !self.planar && self.predictor == 1
    }

    /// The layout of the bytes as they are stored: that of the samples, or of units of pixels that share their chroma.
    pub(crate) fn stored(&self) -> Layout {
        let samples =
            Samples { count: 1, numbers: NumberType::Unsigned(8), colour: Colour::Grey { white_is_zero: false } };
        let chunks = self.chunks.clone();
        if self.chroma == Chroma::WHOLE {
            return Layout { chunks, ..*self };
        }
        let row_bytes = self.stored_row_bytes();
        let rows = |pixels: usize| pixels.div_ceil(self.chroma.down);
        Layout {
            width: row_bytes * self.across,
            height: (self.down - 1) * rows(self.chunk_height) + rows(self.rows_of(self.chunks_a_plane() - 1)),
            samples,
            chunk_width: row_bytes,
            chunk_height: rows(self.chunk_height),
            chroma: Chroma::WHOLE,
            chunks,
            ..*self
        }
    }

    /// Strips or tiles of one plane.
    pub(crate) fn chunks_a_plane(&self) -> usize {
        self.across * self.down
    }

    /// Planes that are stored apart.
    fn planes(&self) -> usize {
        if self.planar { self.samples.count } else { 1 }
    }

    /// Samples a pixel in a strip or tile.
    pub(crate) fn samples_in_chunk(&self) -> usize {
        if self.planar { 1 } else { self.samples.count }
    }

    /// Bytes of a row of a strip or tile as it is stored: of samples, or of units of pixels that share their chroma.
    pub(crate) fn stored_row_bytes(&self) -> usize {
        if self.chroma == Chroma::WHOLE { self.row_bytes() } else { self.chroma.row_bytes(self.chunk_width) }
    }

    /// Bytes of a row of a strip or tile, with all samples of each pixel.
    pub(crate) fn row_bytes(&self) -> usize {
        (self.chunk_width * self.samples_in_chunk() * usize::from(self.samples.numbers.bits())).div_ceil(8)
    }

    /// Rows that the strip or tile of this number has: the last strip ends with the image.
    pub(crate) fn rows_of(&self, chunk: usize) -> usize {
        let top = chunk % self.chunks_a_plane() / self.across * self.chunk_height;
        if self.tiled { self.chunk_height } else { self.chunk_height.min(self.height - top) }
    }

    /// The place of each strip or tile. Scanners leave their lengths out, or write 0 or too much, and old programs write the
    /// places of tiles as those of strips: then the length follows from the image's size, or reaches to the end of the file.
    fn find_chunks(&self, directory: &Directory<'_>, file: &[u8]) -> Result<Vec<Range<usize>>, DecodeError> {
        let first_of = |tags: [Tag; 2]| {
            tags.into_iter().map(|tag| directory.numbers(tag)).find(|found| !matches!(found, Ok(None)))
        };
        let (offsets, lengths) = match self.tiled {
            true => ([Tag::TileOffsets, Tag::StripOffsets], [Tag::TileByteCounts, Tag::StripByteCounts]),
            false => ([Tag::StripOffsets, Tag::TileOffsets], [Tag::StripByteCounts, Tag::TileByteCounts]),
        };
        let offsets = first_of(offsets).transpose().map_err(broken)?.flatten().unwrap_or_default();
        let lengths = first_of(lengths).and_then(Result::ok).flatten().unwrap_or_default();
        let count = self.chunks_a_plane() * self.planes();
        if offsets.len() < count {
            return Err(damaged(FORMAT, format!("{} of its {count} strips or tiles have a place", offsets.len())));
        }
        // Where the first two of many strips differ, libtiff believes neither.
        let doubtful = !self.planar && count > 2 && lengths.first() != lengths.get(1);
        let place = |(chunk, &start): (usize, &usize)| {
            let stored = lengths.get(chunk).copied().unwrap_or(0);
            let whole = self.stored_row_bytes() * self.rows_of(chunk).div_ceil(self.chroma.down);
            let end = match self.compression {
                // A length that is too small is a mistake where there is one strip, and a damage where there are several.
                RAW if count > 1 && !doubtful && (1..whole).contains(&stored) => None,
                RAW if start > 0 || stored > 0 => start.checked_add(whole),
                // A strip or tile that was never written, of which there are some in files of maps.
                _ if (start, stored) == (0, 0) && count > 1 => return Some(0..0),
                _ => Some(start.saturating_add(if stored == 0 { usize::MAX } else { stored }).min(file.len())),
            };
            end.filter(|end| *end <= file.len() && start < *end).map(|end| start..end)
        };
        if offsets.iter().take(count).all(|start| *start == 0) {
            return Err(damaged(FORMAT, "none of its strips or tiles has a place"));
        }
        let places: Option<Vec<Range<usize>>> = offsets.iter().take(count).enumerate().map(place).collect();
        places.ok_or_else(|| damaged(FORMAT, "it ends before its last strip or tile"))
    }
}

fn compression(number: usize, t4_options: usize) -> Result<Compression, DecodeError> {
    let name = match number {
        1 => return Ok(RAW),
        2 => return Ok(Compression::Fax(FaxForm::ByteAligned)),
        3 if t4_options & 1 == 0 => return Ok(Compression::Fax(FaxForm::OneDimension)),
        3 => return Ok(Compression::Fax(FaxForm::TwoDimensions)),
        4 => return Ok(Compression::Fax(FaxForm::Group4)),
        5 => return Ok(LZW),
        // The official number, and the one from before there was one.
        8 | 32_946 => return Ok(DEFLATE),
        32_773 => return Ok(Compression::ByCrate(32_773)),
        OLD_JPEG => return Ok(Compression::OldJpeg),
        7 => return Ok(Compression::Jpeg),
        32_771 => "fax aligned to words",
        32_809 => "ThunderScan",
        32_766 => "NeXT",
        SGI_LOG => return Ok(Compression::SgiLog),
        34_677 => "SGI Log of 24 bits",
        34_712 | 33_003 | 33_005 => "JPEG 2000",
        34_887 => "LERC",
        34_925 => "LZMA",
        50_000 => return Ok(Compression::Zstd),
        50_001 => "WebP",
        50_002 | 52_546 => "JPEG XL",
        other => return refused(format!("the compression {other}")),
    };
    refused(format!("{name} compression"))
}

/// The predictor, which counts with LZW, deflate and zstd alone.
fn predictor(number: usize, compression: Compression, numbers: NumberType) -> Result<u16, DecodeError> {
    match (number, numbers) {
        _ if !matches!(compression, LZW | DEFLATE | Compression::Zstd) => Ok(1),
        (0 | 1, _) => Ok(1),
        (2, _) if matches!(numbers.bits(), 8 | 16 | 32 | 64) => Ok(2),
        (3, NumberType::Float(_)) => Ok(3),
        _ => refused(format!("the predictor {number} with {} bits a sample", numbers.bits())),
    }
}
