//! JPEG, through the `libjpeg-turbo-rs` crate, whose pixels are those of libjpeg-turbo (and so of Pillow and OpenCV)
//! bit for bit; other decoders differ from it by several grey levels where the chroma is subsampled.

use libjpeg_turbo_rs::{DecodeLimits, Decoder, JpegError, PixelFormat};

use super::super::pixels::{Pixels, Samples};
use super::{DecodeError, Header, ImageFormat, Limits, damaged, unsupported};

const FORMAT: ImageFormat = ImageFormat::Jpeg;

/// Scans of a progressive file; encoders make about ten. A small file of thousands could keep a decoder busy for hours.
const MAX_SCANS: usize = 256;

/// Memory that decoding takes, per byte of decoded samples: the samples, and coefficients of 16 bits padded to whole
/// blocks.
const WORKING_FACTOR: usize = 4;

pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    Ok(open(bytes, limits)?.0)
}

pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Pixels, DecodeError> {
    let (header, decoder) = open(bytes, limits)?;
    if !has_end_mark(bytes) {
        return Err(damaged(FORMAT, "it has no end mark"));
    }
    let format = if header.channels == 1 { PixelFormat::Grayscale } else { PixelFormat::Rgb };
    let image = decoder.with_output_format(format).decode_image().map_err(refusal)?;
    if image.data.len() != header.decoded_bytes() {
        return Err(damaged(FORMAT, "fewer pixels than the header promises"));
    }
    Ok(Pixels {
        width: header.width,
        height: header.height,
        channels: header.channels,
        samples: Samples::U8(image.data),
    })
}

fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, Decoder<'a>), DecodeError> {
    let inner = DecodeLimits {
        max_scans: MAX_SCANS,
        // Lossless: a usize has at most 64 bits.
        max_memory: Some(limits.max_bytes.saturating_mul(WORKING_FACTOR) as u64),
        ..DecodeLimits::default()
    };
    let decoder = Decoder::new_with_limits(bytes, inner).map_err(refusal)?;
    let frame = decoder.header();
    if frame.precision != 8 || frame.is_lossless {
        let kind = if frame.is_lossless { "lossless" } else { "lossy" };
        return Err(unsupported(FORMAT, format!("{kind} compression at {} bits", frame.precision)));
    }
    let channels = match frame.components.len() {
        channels @ (1 | 3) => channels,
        4 => return Err(unsupported(FORMAT, "CMYK colour")),
        other => return Err(unsupported(FORMAT, format!("an image of {other} components"))),
    };
    let header = Header { format: FORMAT, width: frame.width(), height: frame.height(), channels, depth: 8 };
    Ok((header.within(limits, bytes.len())?, decoder))
}

/// Whether an end mark follows the start of the last scan. Inside a scan its bytes cannot occur, and what precedes the
/// scans (a thumbnail, say) may hold one of its own.
fn has_end_mark(bytes: &[u8]) -> bool {
    let last = |mark: [u8; 2]| bytes.windows(2).rposition(|pair| pair == mark);
    last([0xff, 0xd9]).is_some_and(|end| last([0xff, 0xda]).is_some_and(|scan| scan < end))
}

fn refusal(error: JpegError) -> DecodeError {
    match error {
        JpegError::Unsupported(what) => unsupported(FORMAT, what),
        other => damaged(FORMAT, other),
    }
}
