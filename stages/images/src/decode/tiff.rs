//! TIFF and BigTIFF, through the `tiff` crate; their JPEG strips and tiles as JPEG files.
//!
//! A guard reads the directory first (`guard`), and the crate is shown a file whose directory is known to be sound
//! (`mended`). It unpacks strips and tiles and undoes predictors; the meaning of the samples is ours.

mod fax;
mod guard;
mod jpeg;
mod jpeg_stream;
mod layout;
mod lzw;
mod mended;
mod old_jpeg;
mod ome;
mod sgi_log;
mod unpack;
mod ycbcr;
mod zstd;

use super::colour::{convert, rgb_of_cmyk, rgb_of_lab};
use super::directory::{Directory, Tag};
use super::format::{FormatDecoder, Pages};
use super::orientation::Orientation;
use super::raster::{NumberType, Raster, RawSamples};
use super::{DecodeError, Header, ImageFormat, Options, Page, damaged, unsupported};
use layout::{Colour, Layout, Samples};
use ycbcr::ToRgb;

const FORMAT: ImageFormat = ImageFormat::Tiff;

/// The decoder of TIFF files.
pub(crate) struct Tiff;

impl FormatDecoder for Tiff {
    fn header(&self, bytes: &[u8], options: &Options) -> Result<Header, DecodeError> {
        Ok(open(bytes, options)?.1)
    }

    fn decode(&self, bytes: &[u8], options: &Options) -> Result<Raster, DecodeError> {
        let (directory, header, layout) = open(bytes, options)?;
        let samples = match layout.is_jpeg() {
            true => RawSamples::U8(jpeg::gather(bytes, &directory, &layout, &options.limits)?),
            false => unpack::gather(bytes, &directory, &layout)?,
        };
        let samples = match layout.compression {
            // The JPEG decoder has made RGB of YCbCr.
            layout::Compression::Jpeg if layout.samples.colour == Colour::YCbCr => samples,
            _ => coloured(samples, &layout.samples, &directory)?,
        };
        Ok(Raster::new(&header, samples))
    }

    fn orientation(&self, bytes: &[u8], options: &Options) -> Orientation {
        let number = page(bytes, options.page).and_then(|page| page.number(Tag::Orientation, 1).map_err(broken));
        Orientation::of(number.unwrap_or(1))
    }

    fn grey_channels(&self, bytes: &[u8], chosen: Page) -> Result<usize, DecodeError> {
        let directory = page(bytes, chosen)?;
        let samples = guard::samples(&directory)?;
        if !matches!(samples.colour, Colour::Grey { .. }) {
            return Ok(1);
        }
        let extra = directory.numbers(Tag::ExtraSamples).map_err(broken)?.unwrap_or_default();
        // Others than these say nothing of a sample.
        let transparency = extra.iter().filter(|kind| matches!(kind, 1 | 2)).count();
        Ok(samples.count.saturating_sub(transparency).max(1))
    }

    fn pages(&self, bytes: &[u8]) -> Result<Pages, DecodeError> {
        let pages = Directory::pages(bytes).map_err(broken)?;
        let description = pages[0].bytes(Tag::ImageDescription).ok().flatten().unwrap_or_default();
        let count = pages.len();
        let told = ome::read(description, count).map_err(|what| unsupported(FORMAT, what))?;
        Ok(Pages { count, frames: 1, channels: told.channels, stack: told.stack })
    }
}

fn broken(reason: String) -> DecodeError {
    damaged(FORMAT, reason)
}

/// The directory of a page.
fn page(bytes: &[u8], page: Page) -> Result<Directory<'_>, DecodeError> {
    let pages = Directory::pages(bytes).map_err(broken)?;
    match (page, pages.as_slice()) {
        (Page::Only, [page]) => Ok(*page),
        (Page::Only, pages) => Err(DecodeError::SeveralPages { count: pages.len() }),
        (Page::Number(at), pages) => {
            pages.get(at).copied().ok_or(DecodeError::NoSuchPage { page: at, count: pages.len() })
        }
    }
}

fn open<'a>(bytes: &'a [u8], options: &Options) -> Result<(Directory<'a>, Header, Layout), DecodeError> {
    let directory = page(bytes, options.page)?;
    let samples = guard::samples(&directory)?;
    let side = |tag| directory.number(tag, 0).map_err(broken);
    let (channels, depth) = (samples.channels(), samples.depth());
    let header = Header { format: FORMAT, width: side(Tag::Width)?, height: side(Tag::Height)?, channels, depth };
    let delivered = channels * usize::from(depth / 8);
    let pixel_bytes = (samples.count * samples.numbers.working_bytes()).max(delivered);
    let is_fax = matches!(directory.number(Tag::Compression, 1), Ok(2..=4));
    let header = header.within_at(pixel_bytes, &options.limits, possible_bytes(bytes.len(), is_fax))?;
    let layout = Layout::read(&directory, &header, samples, &options.limits, bytes)?;
    Ok((directory, header, layout))
}

/// Bytes of a file that would hold as many samples at a byte each: a sample may take a bit of the file and eight bytes here,
/// and a blank line of a fax takes one bit.
fn possible_bytes(bytes: usize, is_fax: bool) -> usize {
    if is_fax { usize::MAX } else { bytes.saturating_mul(8) }
}

/// The samples with the meaning that the directory gives them.
fn coloured(samples: RawSamples, kind: &Samples, directory: &Directory<'_>) -> Result<RawSamples, DecodeError> {
    Ok(match (kind.colour, samples) {
        (Colour::Grey { white_is_zero: false } | Colour::Rgb, samples) => samples,
        (Colour::Grey { white_is_zero: true }, RawSamples::U8(samples)) => {
            RawSamples::U8(samples.into_iter().map(|sample| !sample).collect())
        }
        (Colour::Grey { white_is_zero: true }, RawSamples::U16(samples, bits)) => {
            let most = u16::MAX >> (16 - bits);
            RawSamples::U16(samples.into_iter().map(|sample| most - sample).collect(), bits)
        }
        (Colour::Grey { white_is_zero: true }, RawSamples::Wide(samples, numbers)) => {
            let most = match numbers {
                // The bits turn, as in OpenCV.
                NumberType::Signed(_) => -1.0,
                _ => 2f64.powi(numbers.bits().into()) - 1.0,
            };
            RawSamples::Wide(samples.into_iter().map(|sample| most - sample).collect(), numbers)
        }
        (Colour::Palette, RawSamples::U8(samples)) => {
            let table = palette(directory, kind.numbers)?;
            // Only the first sample is a place in the table.
            RawSamples::U8(samples.into_iter().step_by(kind.count).flat_map(|at| table[usize::from(at)]).collect())
        }
        (Colour::Palette, RawSamples::U16(samples, _)) => {
            let table = palette(directory, kind.numbers)?;
            RawSamples::U8(samples.into_iter().step_by(kind.count).flat_map(|at| table[usize::from(at)]).collect())
        }
        (Colour::Cmyk, RawSamples::U8(samples)) => RawSamples::U8(convert(&samples, kind.count, rgb_of_cmyk)),
        (Colour::Cmyk, RawSamples::U16(samples, _)) => {
            // Lossless: the upper byte fits one.
            let upper: Vec<u8> = samples.into_iter().map(|sample| (sample >> 8) as u8).collect();
            RawSamples::U8(convert(&upper, kind.count, rgb_of_cmyk))
        }
        (Colour::YCbCr, RawSamples::U8(samples)) => {
            let table = ToRgb::read(directory)?;
            RawSamples::U8(convert(&samples, kind.count, |stored| table.rgb(stored)))
        }
        (Colour::Lab, RawSamples::U8(samples)) => RawSamples::U8(convert(&samples, kind.count, rgb_of_lab)),
        (Colour::Palette | Colour::Cmyk | Colour::YCbCr | Colour::Lab, _) => {
            return Err(unsupported(FORMAT, "such a colour"));
        }
    })
}

/// The table of colours. Its 16 bits are cut to 8 unless they are 8 already, as libtiff guesses.
fn palette(directory: &Directory<'_>, numbers: NumberType) -> Result<Vec<[u8; 3]>, DecodeError> {
    let colours = 1usize << numbers.bits();
    let map = directory.numbers(Tag::ColorMap).map_err(broken)?.unwrap_or_default();
    if map.len() < 3 * colours {
        return Err(damaged(FORMAT, format!("its table of {colours} colours has {} numbers", map.len())));
    }
    let shift = if map.iter().any(|part| *part > 255) { 8 } else { 0 };
    // Lossless: a number of the table has 16 bits.
    let part = |at: usize| (map[at] >> shift).min(255) as u8;
    Ok((0..colours).map(|at| [part(at), part(colours + at), part(2 * colours + at)]).collect())
}
