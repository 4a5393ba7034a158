//! Options for reading images: the files, the channels, and the colour component of files with colours.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::image_set::{
    BadImage, DEFAULT_PATTERN, HPA_CHANNELS, ImageFile, ImageSet, ImageSetInput, Naming, OnBad, fail_if_bad,
};
use crate::context::StageContext;
use crate::error::StageError;
use crate::params::ParamProblem;
use athanor_images::decode::{self, DecodeError, Header, Limits};
use athanor_images::pixels::Pixels;

/// Parameters of every kind that reads images.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ReadOptions {
    /// Pattern of the file names in a plain folder: `{id}`, `{channel}` and, optionally at the end, `{ext}`. Sets made
    /// by stages have a manifest and do not need it.
    #[serde(default = "default_pattern")]
    pub pattern: String,
    /// Channels to read; every image must have all of them. The default is all channels of a set, and in a plain folder
    /// those of red, green, blue and yellow that occur.
    #[serde(default)]
    pub channels: Option<Vec<String>>,
    /// Action for an id with an image that is missing, duplicated or unreadable: `error` fails the stage, `skip` leaves
    /// the id out and lists it in `skipped`.
    #[serde(default)]
    pub on_bad: OnBad,
    /// Colour component that holds the signal of each channel, for files with colours.
    #[serde(default = "hpa_colours")]
    pub colours: BTreeMap<String, Colour>,
}

/// Colour components of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Colour {
    /// The first.
    Red,
    /// The second.
    Green,
    /// The third.
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
        ReadOptions { pattern, channels: None, on_bad: OnBad::default(), colours }
    }
}

impl ReadOptions {
    /// Checks that the types cannot express.
    pub fn check(&self) -> Vec<ParamProblem> {
        use crate::artifact::image_set::NamingError;
        match Naming::new(&self.pattern, self.channels.as_deref()) {
            Ok(_) => Vec::new(),
            Err(error @ NamingError::Channels) => vec![ParamProblem::value("channels", error.to_string())],
            Err(error) => vec![ParamProblem::value("pattern", error.to_string())],
        }
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
        let naming = Naming::new(&self.pattern, self.channels.as_deref());
        let naming = naming.map_err(|error| StageError::mismatch(error.to_string()))?;
        let (set, bad) = input.read(&naming, context)?;
        if self.on_bad == OnBad::Error {
            fail_if_bad(&bad)?;
        }
        bad.iter().filter(|bad| bad.id.is_empty()).for_each(|bad| context.log(format!("{} {}", bad.file, bad.reason)));
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

    /// The pixels of one channel, grey, and what its file's header says.
    ///
    /// # Errors
    /// A file that cannot be read as an image, or has colours none of which is known to hold the channel.
    pub fn decode(&self, file: &ImageFile) -> Result<(Header, Pixels), StageError> {
        let bytes = file.read()?;
        let limits = Limits::default();
        let decoded = decode::header(&bytes, &limits)
            .and_then(|header| decode::decode(&bytes, &limits).map(|pixels| (header, pixels)));
        let (header, pixels) = decoded.map_err(|error| explain(file, &error))?;
        let sample = match pixels.channels {
            1 | 2 => 0,
            _ => self.sample(&file.channel).ok_or_else(|| {
                let message = format!("the file has colours, and none is known to hold the channel `{}`", file.channel);
                let help = format!("Name it: `colours: {{ {}: red }}`.", file.channel);
                StageError::in_file(&file.label, message).with_help(help)
            })?,
        };
        let grey = if pixels.channels == 1 { pixels } else { pixels.channel(sample) };
        Ok((header, grey))
    }
}

/// The set with these of its channels.
fn only(set: ImageSet, channels: &[String]) -> Result<ImageSet, StageError> {
    let places = channels.iter().map(|channel| set.channel(channel)).collect::<Result<Vec<usize>, _>>()?;
    let files = (0..set.ids.len()).flat_map(|id| places.iter().map(move |place| (id, *place)));
    let files = files.map(|(id, place)| set.file(id, place).clone()).collect();
    Ok(ImageSet { channels: channels.to_vec(), files, ..set })
}

fn explain(file: &ImageFile, error: &DecodeError) -> StageError {
    let help = "Mend or remove it, or leave such images out with `on_bad: skip`.";
    StageError::in_file(&file.label, error.to_string()).with_help(help)
}
