//! The one trait that every image format implements.

use super::orientation::Orientation;
use super::raster::Raster;
use super::{DecodeError, Header, Options, Page};

/// Pages of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pages {
    /// Number of pages; at least 1.
    pub count: usize,
    /// Number of frames, of which only the first can be read; 1 if the file is no animation.
    pub frames: usize,
    /// Names of the channels in the order of the pages, where the file tells them (OME-XML).
    pub channels: Vec<String>,
    /// The stack of depths or times that the pages are, in words, if the file tells of one.
    pub stack: Option<String>,
}

impl Pages {
    /// Those of a file that cannot have several.
    pub(crate) fn one() -> Pages {
        Pages::of_frames(1)
    }

    /// Those of an animation.
    pub(crate) fn of_frames(frames: usize) -> Pages {
        Pages { count: 1, frames: frames.max(1), channels: Vec::new(), stack: None }
    }
}

/// A decoder of one file format.
pub(crate) trait FormatDecoder: Sync {
    /// Reads what the file says about an image, as it lies in the file: not yet turned.
    fn header(&self, bytes: &[u8], options: &Options) -> Result<Header, DecodeError>;

    /// Decodes an image, as it lies in the file: neither turned nor scaled.
    fn decode(&self, bytes: &[u8], options: &Options) -> Result<Raster, DecodeError>;

    /// How the image must be turned.
    fn orientation(&self, _bytes: &[u8], _options: &Options) -> Orientation {
        Orientation::default()
    }

    /// Samples a pixel of a page that are grey, and neither colours nor transparency.
    fn grey_channels(&self, _bytes: &[u8], _page: Page) -> Result<usize, DecodeError> {
        Ok(1)
    }

    /// The file's pages.
    fn pages(&self, _bytes: &[u8]) -> Result<Pages, DecodeError> {
        Ok(Pages::one())
    }
}
