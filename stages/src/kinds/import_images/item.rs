//! One file of a folder: checked, and its pages taken apart where that is asked for.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ImportImagesParams, NamedPages, PageChoice};
use crate::artifact::image_set::ImageFile;
use crate::error::StageError;
use crate::image_sets::read_options::explain;
use crate::items::PerItem;
use athanor_images::decode::{self, DecodeError, Header, ImageFormat, Page, Pages};
use athanor_images::encode;
use athanor_images::pixels::Pixels;

/// Checks one file.
pub(crate) struct Import<'p> {
    pub params: &'p ImportImagesParams,
    /// Whether a file holds all channels of an image.
    pub one_file_each: bool,
}

/// Meaning of an imported file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Imported {
    /// The header of the file that is stored, or of each of its pages.
    pub header: Header,
    /// Names of the channels that the file tells.
    pub channels: Vec<String>,
}

/// Advice for animations.
const FIRST_FRAME: &str = "Take the first frame: `pages: first`; or save the frames as files of their own.";

/// The name of a file that is stored whole.
pub(crate) const WHOLE: &str = "image";

/// The name of a page that is stored as a channel; they sort by their numbers.
fn page_name(page: usize) -> String {
    format!("{page:05}")
}

impl PerItem for Import<'_> {
    type Item = ImageFile;
    type Value = Imported;
    const UNIT: &'static str = "images";

    fn key(&self, image: &ImageFile) -> Value {
        let channel = (!self.one_file_each).then_some(&image.channel);
        let reading = channel.map_or_else(|| self.params.reading.key(""), |channel| self.params.reading.key(channel));
        json!({ "image": image.digest, "reading": reading, "pages": self.params.pages, "whole": self.one_file_each })
    }

    fn compute(&self, image: &ImageFile, folder: &Path) -> Result<Imported, StageError> {
        let bytes = image.read()?;
        let pages = self.pages(image, &bytes)?;
        if self.one_file_each && self.params.pages_are_channels() {
            let header = self.channels(image, &bytes, pages.count, folder)?;
            return Ok(Imported { header, channels: pages.channels });
        }
        let page = match self.params.pages {
            Some(choice) if pages.count > 1 => choice.page(),
            _ => Page::Only,
        };
        let (header, pixels) = self.params.reading.decode_colours(image, &bytes, page)?;
        if !self.one_file_each {
            self.params.reading.place_of(image, header.channels)?;
        }
        let header = match page {
            Page::Only => {
                write(folder, WHOLE, &bytes)?;
                header
            }
            Page::Number(_) => store(image, folder, WHOLE, &pixels)?,
        };
        Ok(Imported { header, channels: Vec::new() })
    }
}

impl PageChoice {
    fn page(self) -> Page {
        match self {
            PageChoice::Number(page) => Page::Number(page),
            PageChoice::Named(NamedPages::First | NamedPages::Channels) => Page::Number(0),
        }
    }
}

impl Import<'_> {
    /// The pages of a file, of which those chosen are there and can be taken.
    fn pages(&self, image: &ImageFile, bytes: &[u8]) -> Result<Pages, StageError> {
        let pages = decode::pages(bytes).map_err(|error| explain(image, &error))?;
        let refused = |message: String, help: &str| Err(StageError::in_file(&image.label, message).with_help(help));
        match self.params.pages {
            Some(PageChoice::Number(page)) if page >= pages.count.max(pages.frames) => {
                let count = pages.count.max(pages.frames);
                Err(explain(image, &DecodeError::NoSuchPage { page, count }))
            }
            Some(PageChoice::Number(page)) if page >= pages.count => {
                refused(format!("is an animation, of which frame {page} is not read"), FIRST_FRAME)
            }
            Some(PageChoice::Named(NamedPages::Channels)) if pages.frames > 1 => {
                refused(format!("is an animation of {} frames, which are no channels", pages.frames), FIRST_FRAME)
            }
            Some(PageChoice::Named(NamedPages::Channels)) => match &pages.stack {
                Some(stack) => {
                    let message = format!("is {stack}, of which no page is a channel alone");
                    refused(
                        message,
                        "Take one page by its number, `pages: 0`, or save the channels as files of their own.",
                    )
                }
                None => Ok(pages),
            },
            _ => Ok(pages),
        }
    }

    /// Stores each channel of a file: its pages, or the samples of its only one.
    fn channels(&self, image: &ImageFile, bytes: &[u8], count: usize, folder: &Path) -> Result<Header, StageError> {
        if count == 1 {
            let (_, pixels) = self.params.reading.decode_page(image, bytes, Page::Only)?;
            let stored = (0..pixels.channels)
                .map(|channel| store(image, folder, &page_name(channel), &pixels.channel(channel)))
                .collect::<Result<Vec<Header>, StageError>>()?;
            return Ok(stored[0]);
        }
        let mut first: Option<Header> = None;
        for page in 0..count {
            let (_, pixels) = self.params.reading.decode_page(image, bytes, Page::Number(page))?;
            if pixels.channels != 1 {
                let message = format!("page {page} has {} samples a pixel, so it is not one channel", pixels.channels);
                return Err(StageError::in_file(&image.label, message).with_help("Take one page: `pages: first`."));
            }
            let header = store(image, folder, &page_name(page), &pixels)?;
            let expected = *first.get_or_insert(header);
            if (header.width, header.height) != (expected.width, expected.height) {
                let message = format!(
                    "page {page} has {} x {} pixels, but the first has {} x {}, so they are not channels of one image",
                    header.width, header.height, expected.width, expected.height
                );
                return Err(StageError::in_file(&image.label, message).with_help("Take one page: `pages: first`."));
            }
        }
        first.ok_or_else(|| StageError::in_file(&image.label, "has no pages"))
    }
}

/// Stores pixels as a PNG file, and returns its header.
fn store(image: &ImageFile, folder: &Path, name: &str, pixels: &Pixels) -> Result<Header, StageError> {
    if pixels.channels > 4 {
        let message = format!("has {} samples a pixel, and PNG holds up to 4", pixels.channels);
        return Err(StageError::in_file(&image.label, message).with_help("Take them as channels: `pages: channels`."));
    }
    let file = encode::png(pixels).map_err(|error| StageError::in_file(&image.label, error.to_string()))?;
    write(folder, name, &file)?;
    let &Pixels { width, height, channels, .. } = pixels;
    Ok(Header { format: ImageFormat::Png, width, height, channels, depth: pixels.depth() })
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), StageError> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).map_err(StageError::io(&path))
}
