//! BMP, GIF, WebP, PNM and QOI, through the `image` crate. Of an animation the first frame is read.

use std::borrow::Cow;
use std::io::Cursor;

use image::codecs::{bmp::BmpDecoder, gif::GifDecoder, pnm::PnmDecoder, qoi::QoiDecoder, webp::WebPDecoder};
use image::error::{ImageError, LimitErrorKind, UnsupportedErrorKind};
use image::{ColorType, ImageDecoder};

use super::format::{FormatDecoder, Pages};
use super::orientation::Orientation;
use super::raster::{Raster, RawSamples};
use super::{DecodeError, Header, ImageFormat, Limits, Options, damaged, gif, pnm, unsupported, webp};

/// Bytes that a decoder may reserve, per byte of the decoded image: the image, and a frame or canvas beside it.
const WORKING_FACTOR: u64 = 3;

/// The decoder of one of these formats.
struct Other(ImageFormat);

/// The decoder of `format`.
pub(crate) fn of(format: ImageFormat) -> &'static dyn FormatDecoder {
    match format {
        ImageFormat::Bmp => &Other(ImageFormat::Bmp),
        ImageFormat::Gif => &Other(ImageFormat::Gif),
        ImageFormat::Webp => &Other(ImageFormat::Webp),
        ImageFormat::Qoi => &Other(ImageFormat::Qoi),
        _ => &Other(ImageFormat::Pnm),
    }
}

impl FormatDecoder for Other {
    fn header(&self, bytes: &[u8], options: &Options) -> Result<Header, DecodeError> {
        Ok(self.open(bytes, &options.limits)?.0)
    }

    fn decode(&self, bytes: &[u8], options: &Options) -> Result<Raster, DecodeError> {
        let (header, decoder) = self.open(bytes, &options.limits)?;
        let mut samples = vec![0; header.decoded_bytes()];
        decoder.read_image_boxed(&mut samples).map_err(|error| self.refusal(error))?;
        if self.0 == ImageFormat::Gif && header.channels == 4 {
            gif::fill_around(bytes, header.width, &mut samples);
        }
        let samples = match header.depth {
            16 => RawSamples::U16(
                samples.chunks_exact(2).map(|pair| u16::from_ne_bytes([pair[0], pair[1]])).collect(),
                16,
            ),
            _ => RawSamples::U8(samples),
        };
        Ok(Raster::new(&header, samples))
    }

    fn orientation(&self, bytes: &[u8], options: &Options) -> Orientation {
        if self.0 != ImageFormat::Webp {
            return Orientation::default();
        }
        webp::metadata(bytes).orientation(options)
    }

    fn pages(&self, bytes: &[u8]) -> Result<Pages, DecodeError> {
        Ok(Pages::of_frames(match self.0 {
            ImageFormat::Gif => gif::frames(bytes),
            ImageFormat::Webp => webp::frames(bytes),
            _ => 1,
        }))
    }
}

impl Other {
    fn open<'a>(&self, bytes: &'a [u8], limits: &Limits) -> Result<(Header, Box<dyn ImageDecoder + 'a>), DecodeError> {
        let refuse = |error| self.refusal(error);
        let file = match self.0 {
            ImageFormat::Gif => gif::readable(bytes),
            ImageFormat::Pnm => pnm::readable(bytes),
            ImageFormat::Webp => Cow::Owned(webp::first_image(bytes).map_err(|reason| damaged(self.0, reason))?),
            _ => Cow::Borrowed(bytes),
        };
        let file = Cursor::new(file);
        let mut decoder: Box<dyn ImageDecoder + 'a> = match self.0 {
            ImageFormat::Bmp => Box::new(BmpDecoder::new(file).map_err(refuse)?),
            ImageFormat::Gif => Box::new(GifDecoder::new(file).map_err(refuse)?),
            ImageFormat::Webp => Box::new(WebPDecoder::new(file).map_err(refuse)?),
            ImageFormat::Qoi => Box::new(QoiDecoder::new(file).map_err(refuse)?),
            _ => Box::new(PnmDecoder::new(file).map_err(refuse)?),
        };
        // Lossless: the crate runs where a usize has at least 32 bits.
        let (width, height) = (decoder.dimensions().0 as usize, decoder.dimensions().1 as usize);
        let (channels, depth) = match decoder.color_type() {
            ColorType::L8 => (1, 8),
            ColorType::La8 => (2, 8),
            ColorType::Rgb8 => (3, 8),
            ColorType::Rgba8 => (4, 8),
            ColorType::L16 => (1, 16),
            ColorType::La16 => (2, 16),
            ColorType::Rgb16 => (3, 16),
            ColorType::Rgba16 => (4, 16),
            other => return Err(unsupported(self.0, format!("samples of the type {other:?}"))),
        };
        let header = Header { format: self.0, width, height, channels, depth };
        // A frame of one colour takes next to nothing in WebP and GIF, whatever its size.
        let possible = if matches!(self.0, ImageFormat::Webp | ImageFormat::Gif) { usize::MAX } else { bytes.len() };
        let header = header.within(limits, possible)?;
        let mut inner = image::Limits::no_limits();
        // Lossless: a usize has at most 64 bits.
        inner.max_alloc = Some((limits.max_bytes as u64).saturating_mul(WORKING_FACTOR));
        decoder.set_limits(inner).map_err(refuse)?;
        Ok((header, decoder))
    }

    fn refusal(&self, error: ImageError) -> DecodeError {
        match error {
            ImageError::Unsupported(error) => match error.kind() {
                UnsupportedErrorKind::GenericFeature(what) => unsupported(self.0, what),
                _ => unsupported(self.0, error),
            },
            ImageError::Limits(error) if error.kind() == LimitErrorKind::InsufficientMemory => {
                unsupported(self.0, "a frame beyond the limit of memory")
            }
            other => damaged(self.0, other),
        }
    }
}
