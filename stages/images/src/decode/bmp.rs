//! BMP, through the `image` crate, with mends in front of it: headers of OS/2 2, which it does not know; a number of planes that
//! means nothing; a file's header that is not there; rows of run lengths from the top down; and run lengths that pass over
//! pixels, which it leaves black, while Pillow and OpenCV give these the first colour of the palette.

use std::borrow::Cow;

use super::format::FormatDecoder;
use super::raster::{Raster, RawSamples};
use super::{DecodeError, Header, ImageFormat, Limits, Options, damaged, image_crate};

/// Bytes before the second header, whose first four are its length.
const FILE_HEADER: usize = 14;
/// Length of the header of Windows, with which that of OS/2 2 starts.
const WINDOWS_HEADER: usize = 40;
/// Length of the header of OS/2 2.
const OS2_HEADER: usize = 64;
/// Length of the header of OS/2 1.
const CORE_HEADER: usize = 12;
/// The place of the height in a header of Windows.
const HEIGHT: usize = FILE_HEADER + 8;

/// The decoder of BMP files.
pub(crate) struct Bmp;

impl FormatDecoder for Bmp {
    fn header(&self, bytes: &[u8], options: &Options) -> Result<Header, DecodeError> {
        let (bytes, _) = mended(bytes);
        check_sides(&bytes, &options.limits)?;
        image_crate::of(ImageFormat::Bmp).header(&bytes, options)
    }

    fn decode(&self, bytes: &[u8], options: &Options) -> Result<Raster, DecodeError> {
        let (mut bytes, from_the_top) = mended(bytes);
        check_sides(&bytes, &options.limits)?;
        let palette = take_palette(&mut bytes);
        if let Some(palette) = &palette {
            check_runs(&bytes, palette.len()).map_err(|reason| damaged(ImageFormat::Bmp, reason))?;
        }
        let mut raster = image_crate::of(ImageFormat::Bmp).decode(&bytes, options)?;
        if let RawSamples::U8(samples) = &mut raster.samples {
            if let Some(palette) = palette {
                for pixel in samples.as_chunks_mut::<3>().0 {
                    *pixel = palette.get(usize::from(pixel[0])).copied().unwrap_or_default();
                }
            }
            if from_the_top {
                let rows = samples.chunks_exact(raster.width * raster.channels).rev();
                *samples = rows.flatten().copied().collect();
            }
        }
        Ok(raster)
    }
}

/// A whole number of `N` bytes, the lowest first.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(bytes.get(at..at + N)?);
    usize::try_from(u64::from_le_bytes(wide)).ok()
}

/// Checks the sides in a header of Windows: the crate has a limit of its own, and calls what is beyond it a damage.
fn check_sides(bytes: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    // Lossless: they are numbers of four bytes with a sign; a negative height says that the first row is at the top.
    let side = |at: usize| number::<4>(bytes, at).map_or(0, |side| side as u32 as i32);
    let (width, height) = (side(HEIGHT - 4).max(0) as usize, side(HEIGHT).unsigned_abs() as usize);
    if number::<4>(bytes, FILE_HEADER) < Some(WINDOWS_HEADER) || width.max(height) <= limits.max_side {
        return Ok(());
    }
    Err(DecodeError::TooLarge { width, height, limit: format!("{} pixels a side", limits.max_side) })
}

/// The file in a form that the crate knows, and whether its rows of run lengths begin at the top, which the crate is not told.
fn mended(bytes: &[u8]) -> (Cow<'_, [u8]>, bool) {
    let mut bytes = with_known_header(with_file_header(bytes));
    let (planes, is_known) = match number::<4>(&bytes, FILE_HEADER) {
        Some(CORE_HEADER) => (FILE_HEADER + 8, true),
        header => (FILE_HEADER + 12, header.is_some_and(|header| header >= WINDOWS_HEADER)),
    };
    if is_known && number::<2>(&bytes, planes).is_some_and(|count| count != 1) {
        bytes.to_mut()[planes..planes + 2].copy_from_slice(&1u16.to_le_bytes());
    }
    // Lossless: it is the number of four bytes with a sign.
    let height = number::<4>(&bytes, HEIGHT).map_or(0, |height| height as u32 as i32);
    let runs = matches!(number::<4>(&bytes, FILE_HEADER + 16), Some(1 | 2));
    let from_the_top = runs && height < 0 && number::<4>(&bytes, FILE_HEADER) >= Some(WINDOWS_HEADER);
    if from_the_top {
        bytes.to_mut()[HEIGHT..HEIGHT + 4].copy_from_slice(&height.unsigned_abs().to_le_bytes());
    }
    (bytes, from_the_top)
}

/// The file with the header of 14 bytes that it lacks if it comes from a clipboard, and with the place of its pixels where
/// that is 0: behind header and palette.
fn with_file_header(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.starts_with(b"BM") && number::<4>(bytes, 10) != Some(0) {
        return Cow::Borrowed(bytes);
    }
    // The length, which nobody reads, and what is reserved.
    let mut out =
        [&b"BM"[..], &[0; FILE_HEADER - 2], bytes.strip_prefix(b"BM").map_or(bytes, |_| &bytes[FILE_HEADER..])]
            .concat();
    let field = |at: usize| number::<4>(&out, FILE_HEADER + at).unwrap_or(0);
    let core = field(0) == CORE_HEADER;
    let bits = number::<2>(&out, FILE_HEADER + if core { 10 } else { 14 }).unwrap_or(0);
    let colours = match (bits, if core { 0 } else { field(32) }) {
        (1..=8, 0) => 1 << bits,
        (1..=8, used) => used.min(1 << bits),
        _ => 0,
    };
    let masks = if (field(0), field(16)) == (WINDOWS_HEADER, 3) { 12 } else { 0 };
    // Lossless: the length of a header that is known, and at most 256 colours.
    let start = (FILE_HEADER + field(0) + masks + if core { 3 } else { 4 } * colours) as u32;
    out[10..FILE_HEADER].copy_from_slice(&start.to_le_bytes());
    Cow::Owned(out)
}

/// The file with a header of Windows in the place of one of OS/2 2, if its pixels are stored in a way that both know.
fn with_known_header(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let compression = number::<4>(&bytes, FILE_HEADER + 16);
    let is_os2 = number::<4>(&bytes, FILE_HEADER) == Some(OS2_HEADER) && matches!(compression, Some(0..=2));
    let behind = FILE_HEADER + OS2_HEADER;
    match number::<4>(&bytes, 10).and_then(|pixels| pixels.checked_sub(OS2_HEADER - WINDOWS_HEADER)) {
        Some(pixels) if is_os2 && bytes.len() > behind => {
            let mut mended = bytes[..FILE_HEADER + WINDOWS_HEADER].to_vec();
            // Lossless: it was read from four bytes.
            mended[10..FILE_HEADER].copy_from_slice(&(pixels as u32).to_le_bytes());
            mended[FILE_HEADER..FILE_HEADER + 4].copy_from_slice(&(WINDOWS_HEADER as u32).to_le_bytes());
            mended.extend(&bytes[behind..]);
            Cow::Owned(mended)
        }
        _ => bytes,
    }
}

/// Checks that run lengths reach the last pixel, and that all places lie within a palette of so many colours: the crate fills
/// up what is missing.
fn check_runs(bytes: &[u8], colours: usize) -> Result<(), &'static str> {
    let field = |at: usize| number::<4>(bytes, at).unwrap_or(0);
    let (width, height) = (field(HEIGHT - 4), field(HEIGHT));
    let bits = number::<2>(bytes, FILE_HEADER + 14).unwrap_or(8);
    let mut rest = bytes.get(field(10)..).unwrap_or_default();
    let (mut x, mut y, mut most) = (0usize, 0usize, 0);
    let half = |byte: u8, at: usize| if at.is_multiple_of(2) { byte >> 4 } else { byte & 15 };
    while let Some(([count, value], behind)) = rest.split_first_chunk() {
        rest = behind;
        match (count, value) {
            (0, 0) => (x, y) = (0, y + 1),
            (0, 1) => break,
            (0, 2) => {
                let Some(([right, up], behind)) = rest.split_first_chunk() else { break };
                (x, y) = (x + usize::from(*right), y + usize::from(*up));
                rest = behind;
            }
            (0, count) => {
                let count = usize::from(*count);
                let length = if bits == 8 { count } else { count.div_ceil(2) };
                // Bytes come in pairs.
                let Some((values, behind)) = rest.split_at_checked(length + length % 2) else { break };
                let place = |at: usize| if bits == 8 { values[at] } else { half(values[at / 2], at) };
                most = (0..count).map(place).fold(most, u8::max);
                x += count;
                rest = behind;
            }
            (count, value) => {
                let place = |at: usize| if bits == 8 { *value } else { half(*value, at) };
                most = (0..usize::from(*count).min(2)).map(place).fold(most, u8::max);
                x += usize::from(*count);
            }
        }
    }
    if (y + 1, x) < (height, width) {
        return Err("its run lengths end before its last pixel");
    }
    if usize::from(most) >= colours { Err("its run lengths have places beyond its palette") } else { Ok(()) }
}

/// The palette of an image of run lengths, in whose place greys are put that are their own numbers, so that the decoder hands
/// out places in the palette.
fn take_palette(bytes: &mut Cow<'_, [u8]>) -> Option<Vec<[u8; 3]>> {
    let header = number::<4>(bytes, FILE_HEADER)?;
    let bits = number::<2>(bytes, FILE_HEADER + 14)?;
    let runs = matches!((number::<4>(bytes, FILE_HEADER + 16)?, bits), (1, 8) | (2, 4));
    if header < WINDOWS_HEADER || !runs {
        return None;
    }
    let used = match number::<4>(bytes, FILE_HEADER + 32)? {
        0 => 1 << bits,
        used => used.min(1 << bits),
    };
    let start = FILE_HEADER.checked_add(header)?;
    let end = start.checked_add(4 * used)?;
    if end > number::<4>(bytes, 10)? || end > bytes.len() {
        return None;
    }
    let entries = bytes.to_mut()[start..end].as_chunks_mut::<4>().0;
    let take = |(place, entry): (usize, &mut [u8; 4])| {
        let [blue, green, red, _] = *entry;
        // Lossless: there are at most 256 places.
        *entry = [place as u8, place as u8, place as u8, 0];
        [red, green, blue]
    };
    Some(entries.iter_mut().enumerate().map(take).collect())
}
