//! From pixels to the bytes of a file.

use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

use crate::pixels::{Pixels, Samples};

/// Errors of writing an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The format cannot hold such an image.
    #[error(
        "a {width} x {height} image of {channels} channels at {depth} bits cannot be written as {format}: {reason}"
    )]
    Unsuitable {
        /// The format.
        format: &'static str,
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// Samples a pixel.
        channels: usize,
        /// Bits a sample.
        depth: u8,
        /// The reason.
        reason: String,
    },
}

fn unsuitable(format: &'static str, pixels: &Pixels, reason: impl ToString) -> EncodeError {
    let &Pixels { width, height, channels, .. } = pixels;
    EncodeError::Unsuitable { format, width, height, channels, depth: pixels.depth(), reason: reason.to_string() }
}

/// The image as a PNG file, quickly: with one filter for all rows. On pictures of cells that is a twentieth more than
/// [`smaller_png`] gives and still less than OpenCV's, in half the time.
///
/// # Errors
/// If a side is longer than PNG can say (2^31 - 1).
pub fn png(pixels: &Pixels) -> Result<Vec<u8>, EncodeError> {
    png_by(pixels, png::Filter::Avg)
}

/// The image as a smaller PNG file: with the best filter for each row.
///
/// # Errors
/// As [`png()`].
pub fn smaller_png(pixels: &Pixels) -> Result<Vec<u8>, EncodeError> {
    png_by(pixels, png::Filter::Adaptive)
}

fn png_by(pixels: &Pixels, filter: png::Filter) -> Result<Vec<u8>, EncodeError> {
    let refuse = |error: png::EncodingError| unsuitable("PNG", pixels, error);
    let mut file = Vec::new();
    let size = |side: usize| u32::try_from(side).map_err(|error| unsuitable("PNG", pixels, error));
    let mut encoder = png::Encoder::new(&mut file, size(pixels.width)?, size(pixels.height)?);
    encoder.set_color(match pixels.channels {
        1 => png::ColorType::Grayscale,
        2 => png::ColorType::GrayscaleAlpha,
        3 => png::ColorType::Rgb,
        _ => png::ColorType::Rgba,
    });
    encoder.set_compression(png::Compression::Fast);
    encoder.set_filter(filter);
    match &pixels.samples {
        Samples::U8(samples) => encoder.write_header().map_err(refuse)?.write_image_data(samples).map_err(refuse)?,
        Samples::U16(samples) => {
            encoder.set_depth(png::BitDepth::Sixteen);
            let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_be_bytes()).collect();
            encoder.write_header().map_err(refuse)?.write_image_data(&bytes).map_err(refuse)?;
        }
    }
    Ok(file)
}

/// A grey 8-bit image as a baseline JPEG file of `quality` 1 to 100: the very bytes that OpenCV and Pillow write.
///
/// # Errors
/// If the image is not grey with 8 bits, or has a side over 65,500 pixels.
pub fn jpeg(pixels: &Pixels, quality: u8) -> Result<Vec<u8>, EncodeError> {
    let (Samples::U8(samples), 1) = (&pixels.samples, pixels.channels) else {
        return Err(unsuitable("JPEG", pixels, "only grey images of 8 bits are"));
    };
    as_jpeg(pixels, Encoder::new(samples, pixels.width, pixels.height, PixelFormat::Grayscale), quality)
}

/// A grey or coloured 8-bit image as a baseline JPEG file of `quality` 1 to 100 for people to look at, with as many pixels of
/// colour as of brightness.
///
/// # Errors
/// If the image has another depth or other channels, or has a side over 65,500 pixels.
pub fn jpeg_to_look_at(pixels: &Pixels, quality: u8) -> Result<Vec<u8>, EncodeError> {
    let (samples, format) = match (&pixels.samples, pixels.channels) {
        (Samples::U8(samples), 1) => (samples, PixelFormat::Grayscale),
        (Samples::U8(samples), 3) => (samples, PixelFormat::Rgb),
        _ => return Err(unsuitable("JPEG", pixels, "only images of 8 bits that are grey or in three colours are")),
    };
    let encoder = Encoder::new(samples, pixels.width, pixels.height, format).subsampling(Subsampling::S444);
    as_jpeg(pixels, encoder.optimize_huffman(true), quality)
}

fn as_jpeg(pixels: &Pixels, encoder: Encoder<'_>, quality: u8) -> Result<Vec<u8>, EncodeError> {
    encoder.quality(quality).encode().map_err(|error| unsuitable("JPEG", pixels, error))
}
