//! JPEG, through the `libjpeg-turbo-rs` crate, whose pixels are those of libjpeg-turbo (and so of Pillow and OpenCV)
//! bit for bit; other decoders differ from it by several grey levels where the chroma is subsampled.

mod huffman;
pub(crate) mod markers;

use libjpeg_turbo_rs::{ColorSpace, ComponentInfo, DecodeLimits, Decoder, JpegError, PixelFormat};

use super::colour::{convert, rgb_of_cmyk};
use super::format::FormatDecoder;
use super::orientation::Orientation;
use super::raster::{Raster, RawSamples};
use super::{DecodeError, Header, ImageFormat, Limits, Options, damaged, unsupported};
use markers::Markers;

const FORMAT: ImageFormat = ImageFormat::Jpeg;

/// Scans of a progressive file; encoders make about ten. A small file of thousands could keep a decoder busy for hours.
const MAX_SCANS: usize = 256;

/// Memory that decoding takes, per byte of decoded samples: the samples, and coefficients of 16 bits padded to whole
/// blocks.
const WORKING_FACTOR: usize = 4;

/// The decoder of JPEG files.
pub(crate) struct Jpeg;

impl FormatDecoder for Jpeg {
    fn header(&self, bytes: &[u8], options: &Options) -> Result<Header, DecodeError> {
        let markers = Markers::of(bytes).map_err(|reason| damaged(FORMAT, reason))?;
        Ok(open(&bytes[..markers.end.unwrap_or(bytes.len())], &options.limits)?.0)
    }

    fn decode(&self, bytes: &[u8], options: &Options) -> Result<Raster, DecodeError> {
        let markers = Markers::of(bytes).map_err(|reason| damaged(FORMAT, reason))?;
        let end = markers.end.ok_or_else(|| damaged(FORMAT, "it has no end mark"))?;
        let (header, decoder) = open(&bytes[..end], &options.limits)?;
        let components = decoder.header().components.len();
        let samples = samples(decoder, &header, components)?;
        // Adobe's files store the light that the ink lets through, and hardly anybody else writes such files.
        let samples = match components {
            4 => convert(&samples, 4, |ink: [u8; 4]| rgb_of_cmyk(ink.map(|ink| 255 - ink))),
            _ => samples,
        };
        Ok(Raster::new(&header, RawSamples::U8(samples)))
    }

    fn orientation(&self, bytes: &[u8], options: &Options) -> Orientation {
        Markers::of(bytes).map(|markers| markers.metadata.orientation(options)).unwrap_or_default()
    }
}

/// The colours of the samples of a JPEG stream within another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamColours {
    /// RGB of YCbCr, and grey or CMYK as they are stored.
    Rgb,
    /// Luma and chroma as they are stored, with that of the nearest unit where pixels share it.
    YCbCr,
}

/// The samples of a JPEG stream within another file, `components` of 8 bits a pixel, and their width and height.
pub(crate) fn decode_stream(
    bytes: &[u8],
    colours: StreamColours,
    limits: &Limits,
) -> Result<(Vec<u8>, Header, usize), DecodeError> {
    Markers::of(bytes).map_err(|reason| damaged(FORMAT, reason))?;
    let (header, decoder) = open(bytes, limits)?;
    let components = decoder.header().components.len();
    let decoder = match colours {
        StreamColours::YCbCr if components == 3 => {
            decoder.with_output_colorspace(ColorSpace::YCbCr).with_fast_upsample(true)
        }
        _ => decoder,
    };
    Ok((samples(decoder, &header, components)?, header, components))
}

/// The decoded samples: grey, RGB or CMYK.
fn samples(decoder: Decoder<'_>, header: &Header, components: usize) -> Result<Vec<u8>, DecodeError> {
    let format = match components {
        1 => PixelFormat::Grayscale,
        4 => PixelFormat::Cmyk,
        _ => PixelFormat::Rgb,
    };
    let image = decoder.with_output_format(format).decode_image().map_err(refusal)?;
    if image.data.len() != header.width * header.height * components {
        return Err(damaged(FORMAT, "fewer pixels than the header promises"));
    }
    Ok(image.data)
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
    let components = frame.components.len();
    if !matches!(components, 1 | 3 | 4) {
        return Err(unsupported(FORMAT, format!("an image of {components} components")));
    }
    if let Some(what) = unreadable_components(&frame.components) {
        return Err(unsupported(FORMAT, what));
    }
    let channels = components.min(3);
    let header = Header { format: FORMAT, width: frame.width(), height: frame.height(), channels, depth: 8 };
    Ok((header.within_at(components, limits, bytes.len())?, decoder))
}

/// An arrangement of components that the decoder takes for a damage, or reads as other pixels than libjpeg-turbo.
fn unreadable_components(components: &[ComponentInfo]) -> Option<&'static str> {
    let (first, others) = components.split_first()?;
    let is_finer = |other: &ComponentInfo| {
        other.horizontal_sampling > first.horizontal_sampling || other.vertical_sampling > first.vertical_sampling
    };
    if components.len() == 3 && others.iter().any(is_finer) {
        return Some("colour of a higher resolution than that of brightness");
    }
    let is_repeated = |(at, one): (usize, &ComponentInfo)| components[..at].iter().any(|other| other.id == one.id);
    components.iter().enumerate().any(is_repeated).then_some("several components of the same number")
}

fn refusal(error: JpegError) -> DecodeError {
    match error {
        JpegError::Unsupported(what) => unsupported(FORMAT, what),
        other => damaged(FORMAT, other),
    }
}
