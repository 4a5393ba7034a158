//! TIFF and BigTIFF: 8 and 16 bits, grey and colour, strips and tiles, raw, PackBits, LZW and deflate, either byte
//! order.
//!
//! Strips and tiles are unpacked into buffers of the size in the directory, so that the allocation caused by a damaged
//! file is bounded.

mod directory;
mod layout;
mod unpack;

use super::super::pixels::{Pixels, Samples};
use super::{DecodeError, Header, ImageFormat, Limits, damaged, unsupported};
use directory::{Directory, Tag};
use layout::Layout;

const FORMAT: ImageFormat = ImageFormat::Tiff;

pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    Ok(open(bytes, limits)?.0)
}

pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Pixels, DecodeError> {
    let (header, layout) = open(bytes, limits)?;
    let samples = match header.depth {
        16 => Samples::U16(gather(bytes, &header, &layout)?),
        _ => Samples::U8(gather(bytes, &header, &layout)?),
    };
    Ok(Pixels { width: header.width, height: header.height, channels: header.channels, samples })
}

fn open(bytes: &[u8], limits: &Limits) -> Result<(Header, Layout), DecodeError> {
    let directory = Directory::first(bytes).map_err(broken)?;
    let (channels, depth) = layout::samples(&directory)?;
    let side = |tag| directory.number(tag, 0).map_err(broken);
    let header = Header { format: FORMAT, width: side(Tag::Width)?, height: side(Tag::Height)?, channels, depth };
    let header = header.within(limits, bytes.len())?;
    let layout = Layout::read(&directory, &header, limits)?;
    Ok((header, layout))
}

fn broken(reason: String) -> DecodeError {
    damaged(FORMAT, reason)
}

/// The image's samples out of all its strips or tiles.
fn gather<T: Sample>(bytes: &[u8], header: &Header, layout: &Layout) -> Result<Vec<T>, DecodeError> {
    let &Header { width, height, channels, .. } = header;
    let in_chunk = if layout.planar { 1 } else { channels };
    let row_samples = layout.chunk_width * in_chunk;
    let mut out = vec![T::default(); width * height * channels];
    let mut buffer = Vec::new();
    let mut row = vec![T::default(); row_samples];
    for (index, chunk) in layout.chunks.iter().enumerate() {
        let (plane, at) = (index / layout.chunks_a_plane(), index % layout.chunks_a_plane());
        let (left, top) = (at % layout.across * layout.chunk_width, at / layout.across * layout.chunk_height);
        let (used_width, used_height) = (layout.chunk_width.min(width - left), layout.chunk_height.min(height - top));
        // The last strip ends with the image; a tile is always whole.
        let stored_rows = if layout.tiled { layout.chunk_height } else { used_height };
        let packed =
            bytes.get(chunk.clone()).ok_or_else(|| damaged(FORMAT, "it ends before its last strip or tile"))?;
        let unpacked =
            unpack::unpack(layout.compression, packed, stored_rows * row_samples * size_of::<T>(), &mut buffer)
                .map_err(broken)?;
        for (y, stored) in unpacked.chunks_exact(row_samples * size_of::<T>()).take(used_height).enumerate() {
            for (sample, stored) in row.iter_mut().zip(stored.chunks_exact(size_of::<T>())) {
                *sample = T::read(stored, layout.big_endian);
            }
            if layout.predicted {
                (in_chunk..row_samples).for_each(|at| row[at] = row[at].plus(row[at - in_chunk]));
            }
            if layout.white_is_zero {
                row.iter_mut().for_each(|sample| *sample = sample.inverted());
            }
            let start = ((top + y) * width + left) * channels;
            if in_chunk == channels {
                out[start..start + used_width * channels].copy_from_slice(&row[..used_width * channels]);
            } else {
                let pixels = out[start + plane..].iter_mut().step_by(channels);
                pixels.zip(&row[..used_width]).for_each(|(pixel, &sample)| *pixel = sample);
            }
        }
    }
    Ok(out)
}

/// A sample as it lies in the file.
trait Sample: Copy + Default {
    /// The sample of the bytes of one.
    fn read(bytes: &[u8], big_endian: bool) -> Self;
    /// Their sum, without the carry.
    fn plus(self, other: Self) -> Self;
    /// Black for white.
    fn inverted(self) -> Self;
}

impl Sample for u8 {
    fn read(bytes: &[u8], _: bool) -> Self {
        bytes[0]
    }
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn inverted(self) -> Self {
        !self
    }
}

impl Sample for u16 {
    fn read(bytes: &[u8], big_endian: bool) -> Self {
        let bytes = [bytes[0], bytes[1]];
        if big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    fn inverted(self) -> Self {
        !self
    }
}
