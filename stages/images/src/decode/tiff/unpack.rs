//! The samples in strips and tiles, as the `tiff` crate unpacks them.

use std::borrow::Cow;

use super::super::directory::Directory;
use super::super::raster::{NumberType, RawSamples};
use super::super::{DecodeError, damaged, unsupported};
use super::layout::{Colour, Compression, Layout};
use super::lzw::Lzw;
use super::mended::{MendedFile, Presentation};
use super::ycbcr::Chroma;
use super::{FORMAT, fax, sgi_log, zstd};

use ::tiff::TiffError;
use ::tiff::decoder::{Decoder, Limits};

/// The number of bytes as they are among compressions.
const RAW: u16 = 1;

/// Unpacks the strip or tile of a number.
type Unpack<'a> = Box<dyn FnMut(usize, &mut [u8]) -> Result<(), DecodeError> + 'a>;

/// All samples of an image, pixel by pixel.
pub(crate) fn gather(file: &[u8], directory: &Directory<'_>, layout: &Layout) -> Result<RawSamples, DecodeError> {
    let big_endian = directory.big_endian;
    let unpack = unpacking(file, big_endian, layout)?;
    let mut chunk = spreading(layout, unpack);
    let scaled = layout.samples.colour != Colour::Palette;
    Ok(match layout.samples.numbers {
        NumberType::Unsigned(8) => {
            RawSamples::U8(place(layout, &mut chunk, |row, out: &mut [u8]| out.copy_from_slice(row))?)
        }
        NumberType::Unsigned(bits @ ..8) => {
            let most = (1u32 << bits) - 1;
            // Lossless: at most 255.
            let full = |sample: u32| if scaled { ((sample * 255 + most / 2) / most) as u8 } else { sample as u8 };
            RawSamples::U8(place(layout, &mut chunk, |row, out| each_bits(row, bits, out, full))?)
        }
        NumberType::Unsigned(16) => {
            let read = |row: &[u8], out: &mut [u16]| each::<2, u16>(row, out, u16::from_ne_bytes);
            RawSamples::U16(place(layout, &mut chunk, read)?, 16)
        }
        NumberType::Unsigned(bits @ ..16) => {
            // Lossless: fewer than 16 bits.
            let read = |row: &[u8], out: &mut [u16]| each_bits(row, bits, out, |sample| sample as u16);
            RawSamples::U16(place(layout, &mut chunk, read)?, bits)
        }
        numbers => {
            let read = |row: &[u8], out: &mut [f64]| read_wide(row, numbers, big_endian, out);
            RawSamples::Wide(place(layout, &mut chunk, read)?, numbers)
        }
    })
}

/// The way to unpack the strips and tiles of a layout.
fn unpacking<'a>(file: &'a [u8], big_endian: bool, layout: &'a Layout) -> Result<Unpack<'a>, DecodeError> {
    let order = |byte: &u8| if layout.lowest_bit_first { byte.reverse_bits() } else { *byte };
    let ordered = move |bytes: &'a [u8]| match layout.lowest_bit_first {
        true => Cow::Owned(bytes.iter().map(order).collect()),
        false => Cow::Borrowed(bytes),
    };
    let bytes = |at: usize| &file[layout.chunks[at].clone()];
    Ok(match layout.compression {
        Compression::Fax(form) => Box::new(move |at, out| {
            fax::unpack(bytes(at).iter().map(order), form, layout.chunk_width, layout.row_bytes(), out)
        }),
        Compression::Lzw(form) => {
            let mut decoder = Lzw::new(form);
            undoing_differences(layout, big_endian, move |at, out| decoder.unpack(&ordered(bytes(at)), out))?
        }
        Compression::Zstd => {
            undoing_differences(layout, big_endian, move |at, out| zstd::unpack(&ordered(bytes(at)), out))?
        }
        Compression::SgiLog => {
            let in_colour = layout.samples.count == 3;
            Box::new(move |at, out| sgi_log::unpack(&ordered(bytes(at)), layout.chunk_width, in_colour, out))
        }
        Compression::Jpeg | Compression::OldJpeg => return Err(unsupported(FORMAT, "JPEG among other samples")),
        Compression::ByCrate(compression) => {
            let mended = MendedFile::new(ordered(file), big_endian, &layout.stored(), compression);
            let mut decoder = open(mended)?;
            Box::new(move |at, out| {
                decoder.inner().end_at(layout.chunks[at].end);
                // Lossless: the guard lets a million pass.
                decoder.read_chunk_bytes(at as u32, out).map_err(refusal)
            })
        }
    })
}

/// The same as `unpack`, but with samples in the order of this machine, and with their differences undone, by the crate: it
/// is shown each strip or tile unpacked.
fn undoing_differences<'a>(
    layout: &Layout,
    big_endian: bool,
    mut unpack: impl FnMut(usize, &mut [u8]) -> Result<(), DecodeError> + 'a,
) -> Result<Unpack<'a>, DecodeError> {
    let is_bytes = layout.samples.numbers.bits() == 8 || Presentation::of(layout) == Presentation::Bytes;
    if layout.predictor == 1 && is_bytes {
        return Ok(Box::new(unpack));
    }
    let mut shown = layout.stored();
    for at in 0..shown.chunks.len() {
        shown.chunks[at] = 0..shown.row_bytes() * shown.rows_of(at);
    }
    let bytes = vec![0; shown.row_bytes() * shown.chunk_height];
    let mut decoder = open(MendedFile::new(Cow::Owned(bytes), big_endian, &shown, RAW))?;
    Ok(Box::new(move |at, out| {
        let bytes = decoder.inner().bytes();
        unpack(at, bytes.get_mut(..out.len()).unwrap_or_default())?;
        // Lossless: the guard lets a million pass.
        decoder.read_chunk_bytes(at as u32, out).map_err(refusal)
    }))
}

/// The crate's decoder without limits: the guard has seen to all sizes.
fn open(file: MendedFile<'_>) -> Result<Decoder<MendedFile<'_>>, DecodeError> {
    Ok(Decoder::new(file).map_err(refusal)?.with_limits(Limits::unlimited()))
}

/// The same with rows of samples in place of rows of units whose pixels share their chroma.
fn spreading<'a>(layout: &'a Layout, mut unpack: Unpack<'a>) -> Unpack<'a> {
    let Chroma { down, .. } = layout.chroma;
    if layout.chroma == Chroma::WHOLE {
        return unpack;
    }
    let mut units = vec![0; layout.stored_row_bytes() * layout.chunk_height.div_ceil(down)];
    Box::new(move |at, out| {
        let units = &mut units[..layout.stored_row_bytes() * layout.rows_of(at).div_ceil(down)];
        unpack(at, units)?;
        layout.chroma.spread(units, layout.chunk_width, out);
        Ok(())
    })
}

fn read_wide(row: &[u8], numbers: NumberType, big_endian: bool, out: &mut [f64]) {
    match numbers {
        // As the crate hands three bytes on as they lie in the file.
        NumberType::Unsigned(24) => each::<3, f64>(row, out, |bytes| {
            let [one, two, three] = if big_endian { bytes } else { [bytes[2], bytes[1], bytes[0]] };
            f64::from(u32::from_be_bytes([0, one, two, three]))
        }),
        NumberType::Unsigned(32) => each(row, out, |bytes| f64::from(u32::from_ne_bytes(bytes))),
        NumberType::Unsigned(64) => each(row, out, |bytes| u64::from_ne_bytes(bytes) as f64),
        NumberType::Unsigned(bits) => each_bits(row, bits, out, f64::from),
        NumberType::Signed(8) => each(row, out, |bytes| f64::from(i8::from_ne_bytes(bytes))),
        NumberType::Signed(16) => each(row, out, |bytes| f64::from(i16::from_ne_bytes(bytes))),
        NumberType::Signed(32) => each(row, out, |bytes| f64::from(i32::from_ne_bytes(bytes))),
        NumberType::Signed(_) => each(row, out, |bytes| i64::from_ne_bytes(bytes) as f64),
        NumberType::Float(16) => each(row, out, |bytes| half(u16::from_ne_bytes(bytes))),
        NumberType::Float(32) => each(row, out, |bytes| f64::from(f32::from_ne_bytes(bytes))),
        NumberType::Float(_) => each(row, out, f64::from_ne_bytes),
    }
}

/// A number of IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// Reads samples of `N` bytes.
fn each<const N: usize, T>(row: &[u8], out: &mut [T], read: impl Fn([u8; N]) -> T) {
    for (sample, bytes) in out.iter_mut().zip(row.as_chunks::<N>().0) {
        *sample = read(*bytes);
    }
}

/// Reads samples of `bits` bits each, the highest first, as they lie in the file.
fn each_bits<T>(row: &[u8], bits: u8, out: &mut [T], read: impl Fn(u32) -> T) {
    let mask = u32::MAX >> (32 - bits);
    let (mut held, mut count, mut bytes) = (0u64, 0u8, row.iter());
    for sample in out {
        while count < bits {
            held = held << 8 | u64::from(bytes.next().copied().unwrap_or(0));
            count += 8;
        }
        count -= bits;
        // The cast drops what earlier samples have used.
        *sample = read((held >> count) as u32 & mask);
    }
}

/// Puts the rows of all strips or tiles in their places; `chunk` unpacks one, `read` reads the samples of a row.
fn place<T: Copy + Default>(
    layout: &Layout,
    chunk: &mut impl FnMut(usize, &mut [u8]) -> Result<(), DecodeError>,
    read: impl Fn(&[u8], &mut [T]),
) -> Result<Vec<T>, DecodeError> {
    let channels = layout.samples.count;
    let in_chunk = layout.samples_in_chunk();
    let mut out = vec![T::default(); layout.width * layout.height * channels];
    let mut unpacked = vec![0; layout.row_bytes() * layout.chunk_height];
    let mut row = vec![T::default(); layout.chunk_width * in_chunk];
    for at in 0..layout.chunks.len() {
        let (plane, place) = (at / layout.chunks_a_plane(), at % layout.chunks_a_plane());
        let (left, top) = (place % layout.across * layout.chunk_width, place / layout.across * layout.chunk_height);
        let (used_width, used_height) =
            (layout.chunk_width.min(layout.width - left), layout.chunk_height.min(layout.height - top));
        let unpacked = &mut unpacked[..layout.row_bytes() * layout.rows_of(at)];
        match layout.chunks[at].is_empty() {
            true => unpacked.fill(0),
            false => chunk(at, unpacked)?,
        }
        for (y, stored) in unpacked.chunks_exact(layout.row_bytes()).take(used_height).enumerate() {
            read(stored, &mut row);
            let start = ((top + y) * layout.width + left) * channels;
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

fn refusal(error: TiffError) -> DecodeError {
    match error {
        TiffError::UnsupportedError(what) => unsupported(FORMAT, what),
        other => damaged(FORMAT, other),
    }
}
