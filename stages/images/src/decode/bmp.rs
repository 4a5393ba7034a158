//! BMP, through the `image` crate, with two mends in front of it: headers of OS/2 2, which it does not know, and run lengths
//! that pass over pixels, which it leaves black; Pillow and OpenCV give these the first colour of the palette.

use std::borrow::Cow;

use super::format::FormatDecoder;
use super::orientation::Orientation;
use super::raster::{Raster, RawSamples};
use super::{DecodeError, Header, ImageFormat, Options, others};

/// Bytes before the second header, whose first four are its length.
const FILE_HEADER: usize = 14;
/// Length of the header of Windows, with which that of OS/2 2 starts.
const WINDOWS_HEADER: usize = 40;
/// Length of the header of OS/2 2.
const OS2_HEADER: usize = 64;

/// The decoder of BMP files.
pub(crate) struct Bmp;

impl FormatDecoder for Bmp {
    fn header(&self, bytes: &[u8], options: &Options) -> Result<Header, DecodeError> {
        others::of(ImageFormat::Bmp).header(&with_known_header(bytes), options)
    }

    fn decode(&self, bytes: &[u8], options: &Options) -> Result<Raster, DecodeError> {
        let mut bytes = with_known_header(bytes);
        let palette = take_palette(&mut bytes);
        let mut raster = others::of(ImageFormat::Bmp).decode(&bytes, options)?;
        if let (Some(palette), RawSamples::U8(samples)) = (palette, &mut raster.samples) {
            for pixel in samples.as_chunks_mut::<3>().0 {
                *pixel = palette.get(usize::from(pixel[0])).copied().unwrap_or_default();
            }
        }
        Ok(raster)
    }

    fn orientation(&self, _: &[u8], _: &Options) -> Orientation {
        Orientation::default()
    }
}

/// A whole number of `N` bytes, the lowest first.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<usize> {
    let mut wide = [0; 8];
    wide[..N].copy_from_slice(bytes.get(at..at + N)?);
    usize::try_from(u64::from_le_bytes(wide)).ok()
}

/// The file with a header of Windows in the place of one of OS/2 2, if its pixels are stored in a way that both know.
fn with_known_header(bytes: &[u8]) -> Cow<'_, [u8]> {
    let compression = number::<4>(bytes, FILE_HEADER + 16);
    let is_os2 = number::<4>(bytes, FILE_HEADER) == Some(OS2_HEADER) && matches!(compression, Some(0..=2));
    let behind = FILE_HEADER + OS2_HEADER;
    match number::<4>(bytes, 10).and_then(|pixels| pixels.checked_sub(OS2_HEADER - WINDOWS_HEADER)) {
        Some(pixels) if is_os2 && bytes.len() > behind => {
            let mut mended = bytes[..FILE_HEADER + WINDOWS_HEADER].to_vec();
            // Lossless: it was read from four bytes.
            mended[10..FILE_HEADER].copy_from_slice(&(pixels as u32).to_le_bytes());
            mended[FILE_HEADER..FILE_HEADER + 4].copy_from_slice(&(WINDOWS_HEADER as u32).to_le_bytes());
            mended.extend(&bytes[behind..]);
            Cow::Owned(mended)
        }
        _ => Cow::Borrowed(bytes),
    }
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
