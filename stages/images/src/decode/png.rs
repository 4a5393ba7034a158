//! PNG, through the `png` crate.

use std::io::Cursor;

use super::super::pixels::{Pixels, Samples};
use super::{DecodeError, Header, ImageFormat, Limits, damaged};

const FORMAT: ImageFormat = ImageFormat::Png;

type Reader<'a> = ::png::Reader<Cursor<&'a [u8]>>;

pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    Ok(open(bytes, limits)?.0)
}

pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<Pixels, DecodeError> {
    let (header, mut reader) = open(bytes, limits)?;
    let mut samples = vec![0; header.decoded_bytes()];
    reader.next_frame(&mut samples).map_err(|error| damaged(FORMAT, error))?;
    // Reads on to the end mark: a file that lacks it was cut, even if it was cut behind the last pixel.
    reader.finish().map_err(|error| damaged(FORMAT, error))?;
    let samples = match header.depth {
        16 => Samples::U16(samples.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()),
        _ => Samples::U8(samples),
    };
    Ok(Pixels { width: header.width, height: header.height, channels: header.channels, samples })
}

fn open<'a>(bytes: &'a [u8], limits: &Limits) -> Result<(Header, Reader<'a>), DecodeError> {
    let mut decoder = ::png::Decoder::new_with_limits(Cursor::new(bytes), ::png::Limits { bytes: limits.max_bytes });
    decoder.set_transformations(::png::Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
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
