//! TIFF, through the `tiff` crate: 8 and 16 bits, grey and colour, strips and tiles, raw, PackBits, LZW and deflate.

use std::io::Cursor;

use ::tiff::decoder::{Decoder, DecodingResult, Limits as TiffLimits};
use ::tiff::{ColorType, TiffError};

use super::super::pixels::{Pixels, Samples};
use super::{DecodeError, Header, ImageFormat, Limits, damaged, unsupported};

const FORMAT: ImageFormat = ImageFormat::Tiff;

/// Most bytes of one field of a directory; a table of strip offsets is the longest that occurs.
const MAX_FIELD_BYTES: usize = 4 << 20;

type Reader<'a> = Decoder<Cursor<&'a [u8]>>;

pub fn header(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    Ok(open(bytes, limits)?.0)
}

pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Pixels, DecodeError> {
    let (header, mut decoder) = open(bytes, limits)?;
    let mut result = DecodingResult::U8(Vec::new());
    let layout = decoder.read_image_to_buffer(&mut result).map_err(refusal)?;
    let (width, height, channels) = (header.width, header.height, header.channels);
    let samples = match result {
        DecodingResult::U8(samples) => Samples::U8(interleaved(samples, layout.planes)),
        DecodingResult::U16(samples) => Samples::U16(interleaved(samples, layout.planes)),
        _ => return Err(unsupported(FORMAT, "a sample type other than unsigned integers of 8 or 16 bits")),
    };
    if samples.len() != width * height * channels {
        return Err(damaged(FORMAT, "its samples are not as many as its pixels and channels ask for"));
    }
    Ok(Pixels { width, height, channels, samples })
}

fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, Reader<'a>), DecodeError> {
    let mut inner = TiffLimits::default();
    inner.decoding_buffer_size = limits.max_bytes;
    inner.intermediate_buffer_size = limits.max_bytes;
    inner.ifd_value_size = MAX_FIELD_BYTES;
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(refusal)?.with_limits(inner);
    let (width, height) = decoder.dimensions().map_err(refusal)?;
    let color = decoder.colortype().map_err(refusal)?;
    let (channels, depth) = match color {
        ColorType::Gray(depth @ (8 | 16)) => (1, depth),
        ColorType::GrayA(depth @ (8 | 16)) => (2, depth),
        ColorType::Multiband { bit_depth: depth @ (8 | 16), num_samples: 2 } => (2, depth),
        ColorType::RGB(depth @ (8 | 16)) => (3, depth),
        ColorType::RGBA(depth @ (8 | 16)) => (4, depth),
        other => return Err(unsupported(FORMAT, format!("the colour type {other:?}"))),
    };
    // Lossless: the crate runs where a usize has at least 32 bits.
    let header = Header { format: FORMAT, width: width as usize, height: height as usize, channels, depth };
    Ok((header.within(limits, bytes.len())?, decoder))
}

/// One plane after another becomes one pixel after another.
fn interleaved<T: Copy>(samples: Vec<T>, planes: usize) -> Vec<T> {
    if planes <= 1 {
        return samples;
    }
    let plane = samples.len() / planes;
    (0..plane * planes).map(|at| samples[at % planes * plane + at / planes]).collect()
}

fn refusal(error: TiffError) -> DecodeError {
    match error {
        TiffError::UnsupportedError(what) => unsupported(FORMAT, what),
        other => damaged(FORMAT, other),
    }
}
