//! PNG, through the `png` crate.

use std::borrow::Cow;
use std::io::Cursor;

use super::exif::Metadata;
use super::format::{FormatDecoder, Pages};
use super::orientation::Orientation;
use super::raster::{Raster, RawSamples};
use super::{DecodeError, Header, ImageFormat, Limits, Options, damaged};

const FORMAT: ImageFormat = ImageFormat::Png;

/// Keyword of the text in which XMP lies.
const XMP: &[u8] = b"XML:com.adobe.xmp\0";

type Reader<'a> = ::png::Reader<Cursor<&'a [u8]>>;

/// The decoder of PNG files.
pub(crate) struct Png;

impl FormatDecoder for Png {
    fn header(&self, bytes: &[u8], options: &Options) -> Result<Header, DecodeError> {
        Ok(open(&still(bytes), &options.limits)?.0)
    }

    fn decode(&self, bytes: &[u8], options: &Options) -> Result<Raster, DecodeError> {
        let bytes = still(bytes);
        let (header, mut reader) = open(&bytes, &options.limits)?;
        let mut samples = vec![0; header.decoded_bytes()];
        reader.next_frame(&mut samples).map_err(|error| damaged(FORMAT, error))?;
        // Reads on to the end mark: a file that lacks it was cut, even if it was cut behind the last pixel.
        reader.finish().map_err(|error| damaged(FORMAT, error))?;
        let samples = match header.depth {
            16 => RawSamples::U16(
                samples.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect(),
                16,
            ),
            _ => RawSamples::U8(samples),
        };
        Ok(Raster::new(&header, samples))
    }

    fn orientation(&self, bytes: &[u8], options: &Options) -> Orientation {
        metadata(bytes).orientation(options)
    }

    fn pages(&self, bytes: &[u8]) -> Result<Pages, DecodeError> {
        let animation = chunks(bytes).find(|chunk| chunk.name == b"acTL");
        let frames = animation.and_then(|chunk| chunk.data.first_chunk().map(|count| u32::from_be_bytes(*count)));
        // Lossless: the crate runs where a usize has at least 32 bits.
        Ok(Pages::of_frames(frames.map_or(1, |frames| frames as usize)))
    }
}

fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, Reader<'a>), DecodeError> {
    let mut how = ::png::DecodeOptions::default();
    // The crate leaves it unchecked by default, and Pillow checks it.
    how.set_ignore_adler32(false);
    // A damaged chunk beside the image is passed over, as by OpenCV, unless it may change the pixels.
    how.set_skip_ancillary_crc_failures(!chunks(bytes).any(|chunk| matches!(chunk.name, b"tRNS" | b"eXIf")));
    how.set_ignore_text_chunk(true);
    how.set_ignore_iccp_chunk(true);
    let mut decoder = ::png::Decoder::new_with_options(Cursor::new(bytes), how);
    decoder.set_limits(::png::Limits { bytes: limits.max_bytes });
    decoder.set_transformations(::png::Transformations::EXPAND);
    let reader = decoder.read_info().map_err(|error| damaged(FORMAT, error))?;
    let (color, depth) = reader.output_color_type();
    let info = reader.info();
    let header = Header {
        format: FORMAT,
        // Lossless: the crate runs where a usize has at least 32 bits.
        width: info.width as usize,
        height: info.height as usize,
        channels: color.samples(),
        depth: if depth == ::png::BitDepth::Sixteen { 16 } else { 8 },
    };
    Ok((header.within(limits, bytes.len())?, reader))
}

/// A chunk: its name, its data, and its bytes with length and checksum.
struct Chunk<'a> {
    name: &'a [u8],
    data: &'a [u8],
    whole: &'a [u8],
}

/// The chunks of a file, up to the first that is not whole.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    std::iter::from_fn(move || {
        // Lossless: the crate runs where a usize has at least 32 bits.
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let (whole, behind) = rest.split_at_checked(length.checked_add(12)?)?;
        rest = behind;
        Some(Chunk { name: &whole[4..8], data: &whole[8..8 + length], whole })
    })
}

/// Bytes of the signature.
const SIGNATURE: usize = 8;

/// The file without its animation, of which the image that programs show who know none is read: other frames may be out of
/// order, which is no damage of that image.
fn still(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !chunks(bytes).any(|chunk| chunk.name == b"acTL") {
        return Cow::Borrowed(bytes);
    }
    let mut out = bytes[..SIGNATURE].to_vec();
    let mut used = SIGNATURE;
    for chunk in chunks(bytes) {
        used += chunk.whole.len();
        if !matches!(chunk.name, b"acTL" | b"fcTL" | b"fdAT") {
            out.extend(chunk.whole);
        }
    }
    // What is not whole is for the decoder to refuse.
    out.extend(&bytes[used..]);
    Cow::Owned(out)
}

/// The metadata of a file, wherever its chunks lie: behind the image, too, where the crate finds them only after decoding.
fn metadata(bytes: &[u8]) -> Metadata<'_> {
    let mut metadata = Metadata::default();
    for chunk in chunks(bytes) {
        match chunk.name {
            b"eXIf" => metadata.exif = Some(chunk.data),
            b"iTXt" if chunk.data.starts_with(XMP) => metadata.xmp = Some(chunk.data),
            _ => {}
        }
    }
    metadata
}
