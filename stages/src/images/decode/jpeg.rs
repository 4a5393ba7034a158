//! JPEG, through the `zune-jpeg` crate.

use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::super::pixels::{Pixels, Samples};
use super::{DecodeError, Header, ImageFormat, Limits, damaged, unsupported};

const FORMAT: ImageFormat = ImageFormat::Jpeg;

type Decoder<'a> = JpegDecoder<ZCursor<&'a [u8]>>;

pub fn header(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    Ok(open(bytes, limits)?.0)
}

pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Pixels, DecodeError> {
    let (header, mut decoder) = open(bytes, limits)?;
    let samples = decoder.decode().map_err(refusal)?;
    if samples.len() != header.decoded_bytes() {
        return Err(damaged(FORMAT, "fewer pixels than the header promises"));
    }
    Ok(Pixels { width: header.width, height: header.height, channels: header.channels, samples: Samples::U8(samples) })
}

fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, Decoder<'a>), DecodeError> {
    let options =
        DecoderOptions::default().set_max_width(limits.max_side).set_max_height(limits.max_side).set_strict_mode(true);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(refusal)?;
    let info = decoder.info().ok_or_else(|| damaged(FORMAT, "it has no header"))?;
    let (channels, output) = match info.components {
        1 => (1, ColorSpace::Luma),
        3 => (3, ColorSpace::RGB),
        other => return Err(unsupported(FORMAT, format!("an image of {other} components (CMYK)"))),
    };
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    let header = Header { format: FORMAT, width, height, channels, depth: 8 }.within(limits, bytes.len())?;
    decoder.set_options(options.jpeg_set_out_colorspace(output));
    Ok((header, decoder))
}

fn refusal(error: DecodeErrors) -> DecodeError {
    match error {
        DecodeErrors::Unsupported(scheme) => unsupported(FORMAT, format!("{scheme:?}")),
        // Said of sides beyond `max_side`, before the other side is known.
        DecodeErrors::LargeDimensions(side) => {
            DecodeError::TooLarge { width: side, height: side, limit: "pixels a side".to_owned() }
        }
        other => damaged(FORMAT, other),
    }
}
