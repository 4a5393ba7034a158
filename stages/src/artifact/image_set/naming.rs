//! Names of files: which channel of which image a file is.

use std::collections::BTreeSet;

/// The channels of the Human Protein Atlas: microtubules, protein of interest, nucleus, endoplasmic reticulum.
pub const HPA_CHANNELS: [&str; 4] = ["red", "green", "blue", "yellow"];
/// Default pattern of file names.
pub const DEFAULT_PATTERN: &str = "{id}_{channel}.{ext}";

/// Number of separators up to which a name is taken apart to find a channel that is not known.
const MOST_SEPARATORS: usize = 32;

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
    pub(super) fn id<'n>(&self, name: &'n str, channel: &str) -> Option<&'n str> {
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
        let is_separator = |letter: char| !letter.is_alphanumeric();
        if name.matches(is_separator).count() > MOST_SEPARATORS {
            return None;
        }
        let starts =
            || std::iter::once(0).chain(name.match_indices(is_separator).map(|(at, letter)| at + letter.len()));
        let ends = || name.match_indices(is_separator).map(|(at, _)| at).chain([name.len()]);
        let parts = starts().flat_map(|start| ends().filter_map(move |end| name.get(start..end)));
        let read = |channel: &str| self.id(name, channel).map(|id| (id.to_owned(), channel.to_owned()));
        parts.filter(|part| !part.is_empty() && !part.contains('/')).filter_map(read).max_by_key(|(id, _)| id.len())
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
