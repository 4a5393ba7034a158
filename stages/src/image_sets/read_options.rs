//! Options for reading images: the files, the channels, and the colour component of files with colours.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::artifact::image_set::{
    BadImage, DEFAULT_PATTERN, HPA_CHANNELS, ImageFile, ImageSet, ImageSetInput, Naming, OnBad, fail_if_bad,
};
use crate::context::StageContext;
use crate::error::StageError;
use crate::params::ParamProblem;
use athanor_images::decode::{self, Appearance, DecodeError, Exif, Header, Options, Page, Scale};
use athanor_images::pixels::{Pixels, Samples};

/// Parameters of every kind that reads images.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReadOptions {
    /// Pattern of the file names in a plain folder: `{id}`, `{channel}` and, optionally at the end, `{ext}`. Without `{channel}`
    /// each file holds all channels of an image. In the place of `{id}` there may be `{class}/{name}` or `{split}/{class}/{name}`,
    /// which together make the id, joined by `_`. Blanks around a part are left out. Sets made by stages have a manifest and do not
    /// need it.
    #[serde(default = "default_pattern")]
    #[schemars(example = "{class}/{name}.{ext}")]
    pub pattern: String,
    /// Channels to read; every image must have all of them. The default is all channels of a set, and in a plain folder
    /// those of red, green, blue and yellow that occur, or red, green and blue if each file holds all channels.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// Action for an id with an image that is missing, duplicated or unreadable.
    #[serde(default)]
    pub on_bad: OnBad,
    /// Colour component that holds the signal of each channel, where a file of one channel is saved in colour.
    #[serde(default = "hpa_colours")]
    pub colours: BTreeMap<String, Colour>,
    /// Orientation in the EXIF data of photographs.
    #[serde(default)]
    pub exif: Exif,
    /// Scaling of samples of other than 8 bits. Of 16 bits that come out, kinds that work on 8 take the upper ones.
    #[serde(default)]
    pub scale: Scale,
    /// Bits that the samples use, for `scale: bits`. The default is the smallest of 8, 10, 12, 14, 16 and so on that hold an
    /// image's largest sample.
    #[serde(default)]
    #[schemars(range(min = 1, max = 64))]
    pub bits: Option<u8>,
}

/// Colour components of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// The first component of a pixel.
    Red,
    /// The second component.
    Green,
    /// The third component.
    Blue,
}

fn default_pattern() -> String {
    DEFAULT_PATTERN.to_owned()
}

/// Human Protein Atlas images have their yellow channel in red and green alike.
fn hpa_colours() -> BTreeMap<String, Colour> {
    let colours = [Colour::Red, Colour::Green, Colour::Blue, Colour::Red];
    HPA_CHANNELS.iter().map(|channel| (*channel).to_owned()).zip(colours).collect()
}

impl Default for ReadOptions {
    fn default() -> Self {
        let (pattern, colours) = (default_pattern(), hpa_colours());
        let (exif, scale) = (Exif::default(), Scale::default());
        ReadOptions { pattern, channels: None, on_bad: OnBad::default(), colours, exif, scale, bits: None }
    }
}

impl ReadOptions {
    /// Checks that the types cannot express.
    pub fn check(&self) -> Vec<ParamProblem> {
        use crate::artifact::image_set::NamingError;
        let mut problems = match Naming::new(&self.pattern, self.channels.as_deref()) {
            Ok(_) => Vec::new(),
            Err(error @ NamingError::Channels) => vec![ParamProblem::value("channels", error.to_string())],
            Err(error) => vec![ParamProblem::value("pattern", error.to_string())],
        };
        match (self.bits, self.scale) {
            (None, _) | (Some(1..=64), Scale::Bits) => {}
            (Some(_), Scale::Bits) => problems.push(ParamProblem::value("bits", "`bits` is 1 to 64")),
            (Some(_), _) => problems.push(ParamProblem::value("bits", "`bits` goes with `scale: bits` alone")),
        }
        problems
    }

    /// Everything but a file's content that the pixels of one of its channels depend on.
    pub(crate) fn key(&self, channel: &str) -> Value {
        json!({ "sample": self.sample(channel), "exif": self.exif, "scale": self.scale, "bits": self.bits })
    }

    /// The names of files.
    pub(crate) fn naming(&self) -> Result<Naming, StageError> {
        let naming = Naming::new(&self.pattern, self.channels.as_deref());
        naming.map_err(|error| StageError::mismatch(error.to_string()))
    }

    /// The images of `input`, and those left out.
    ///
    /// # Errors
    /// Bad images, unless they are to be skipped; a channel that the set does not have.
    pub fn read(
        &self,
        input: &ImageSetInput,
        context: &StageContext<'_>,
    ) -> Result<(ImageSet, Vec<BadImage>), StageError> {
        let (set, bad) = input.read(&self.naming()?, context)?;
        // All of them: an error names the first.
        bad.iter().filter(|bad| bad.id.is_empty()).for_each(|bad| context.log(format!("{} {}", bad.file, bad.reason)));
        if self.on_bad == OnBad::Error {
            fail_if_bad(&bad, self.on_bad)?;
        }
        let set = match &self.channels {
            Some(channels) => only(set, channels)?,
            None => set,
        };
        Ok((set, bad))
    }

    /// Which sample of a pixel with colours belongs to `channel`.
    pub fn sample(&self, channel: &str) -> Option<usize> {
        self.colours.get(channel).map(|colour| *colour as usize)
    }

    /// The pixels of one channel, grey.
    ///
    /// # Errors
    /// A file that cannot be read as an image, or has colours none of which is known to hold the channel.
    pub fn decode(&self, file: &ImageFile) -> Result<Pixels, StageError> {
        let (_, pixels) = self.decode_colours(file, &file.read()?, Page::Only)?;
        self.channel_of(file, pixels)
    }

    /// As [`ReadOptions::decode_page`], for a page whose samples are known: grey or colours, and transparency.
    ///
    /// # Errors
    /// As there; also more channels than these, of which only some would be taken.
    pub(crate) fn decode_colours(
        &self,
        file: &ImageFile,
        bytes: &[u8],
        page: Page,
    ) -> Result<(Header, Pixels), StageError> {
        let (header, pixels) = self.decode_page(file, bytes, page)?;
        let count = match pixels.channels {
            2 | 4 => decode::grey_channels(bytes, page).map_err(|error| explain(file, &error))?,
            count => count,
        };
        // Three without a name are taken for colours.
        if matches!(count, 1 | 3) {
            return Ok((header, pixels));
        }
        let message = format!("has {count} channels in the samples of a pixel, and does not say which they are");
        let help = "Import such files by `import_images` with `pages: channels`, which makes a channel of each.";
        Err(StageError::in_file(&file.label, message).with_help(help))
    }

    /// All samples of a page, and what its header says; `bytes` are the file's.
    ///
    /// # Errors
    /// A file that cannot be read as an image.
    pub(crate) fn decode_page(
        &self,
        file: &ImageFile,
        bytes: &[u8],
        page: Page,
    ) -> Result<(Header, Pixels), StageError> {
        let options = Options { page, exif: self.exif, scale: self.scale, bits: self.bits, ..Options::default() };
        let decoded = decode::header_as(bytes, &options)
            .and_then(|header| decode::decode_as(bytes, &options).map(|pixels| (header, pixels)));
        decoded.map_err(|error| explain(file, &error))
    }

    /// The channel of `file` among the samples that the file holds.
    ///
    /// # Errors
    /// Colours none of which is known to hold the channel.
    pub(crate) fn channel_of(&self, file: &ImageFile, pixels: Pixels) -> Result<Pixels, StageError> {
        let place = self.place_of(file, pixels.channels)?;
        Ok(if pixels.channels == 1 { pixels } else { pixels.channel(place) })
    }

    /// The place of the channel of `file` among as many samples a pixel.
    ///
    /// # Errors
    /// Colours none of which is known to hold the channel.
    pub(crate) fn place_of(&self, file: &ImageFile, samples: usize) -> Result<usize, StageError> {
        // Grey, and grey with alpha.
        if samples <= 2 {
            return Ok(0);
        }
        self.sample(&file.channel).ok_or_else(|| {
            let message = format!("the file has colours, and none is known to hold the channel `{}`", file.channel);
            let help = format!("Name it: `colours: {{ {}: red }}`.", file.channel);
            StageError::in_file(&file.label, message).with_help(help)
        })
    }
}

/// Counter of images of 16 bits whose samples use so few of them that little is left of them at 8.
#[derive(Debug, Default)]
pub(crate) struct FaintImages(AtomicUsize);

impl FaintImages {
    /// Samples up to which an image is counted: those of 12 bits, of which 4 are left.
    const MOST: u16 = 4095;

    /// Counts an image that is about to be brought to 8 bits.
    pub(crate) fn see(&self, reading: &ReadOptions, pixels: &Pixels) {
        let Samples::U16(samples) = &pixels.samples else { return };
        if reading.scale == Scale::Full && samples.iter().all(|sample| *sample <= Self::MOST) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says so, if there were any.
    pub(crate) fn log(&self, context: &StageContext<'_>) {
        let count = self.0.load(Ordering::Relaxed);
        if count > 0 {
            context.log(format!(
                "images of 16 bits that use at most 12, of which 4 are left at 8 bits: {count}; `scale: bits` keeps the upper 8 in use"
            ));
        }
    }
}

/// The set with these of its channels.
fn only(set: ImageSet, channels: &[String]) -> Result<ImageSet, StageError> {
    let places = channels.iter().map(|channel| set.channel(channel)).collect::<Result<Vec<usize>, _>>()?;
    let files = (0..set.ids.len()).flat_map(|id| places.iter().map(move |place| (id, *place)));
    let files = files.map(|(id, place)| set.file(id, place).clone()).collect();
    Ok(ImageSet { channels: channels.to_vec(), files, ..set })
}

/// A failure to decode, and what to do about it.
pub(crate) fn explain(file: &ImageFile, error: &DecodeError) -> StageError {
    let help = match error {
        DecodeError::SeveralPages { .. } => {
            "Import such files by `import_images`, with `pages: channels` if each page is a channel, or with `pages: first`."
        }
        DecodeError::NotAnImage(Appearance::OtherImage(_)) => {
            "Convert it to PNG, TIFF or JPEG, or leave such images out with `on_bad: skip`."
        }
        _ => "Mend or remove the file, or leave such images out with `on_bad: skip`.",
    };
    StageError::in_file(&file.label, error.to_string()).with_help(help)
}
