//! Names of files: which channel of which image a file is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use athanor_cache::Tree;

use super::unmatched::{is_hidden, unmatched};
use super::{BadImage, ImageFile, ImageSet, entries, label_inside};
use crate::error::StageError;

/// The channels of the Human Protein Atlas: microtubules, protein of interest, nucleus, endoplasmic reticulum.
pub const HPA_CHANNELS: [&str; 4] = ["red", "green", "blue", "yellow"];
/// Default pattern of file names.
pub const DEFAULT_PATTERN: &str = "{id}_{channel}.{ext}";

/// Naming scheme of the files of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Text with `{id}`, `{channel}` and, at its end, perhaps `{ext}`.
    pattern: String,
    /// The channels that every id must have; `None` for those of [`HPA_CHANNELS`] that occur at all.
    channels: Option<Vec<String>>,
}

/// Errors of a pattern or a list of channels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    /// The pattern has not exactly one `{id}`.
    #[error("the pattern must have `{{id}}` exactly once, as in `{DEFAULT_PATTERN}`")]
    Id,
    /// The pattern has no `{channel}`.
    #[error("the pattern must have `{{channel}}`, as in `{DEFAULT_PATTERN}`")]
    Channel,
    /// `{ext}` is not at the end.
    #[error("`{{ext}}` must be at the end of the pattern, as in `{DEFAULT_PATTERN}`")]
    Extension,
    /// No channels, or one twice or unfit for a file name.
    #[error("channels must be different names without `/`")]
    Channels,
}

impl Default for Naming {
    fn default() -> Self {
        Naming { pattern: DEFAULT_PATTERN.to_owned(), channels: None }
    }
}

impl Naming {
    /// Files named by `pattern`, with these channels, or with those of [`HPA_CHANNELS`] that occur.
    pub fn new(pattern: &str, channels: Option<&[String]>) -> Result<Naming, NamingError> {
        if pattern.matches("{id}").count() != 1 {
            return Err(NamingError::Id);
        }
        if !pattern.contains("{channel}") {
            return Err(NamingError::Channel);
        }
        if pattern.find("{ext}").is_some_and(|at| at + "{ext}".len() != pattern.len()) {
            return Err(NamingError::Extension);
        }
        if let Some(channels) = channels {
            let distinct: BTreeSet<&String> = channels.iter().collect();
            let fit = |channel: &String| !channel.is_empty() && !channel.contains('/');
            if channels.is_empty() || distinct.len() < channels.len() || !channels.iter().all(fit) {
                return Err(NamingError::Channels);
            }
        }
        Ok(Naming { pattern: pattern.to_owned(), channels: channels.map(<[String]>::to_vec) })
    }

    pub(super) fn candidates(&self) -> Vec<String> {
        self.channels.clone().unwrap_or_else(|| HPA_CHANNELS.map(str::to_owned).to_vec())
    }

    /// The id of the file `name` if it is an image of `channel`.
    fn id<'n>(&self, name: &'n str, channel: &str) -> Option<&'n str> {
        let pattern = self.pattern.replace("{channel}", channel);
        let (before, after) = pattern.split_once("{id}")?;
        let rest = name.strip_prefix(before)?;
        let id = match after.strip_suffix("{ext}") {
            Some(literal) => {
                let dot = rest.rfind(|c| !char::is_alphanumeric(c))?;
                let (stem, extension) = rest.split_at(dot + rest[dot..].chars().next()?.len_utf8());
                (!extension.is_empty()).then(|| stem.strip_suffix(literal)).flatten()?
            }
            None => rest.strip_suffix(after)?,
        };
        (!id.is_empty() && !id.contains('/')).then_some(id)
    }

    /// Whether some of the channels that are there may have been left out on purpose.
    pub(super) fn selects_channels(&self) -> bool {
        self.channels.is_some()
    }

    /// Id and channel of a file that is named by the pattern, whatever its channel is. Of several ways to read a name it is the one with
    /// the longest id, in which separators are common.
    pub(super) fn written_channel(&self, name: &str) -> Option<(String, String)> {
        let stem = name.rsplit_once('/').map_or(name, |(_, last)| last);
        let is_part = |part: &&str| !part.is_empty() && part.chars().all(char::is_alphanumeric);
        let parts = stem.split(|c: char| !c.is_alphanumeric()).chain(name.split('/')).filter(is_part);
        let read = |channel: &str| self.id(name, channel).map(|id| (id.to_owned(), channel.to_owned()));
        parts.filter_map(read).max_by_key(|(id, _)| id.len())
    }

    /// The file name of a channel of an id, with the extension that `name` has.
    pub(super) fn with_extension_of(&self, id: &str, channel: &str, name: &str) -> String {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        self.example(id, channel).replace('*', extension)
    }

    /// The file name of a channel of an id, for messages.
    pub(super) fn example(&self, id: &str, channel: &str) -> String {
        self.pattern.replace("{id}", id).replace("{channel}", channel).replace("{ext}", "*")
    }
}

/// Reads a folder by the names of its files.
pub(crate) fn read(
    naming: &Naming,
    tree: &Tree,
    root: &Path,
    label: &str,
) -> Result<(ImageSet, Vec<BadImage>), StageError> {
    let candidates = naming.candidates();
    let mut found: BTreeMap<&str, BTreeMap<usize, Vec<ImageFile>>> = BTreeMap::new();
    let mut bad = Vec::new();
    for (name, digest) in entries(tree).filter(|(name, _)| !is_hidden(name)) {
        let image = candidates.iter().enumerate().find_map(|(at, channel)| Some((at, naming.id(name, channel)?)));
        let Some((channel, id)) = image else {
            bad.extend(unmatched(naming, name, label));
            continue;
        };
        let file = ImageFile {
            id: id.to_owned(),
            channel: candidates[channel].clone(),
            name: name.to_owned(),
            label: label_inside(label, name),
            path: root.join(name),
            digest,
        };
        found.entry(id).or_default().entry(channel).or_default().push(file);
    }
    let occurs = |channel: &usize| found.values().any(|files| files.contains_key(channel));
    let channels: Vec<usize> = match naming.channels {
        Some(_) => (0..candidates.len()).collect(),
        None => (0..candidates.len()).filter(occurs).collect(),
    };
    if found.is_empty() {
        let message = format!("there are no images named `{}` in it", naming.example("<id>", "<channel>"));
        let help = format!("The channels looked for are {}.", candidates.join(", "));
        return Err(StageError::in_file(label, message).with_help(help));
    }
    let (mut ids, mut files) = (Vec::new(), Vec::new());
    for (id, mut of_id) in found {
        let problem = |channel: &usize| {
            let name = &candidates[*channel];
            let (file, reason) = match of_id.get(channel).map(Vec::as_slice) {
                None | Some([]) => {
                    let file = label_inside(label, &naming.example(id, name));
                    (file, format!("there is no such file, so the image `{id}` lacks its channel `{name}`"))
                }
                Some([_]) => return None,
                Some([first, second, ..]) => {
                    let reason =
                        format!("this is the channel `{name}` of the image `{id}`, and so is `{}`", second.name);
                    (first.label.clone(), reason)
                }
            };
            Some(BadImage { id: id.to_owned(), channel: name.clone(), file, reason })
        };
        let problems: Vec<BadImage> = channels.iter().filter_map(problem).collect();
        if problems.is_empty() {
            ids.push(id.to_owned());
            files.extend(channels.iter().filter_map(|channel| of_id.remove(channel)).flatten());
        }
        bad.extend(problems);
    }
    let channels = channels.into_iter().map(|channel| candidates[channel].clone()).collect();
    Ok((ImageSet { label: label.to_owned(), channels, ids, files }, bad))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pattern: &str, channel: &str, name: &str) -> Option<String> {
        Naming::new(pattern, None).unwrap().id(name, channel).map(str::to_owned)
    }

    #[test]
    fn ids_are_what_the_pattern_leaves() {
        assert_eq!(id(DEFAULT_PATTERN, "red", "10580_1610_C1_1_red.jpg").as_deref(), Some("10580_1610_C1_1"));
        assert_eq!(id(DEFAULT_PATTERN, "red", "a_blue.jpg"), None);
        assert_eq!(id(DEFAULT_PATTERN, "red", "_red.jpg"), None);
        assert_eq!(id(DEFAULT_PATTERN, "red", "a_red"), None);
        assert_eq!(id(DEFAULT_PATTERN, "red", "a_red."), None);
        assert_eq!(id(DEFAULT_PATTERN, "red", "deep/a_red.png"), None);
        assert_eq!(id(DEFAULT_PATTERN, "red", "a_red.tif.gz"), None);
        assert_eq!(id("{id}/{channel}.png", "red", "a.b/red.png").as_deref(), Some("a.b"));
        assert_eq!(id("{channel}/{id}.{ext}", "é", "é/aé.tiff").as_deref(), Some("aé"));
    }

    #[test]
    fn patterns_that_tell_nothing_apart_are_refused() {
        let refused = |pattern: &str| Naming::new(pattern, None).unwrap_err();
        assert_eq!(refused("{channel}.png"), NamingError::Id);
        assert_eq!(refused("{id}.png"), NamingError::Channel);
        assert_eq!(refused("{id}.{ext}_{channel}"), NamingError::Extension);
        let twice = ["a".to_owned(), "a".to_owned()];
        assert_eq!(Naming::new(DEFAULT_PATTERN, Some(&twice)), Err(NamingError::Channels));
    }
}
