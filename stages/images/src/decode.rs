//! From the bytes of a file to pixels.
//!
//! The type of a file comes from its first bytes, never from its name. With any bytes, decoding returns: it
//! does not panic, it allocates no more than a small multiple of [`Limits::max_bytes`], and it never hands out an image
//! of which a part was missing.
//!
//! Each format is one implementation of the trait `FormatDecoder`; what all formats share (orientation, depth) is done here.

mod bmp;
mod colour;
mod directory;
mod exif;
mod format;
mod gif;
mod image_crate;
mod jpeg;
mod orientation;
mod plain_messages;
mod png;
mod pnm;
mod raster;
mod scale;
mod tiff;
mod webp;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::file_type::FileType;
use crate::pixels::Pixels;
use format::FormatDecoder;

pub use crate::file_type::ImageFormat;
pub use format::Pages;

/// The format that the first bytes announce.
pub fn sniff(bytes: &[u8]) -> Option<ImageFormat> {
    match FileType::of(bytes) {
        FileType::Image(format) => Some(format),
        _ => None,
    }
}

/// Options for decoding.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Limits on the size of the image.
    pub limits: Limits,
    /// The page of a file with several.
    pub page: Page,
    /// Orientation in EXIF data.
    pub exif: Exif,
    /// Samples of more than 8 bits.
    pub scale: Scale,
    /// Bits that the samples use, for [`Scale::Bits`].
    pub bits: Option<u8>,
}

/// The page to decode.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Page {
    /// The only one; several are an error.
    #[default]
    Only,
    /// The one of this number, counted from 0.
    Number(usize),
}

/// The use of the orientation in EXIF data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exif {
    /// The picture is turned as cameras want it shown, as by Pillow's `ImageOps.exif_transpose`.
    #[default]
    Apply,
    /// The picture stays as its pixels lie in the file.
    Ignore,
}

/// The scaling of samples that do not have 8 bits. Results have 8 bits where the file has up to 8, and otherwise 16.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// The range of the file's type: 12 bits are shifted up to 16, 32 bits down; signed numbers start at their smallest;
    /// floating-point numbers must be from 0 to 1.
    #[default]
    Full,
    /// The range of the image: its smallest sample becomes 0, its largest the maximum, and NaN 0.
    Minmax,
    /// The bits in use: those given as `bits`, by default the smallest of 8, 10, 12, 14, 16 (and so on) that hold the image's
    /// largest sample. They are shifted to the top of 16 bits.
    Bits,
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
    /// The bytes are not those of an image that is read here.
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
    /// The file has several pages, and none was chosen.
    #[error("the file has {count} pages, and none of them is chosen")]
    SeveralPages {
        /// Number of pages.
        count: usize,
    },
    /// The file does not have the page.
    #[error("there is no page {page}: the file has {count}, counted from 0")]
    NoSuchPage {
        /// The page asked for.
        page: usize,
        /// Number of pages.
        count: usize,
    },
    /// The samples do not fit the scale.
    #[error("{0}")]
    Range(String),
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
    /// Packed by another program.
    Packed(&'static str),
    /// The note of Git LFS in the place of a file.
    LfsPointer,
    /// An image in a format that is not read here.
    OtherImage(&'static str),
    /// Nothing but zeros, as a download leaves behind that reserved its space and died.
    Zeros,
    /// Plain text.
    Text,
    /// None of these.
    Unknown,
}

/// The formats that are read, for messages.
const FORMATS: &str = "PNG, JPEG, TIFF, BMP, GIF, WebP, PNM or QOI";

impl fmt::Display for Appearance {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Appearance::Empty => "the file is empty",
            Appearance::Html => "it looks like a web page",
            Appearance::Gzip => "it is compressed by gzip",
            Appearance::Zip => "it is a zip archive",
            Appearance::Packed(name) => return write!(out, "it is {name}"),
            Appearance::LfsPointer => "it is the pointer that Git LFS leaves in its place; `git lfs pull` fetches it",
            Appearance::OtherImage(name) => return write!(out, "{name} files are not read, only {FORMATS}"),
            Appearance::Zeros => "it holds nothing but zeros",
            Appearance::Text => "it looks like text",
            Appearance::Unknown => return write!(out, "its first bytes are not those of {FORMATS}"),
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
            FileType::Packed(name) => Appearance::Packed(name),
            FileType::LfsPointer => Appearance::LfsPointer,
            FileType::OtherImage(name) => Appearance::OtherImage(name),
            FileType::Zeros => Appearance::Zeros,
            FileType::Text | FileType::Json => Appearance::Text,
            FileType::Image(_) | FileType::Pdf | FileType::Unknown => Appearance::Unknown,
        }
    }
}

/// The decoder of the format that the first bytes announce.
fn decoder(bytes: &[u8]) -> Result<&'static dyn FormatDecoder, DecodeError> {
    match sniff(bytes) {
        Some(ImageFormat::Png) => Ok(&png::Png),
        Some(ImageFormat::Jpeg) => Ok(&jpeg::Jpeg),
        Some(ImageFormat::Tiff) => Ok(&tiff::Tiff),
        Some(ImageFormat::Bmp) => Ok(&bmp::Bmp),
        Some(format) => Ok(image_crate::of(format)),
        None => Err(DecodeError::NotAnImage(Appearance::of(bytes))),
    }
}

/// Reads what the file says about its only image, without decoding it.
///
/// # Errors
/// As [`decode`], for as much as the header tells.
pub fn header(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    header_as(bytes, &Options { limits: *limits, ..Options::default() })
}

/// As [`header`], with all options.
///
/// # Errors
/// As [`decode_as`], for as much as the header tells.
pub fn header_as(bytes: &[u8], options: &Options) -> Result<Header, DecodeError> {
    let decoder = decoder(bytes)?;
    let header = decoder.header(bytes, options)?;
    Ok(decoder.orientation(bytes, options).turn_header(header))
}

/// Decodes the only image of a file: palettes become colours, up to 8 bits become 8, and up to 16 become 16.
///
/// # Errors
/// If the bytes are not an image, end early, are damaged, describe an image beyond `limits` or several, or use an
/// unsupported feature.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Pixels, DecodeError> {
    decode_as(bytes, &Options { limits: *limits, ..Options::default() })
}

/// As [`decode`], with all options.
///
/// # Errors
/// As [`decode`]; also a page that the file does not have, and samples that the scale does not know how to place.
pub fn decode_as(bytes: &[u8], options: &Options) -> Result<Pixels, DecodeError> {
    let decoder = decoder(bytes)?;
    let raster = decoder.decode(bytes, options)?;
    let pixels = scale::apply(raster, options)?;
    Ok(decoder.orientation(bytes, options).turn(pixels))
}

/// Channels of a page that says of its samples no more than that they are grey, those of transparency not counted; 1 for any other.
///
/// # Errors
/// If the bytes are not an image, or damaged where they say so.
pub fn grey_channels(bytes: &[u8], page: Page) -> Result<usize, DecodeError> {
    decoder(bytes)?.grey_channels(bytes, page)
}

/// Pages of a file: one, but for TIFF; and the frames of an animation, of which the first is that page.
///
/// # Errors
/// If the bytes are not an image, or damaged where they say so.
pub fn pages(bytes: &[u8]) -> Result<Pages, DecodeError> {
    decoder(bytes)?.pages(bytes)
}

impl Header {
    /// Bytes of the decoded samples, once [`Header::within`] has accepted the sizes.
    fn decoded_bytes(&self) -> usize {
        self.width * self.height * self.channels * usize::from(self.depth / 8)
    }

    /// The header if its image is within the limits, and if a file of `file_bytes` bytes can possibly hold it: a few
    /// bytes that promise gigabytes must not be answered with an allocation.
    fn within(self, limits: &Limits, file_bytes: usize) -> Result<Header, DecodeError> {
        let sample_bytes = self.channels * usize::from(self.depth / 8);
        self.within_at(sample_bytes, limits, file_bytes)
    }

    /// As [`Header::within`] for a decoder that needs `pixel_bytes` bytes a pixel while it works.
    fn within_at(self, pixel_bytes: usize, limits: &Limits, file_bytes: usize) -> Result<Header, DecodeError> {
        let Header { format, width, height, .. } = self;
        if width == 0 || height == 0 {
            return Err(damaged(format, format!("an image of {width} x {height} pixels")));
        }
        let too_large = |limit| Err(DecodeError::TooLarge { width, height, limit });
        if width > limits.max_side || height > limits.max_side {
            return too_large(format!("{} pixels a side", limits.max_side));
        }
        match width.checked_mul(height).and_then(|pixels| pixels.checked_mul(pixel_bytes)) {
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
    DecodeError::Damaged { format, reason: plain_messages::plain(&reason.to_string()) }
}

fn unsupported(format: ImageFormat, what: impl fmt::Display) -> DecodeError {
    DecodeError::Unsupported { format, what: plain_messages::plain(&what.to_string()) }
}
