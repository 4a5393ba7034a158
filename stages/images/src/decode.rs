//! From the bytes of a file to pixels.
//!
//! The type of a file comes from its first bytes, never from its name. Whatever the bytes say, decoding returns: it
//! does not panic, it allocates no more than a small multiple of [`Limits::max_bytes`], and it never hands out an image
//! of which a part was missing.

mod jpeg;
mod png;
mod tiff;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::file_type::FileType;
use crate::pixels::Pixels;

pub use crate::file_type::ImageFormat;

/// The format that the first bytes announce.
pub fn sniff(bytes: &[u8]) -> Option<ImageFormat> {
    match FileType::of(bytes) {
        FileType::Image(format) => Some(format),
        _ => None,
    }
}

/// Limits on the size of an image.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Maximum number of pixels along either side.
    pub max_side: usize,
    /// Maximum bytes of decoded samples. A decoder needs up to four times as much while it works (progressive JPEG).
    pub max_bytes: usize,
}

impl Default for Limits {
    /// 32,768 pixels a side and 512 MiB, which is eight times the largest image of the Human Protein Atlas at four
    /// channels.
    fn default() -> Self {
        Limits { max_side: 32_768, max_bytes: 512 << 20 }
    }
}

/// Properties of an image in the header of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The file's format.
    pub format: ImageFormat,
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Samples a pixel that [`decode`] will deliver; a palette counts as its colours.
    pub channels: usize,
    /// Bits a sample that [`decode`] will deliver: 8 or 16.
    pub depth: u8,
}

/// Errors of decoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes are not PNG, JPEG or TIFF.
    #[error("not an image: {0}")]
    NotAnImage(Appearance),
    /// The file ends early or contradicts itself.
    #[error("the {format} file is truncated or damaged: {reason}")]
    Damaged {
        /// The format that the first bytes announce.
        format: ImageFormat,
        /// The decoder's reason.
        reason: String,
    },
    /// The image is larger than the limits allow.
    #[error("an image of {width} x {height} pixels is larger than the limit of {limit}")]
    TooLarge {
        /// Pixels a row.
        width: usize,
        /// Rows.
        height: usize,
        /// The limit, in words.
        limit: String,
    },
    /// The file uses a feature that is not supported here.
    #[error("{what} in a {format} file is not supported")]
    Unsupported {
        /// The file's format.
        format: ImageFormat,
        /// The unsupported feature.
        what: String,
    },
}

/// Appearance of bytes that are not an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appearance {
    /// There are no bytes at all.
    Empty,
    /// A web page, for example a server's error message.
    Html,
    /// Compressed by gzip.
    Gzip,
    /// A zip archive.
    Zip,
    /// An image in a format that is not read here.
    OtherImage(&'static str),
    /// Nothing but zeros, as a download leaves behind that reserved its space and died.
    Zeros,
    /// Plain text.
    Text,
    /// None of these.
    Unknown,
}

impl fmt::Display for Appearance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Appearance::Empty => "the file is empty",
            Appearance::Html => "it looks like a web page",
            Appearance::Gzip => "it is compressed by gzip",
            Appearance::Zip => "it is a zip archive",
            Appearance::OtherImage(name) => return write!(out, "{name} files are not read, only PNG, JPEG and TIFF"),
            Appearance::Zeros => "it holds nothing but zeros",
            Appearance::Text => "it looks like text",
            Appearance::Unknown => "its first bytes are not those of a PNG, JPEG or TIFF file",
        })
    }
}

impl Appearance {
    fn of(bytes: &[u8]) -> Appearance {
        match FileType::of(bytes) {
            FileType::Empty => Appearance::Empty,
            FileType::Html | FileType::Xml => Appearance::Html,
            FileType::Gzip => Appearance::Gzip,
            FileType::Zip | FileType::EmptyZip => Appearance::Zip,
            FileType::OtherImage(name) => Appearance::OtherImage(name),
            FileType::Zeros => Appearance::Zeros,
            FileType::Text | FileType::Json => Appearance::Text,
            FileType::Image(_) | FileType::Pdf | FileType::Unknown => Appearance::Unknown,
        }
    }
}

/// Reads what the file says about its image, without decoding it.
///
/// # Errors
/// As [`decode`], for as much as the header tells.
pub fn header(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    match sniff(bytes) {
        Some(ImageFormat::Png) => png::header(bytes, limits),
        Some(ImageFormat::Jpeg) => jpeg::header(bytes, limits),
        Some(ImageFormat::Tiff) => tiff::header(bytes, limits),
        None => Err(DecodeError::NotAnImage(Appearance::of(bytes))),
    }
}

/// Decodes the (first) image of a file: palettes become colours, 1, 2 and 4 bits become 8.
///
/// # Errors
/// If the bytes are not an image, end early, are damaged, describe an image beyond `limits`, or use an unsupported
/// feature.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Pixels, DecodeError> {
    match sniff(bytes) {
        Some(ImageFormat::Png) => png::decode(bytes, limits),
        Some(ImageFormat::Jpeg) => jpeg::decode(bytes, limits),
        Some(ImageFormat::Tiff) => tiff::decode(bytes, limits),
        None => Err(DecodeError::NotAnImage(Appearance::of(bytes))),
    }
}

impl Header {
    /// Bytes of the decoded samples, once [`Header::within`] has accepted the sizes.
    fn decoded_bytes(&self) -> usize {
        self.width * self.height * self.channels * usize::from(self.depth / 8)
    }

    /// The header if its image is within the limits, and if a file of `file_bytes` bytes can possibly hold it: a few
    /// bytes that promise gigabytes must not be answered with an allocation.
    fn within(self, limits: &Limits, file_bytes: usize) -> Result<Header, DecodeError> {
        let Header { format, width, height, .. } = self;
        if width == 0 || height == 0 {
            return Err(damaged(format, format!("an image of {width} x {height} pixels")));
        }
        let too_large = |limit| Err(DecodeError::TooLarge { width, height, limit });
        if width > limits.max_side || height > limits.max_side {
            return too_large(format!("{} pixels a side", limits.max_side));
        }
        let sample_bytes = self.channels * usize::from(self.depth / 8);
        match width.checked_mul(height).and_then(|pixels| pixels.checked_mul(sample_bytes)) {
            Some(decoded) if decoded <= limits.max_bytes => {
                if decoded / MOST_BYTES_OF_A_BYTE > file_bytes {
                    let reason = format!("{file_bytes} bytes cannot hold the {width} x {height} pixels it promises");
                    return Err(damaged(format, reason));
                }
                Ok(self)
            }
            _ => too_large(format!("{} MiB of samples", limits.max_bytes >> 20)),
        }
    }
}

/// No file of ours holds more samples a byte. Deflate (PNG, TIFF) makes at most 1,032 bytes of one, LZW with its table
/// of 4,096 strings fewer than 2,600, and JPEG spends at least one bit on a block of 64 samples in each of at most 4
/// channels.
const MOST_BYTES_OF_A_BYTE: usize = 4096;

fn damaged(format: ImageFormat, reason: impl fmt::Display) -> DecodeError {
    DecodeError::Damaged { format, reason: reason.to_string() }
}

fn unsupported(format: ImageFormat, what: impl fmt::Display) -> DecodeError {
    DecodeError::Unsupported { format, what: what.to_string() }
}
