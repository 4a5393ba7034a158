//! The orientation in EXIF data, or else in XMP, as Pillow looks for it.

use super::directory::{Directory, Tag};
use super::orientation::Orientation;
use super::{Exif, Options};

/// Metadata of a file that may say how the image must be turned.
#[derive(Debug, Default)]
pub(crate) struct Metadata<'a> {
    /// EXIF data: a TIFF file without an image.
    pub exif: Option<&'a [u8]>,
    /// An XMP packet.
    pub xmp: Option<&'a [u8]>,
}

impl Metadata<'_> {
    /// The orientation that `options` and the metadata make.
    pub(crate) fn orientation(&self, options: &Options) -> Orientation {
        if options.exif == Exif::Ignore {
            return Orientation::default();
        }
        let number = self.exif.and_then(of_exif).or_else(|| self.xmp.and_then(of_xmp));
        Orientation::of(number.unwrap_or(1))
    }
}

fn of_exif(data: &[u8]) -> Option<usize> {
    let data = data.strip_prefix(b"Exif\0\0").unwrap_or(data);
    // As Pillow, which also takes the version in the other order.
    if !matches!(data.first_chunk(), Some(b"II\x2a\0" | b"II\0\x2a" | b"MM\0\x2a" | b"MM\x2a\0")) {
        return None;
    }
    match Directory::first(data).ok()?.numbers(Tag::Orientation).ok()??[..] {
        [number] => Some(number),
        _ => None,
    }
}

/// The digit after `tiff:Orientation="` or `tiff:Orientation>`.
fn of_xmp(packet: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"tiff:Orientation";
    let mut places = packet.windows(NAME.len()).enumerate().filter(|(_, name)| *name == NAME).map(|(at, _)| at);
    places.find_map(|at| match packet.get(at + NAME.len()..)? {
        [b'=', b'"', digit @ b'0'..=b'9', ..] | [b'>', digit @ b'0'..=b'9', ..] => Some(usize::from(digit - b'0')),
        _ => None,
    })
}
