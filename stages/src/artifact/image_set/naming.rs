//! Names of files: which channel of which image a file is.

use std::collections::BTreeSet;

/// The channels of the Human Protein Atlas: microtubules, protein of interest, nucleus, endoplasmic reticulum.
pub const HPA_CHANNELS: [&str; 4] = ["red", "green", "blue", "yellow"];
/// Default pattern of file names.
pub const DEFAULT_PATTERN: &str = "{id}_{channel}.{ext}";

/// Number of separators up to which a name is taken apart to find a channel that is not known.
const MOST_SEPARATORS: usize = 32;

/// The channels of files that each hold all of an image's.
pub(crate) const COLOUR_CHANNELS: [&str; 3] = ["red", "green", "blue"];

/// Naming scheme of the files of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    /// Text with `{id}` or `{name}` and perhaps `{class}`, `{split}`, `{channel}` and, at its end, `{ext}`.
    pattern: String,
    /// The channels that every id must have; `None` for those of [`HPA_CHANNELS`] that occur at all.
    channels: Option<Vec<String>>,
}

/// Errors of a pattern or a list of channels.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    /// The pattern has not exactly one `{id}` or `{name}`.
    #[error(
        "the pattern must have `{{id}}` or `{{name}}` exactly once, as in `{DEFAULT_PATTERN}` or `{{class}}/{{name}}.{{ext}}`"
    )]
    Id,
    /// `{class}` or `{split}` is there twice, or parts follow each other without anything between them.
    #[error(
        "the pattern must have `{{class}}` and `{{split}}` at most once, and text between any two parts, as in `{{split}}/{{class}}/{{name}}.{{ext}}`"
    )]
    Parts,
    /// `{ext}` is not at the end.
    #[error("`{{ext}}` must be at the end of the pattern, as in `{DEFAULT_PATTERN}`")]
    Extension,
    /// No channels, or one twice or unfit for a file name.
    #[error("channels must be different names without `/`")]
    Channels,
}

/// Parts that the name of a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileParts<'n> {
    /// The part of the data set, such as `train`.
    pub split: Option<&'n str>,
    /// The class.
    pub class: Option<&'n str>,
    /// The id, or the name within the class.
    name: Option<&'n str>,
    /// Whether the name is an id as it is.
    is_id: bool,
}

impl FileParts<'_> {
    /// The id: what stands for `{id}`, or split, class and name, joined by `_`.
    pub fn id(&self) -> String {
        let parts = [self.split.filter(|_| !self.is_id), self.class.filter(|_| !self.is_id), self.name];
        parts.into_iter().flatten().collect::<Vec<&str>>().join("_")
    }
}

/// The variable parts of a pattern but `{channel}`, which is known, and `{ext}`.
const PARTS: [&str; 4] = ["{split}", "{class}", "{name}", "{id}"];

impl Default for Naming {
    fn default() -> Self {
        Naming { pattern: DEFAULT_PATTERN.to_owned(), channels: None }
    }
}

impl Naming {
    /// Files named by `pattern`, with these channels, or with those of [`HPA_CHANNELS`] that occur.
    pub fn new(pattern: &str, channels: Option<&[String]>) -> Result<Naming, NamingError> {
        let count = |part: &str| pattern.matches(part).count();
        if count("{id}") + count("{name}") != 1 {
            return Err(NamingError::Id);
        }
        let touch = PARTS.iter().any(|part| PARTS.iter().any(|next| pattern.contains(&format!("{part}{next}"))));
        if count("{class}") > 1 || count("{split}") > 1 || touch {
            return Err(NamingError::Parts);
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
        let known: &[&str] = if self.has_channels() { &HPA_CHANNELS } else { &COLOUR_CHANNELS };
        self.channels.clone().unwrap_or_else(|| known.iter().map(|channel| (*channel).to_owned()).collect())
    }

    /// Whether names say which channel a file is; otherwise each file holds all of them.
    pub fn has_channels(&self) -> bool {
        self.pattern.contains("{channel}")
    }

    /// Whether names say the class of an image.
    pub fn has_classes(&self) -> bool {
        self.pattern.contains("{class}")
    }

    /// Whether names say the part of the data set.
    pub fn has_splits(&self) -> bool {
        self.pattern.contains("{split}")
    }

    /// The id of the file `name` if it is an image of `channel`.
    pub(super) fn id(&self, name: &str, channel: &str) -> Option<String> {
        self.parts(name, channel).map(|parts| parts.id())
    }

    /// Parts that the file name `name` says if it is that of an image of `channel`.
    pub fn parts<'n>(&self, name: &'n str, channel: &str) -> Option<FileParts<'n>> {
        let pattern = self.pattern.replace("{channel}", channel);
        let mut parts = FileParts::default();
        let (mut patterns, mut names) = (pattern.split('/'), name.split('/'));
        loop {
            match (patterns.next(), names.next()) {
                (None, None) => return Some(parts),
                (Some(pattern), Some(name)) => read_segment(pattern, name, &mut parts)?,
                _ => return None,
            }
        }
    }

    /// The class that the folder `name` is one of, where the pattern has classes for folders.
    pub(super) fn class_of_folder<'n>(&self, name: &'n str) -> Option<&'n str> {
        let (folders, _) = self.pattern.rsplit_once('/')?;
        let mut parts = FileParts::default();
        let (mut patterns, mut names) = (folders.split('/'), name.split('/'));
        loop {
            match (patterns.next(), names.next()) {
                (None, None) => return parts.class,
                (Some(pattern), Some(name)) => read_segment(pattern, name, &mut parts)?,
                _ => return None,
            }
        }
    }

    /// Whether files may have any extension, so that the pattern does not say that they are images.
    pub(super) fn has_any_extension(&self) -> bool {
        self.pattern.ends_with("{ext}")
    }

    /// Whether some of the channels that are there may have been left out on purpose.
    pub(super) fn selects_channels(&self) -> bool {
        self.channels.is_some()
    }

    /// Id and channel of a file that is named by the pattern, whatever its channel is. Of several ways to read a name it is the one with
    /// the longest id, in which separators are common.
    pub(super) fn written_channel(&self, name: &str) -> Option<(String, String)> {
        let is_separator = |letter: char| !letter.is_alphanumeric();
        if !self.has_channels() || name.matches(is_separator).count() > MOST_SEPARATORS {
            return None;
        }
        let starts =
            || std::iter::once(0).chain(name.match_indices(is_separator).map(|(at, letter)| at + letter.len()));
        let ends = || name.match_indices(is_separator).map(|(at, _)| at).chain([name.len()]);
        let parts = starts().flat_map(|start| ends().filter_map(move |end| name.get(start..end)));
        let read = |channel: &str| self.id(name, channel).map(|id| (id, channel.to_owned()));
        parts.filter(|part| !part.is_empty() && !part.contains('/')).filter_map(read).max_by_key(|(id, _)| id.len())
    }

    /// The file name of a channel of an id, with the extension that `name` has.
    pub(super) fn with_extension_of(&self, id: &str, channel: &str, name: &str) -> String {
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        self.example(id, channel).replace('*', extension)
    }

    /// The file name of a channel of an id, for messages.
    pub(super) fn example(&self, id: &str, channel: &str) -> String {
        let named = self.pattern.replace("{id}", id).replace("{channel}", channel).replace("{ext}", "*");
        named.replace("{split}", "<split>").replace("{class}", "<class>").replace("{name}", "<name>")
    }
}

/// Reads what stands between two `/` of a name; `None` if it is not named by `pattern`.
fn read_segment<'n>(pattern: &str, name: &'n str, parts: &mut FileParts<'n>) -> Option<()> {
    let (pattern, name) = match pattern.strip_suffix("{ext}") {
        // The extension is what follows the last separator.
        Some(before) => {
            let dot = name.rfind(|c| !char::is_alphanumeric(c))?;
            let (stem, extension) = name.split_at(dot + name[dot..].chars().next()?.len_utf8());
            (!extension.is_empty()).then_some((before, stem))?
        }
        None => (pattern, name),
    };
    let next = |text: &str| PARTS.iter().filter_map(|part| Some((text.find(part)?, *part))).min();
    let Some((start, part)) = next(pattern) else { return (pattern == name).then_some(()) };
    let (mut rest, mut name, mut part) = (&pattern[start + part.len()..], name.strip_prefix(&pattern[..start])?, part);
    loop {
        let value;
        let following = next(rest);
        match following {
            None => value = name.strip_suffix(rest)?,
            // The shortest that fits.
            Some((end, _)) => {
                let literal = &rest[..end];
                let first = name.chars().next()?.len_utf8();
                let at = first + name[first..].find(literal)?;
                value = &name[..at];
                name = &name[at + literal.len()..];
            }
        }
        // As in tables, where an id with blanks around it would be another one.
        let value = value.trim();
        if value.is_empty() {
            return None;
        }
        match part {
            "{split}" => parts.split = Some(value),
            "{class}" => parts.class = Some(value),
            _ => (parts.name, parts.is_id) = (Some(value), part == "{id}"),
        }
        let Some((end, next_part)) = following else { return Some(()) };
        (rest, part) = (&rest[end + next_part.len()..], next_part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pattern: &str, channel: &str, name: &str) -> Option<String> {
        Naming::new(pattern, None).unwrap().id(name, channel)
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
    fn folders_are_classes_and_splits() {
        let naming = Naming::new("{split}/{class}/{name}.{ext}", None).unwrap();
        let parts = naming.parts("train/a cat/0.1.JPEG", "").unwrap();
        assert_eq!((parts.split, parts.class, parts.id().as_str()), (Some("train"), Some("a cat"), "train_a cat_0.1"));
        assert_eq!(naming.parts("train/0.1.JPEG", ""), None);
        assert_eq!(naming.parts("train/a/b/0.1.JPEG", ""), None);
        let in_name = Naming::new("{class}_{id}.png", None).unwrap();
        let parts = in_name.parts("cat_0_1.png", "").unwrap();
        assert_eq!((parts.class, parts.id().as_str()), (Some("cat"), "0_1"));
        assert_eq!(in_name.parts("_1.png", ""), None);
    }

    #[test]
    fn blanks_around_a_part_are_none_of_it() {
        assert_eq!(id(DEFAULT_PATTERN, "red", " a b _red.png").as_deref(), Some("a b"));
        assert_eq!(id(DEFAULT_PATTERN, "red", " \u{a0}_red.png"), None);
        let naming = Naming::new("{split}/{class}/{name}.{ext}", None).unwrap();
        let parts = naming.parts("train / a cat/0 (1) .JPEG", "").unwrap();
        assert_eq!(
            (parts.split, parts.class, parts.id().as_str()),
            (Some("train"), Some("a cat"), "train_a cat_0 (1)")
        );
        assert_eq!(naming.class_of_folder("train/dog "), Some("dog"));
    }

    #[test]
    fn patterns_that_tell_nothing_apart_are_refused() {
        let refused = |pattern: &str| Naming::new(pattern, None).unwrap_err();
        assert_eq!(refused("{channel}.png"), NamingError::Id);
        assert_eq!(refused("{id}/{name}.png"), NamingError::Id);
        assert_eq!(refused("{class}{name}.png"), NamingError::Parts);
        assert_eq!(refused("{class}/{class}/{name}.png"), NamingError::Parts);
        assert_eq!(refused("{id}.{ext}_{channel}"), NamingError::Extension);
        let twice = ["a".to_owned(), "a".to_owned()];
        assert_eq!(Naming::new(DEFAULT_PATTERN, Some(&twice)), Err(NamingError::Channels));
    }
}
