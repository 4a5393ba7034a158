//! Folders without a manifest, read by the names of their files.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use athanor_cache::Tree;
use icu_normalizer::ComposingNormalizerBorrowed;

use super::unmatched::{is_hidden, may_be_image, no_image, unmatched};
use super::{BadImage, ImageFile, ImageSet, Naming, entries, label_inside};
use crate::error::StageError;

/// Reads a folder by the names of its files.
pub(crate) fn read(
    naming: &Naming,
    tree: &Tree,
    root: &Path,
    label: &str,
) -> Result<(ImageSet, Vec<BadImage>), StageError> {
    let candidates = naming.candidates();
    let (found, mut bad) = find(naming, &candidates, tree, root, label);
    let occurs = |channel: &usize| found.values().any(|files| files.contains_key(channel));
    let channels: Vec<usize> =
        (0..candidates.len()).filter(|channel| naming.selects_channels() || occurs(channel)).collect();
    if found.is_empty() {
        let message = format!("there are no images named `{}` in it", naming.example("<id>", "<channel>"));
        let help = no_images(naming, tree);
        return Err(StageError::in_file(label, message).with_help(help));
    }
    let (mut ids, mut files, alike) = (Vec::new(), Vec::new(), look_alikes(found.keys()));
    for (id, mut of_id) in found {
        let problem = |channel: &usize| {
            let name = &candidates[*channel];
            let (file, reason) = match of_id.get(channel).map(Vec::as_slice) {
                None | Some([]) => {
                    let file = label_inside(label, &naming.example(&id, name));
                    let alike = alike.get(&id).map(|other| {
                        let other = label_inside(label, &naming.example(other, "<channel>"));
                        format!("; `{other}` looks the same, and is written with letters and accents in one or apart (NFC, NFD)")
                    });
                    let lacks = format!("there is no such file, so the image `{id}` lacks its channel `{name}`");
                    (file, lacks + &alike.unwrap_or_default())
                }
                Some([_]) => return None,
                Some([first, second, ..]) if naming.has_channels() => {
                    let reason =
                        format!("this is the channel `{name}` of the image `{id}`, and so is `{}`", second.name);
                    (first.label.clone(), reason)
                }
                Some([first, second, ..]) => {
                    (first.label.clone(), format!("this is the image `{id}`, and so is `{}`", second.name))
                }
            };
            Some(BadImage { id: id.clone(), channel: name.clone(), file, reason, is_no_image: false })
        };
        // The channels in one file share its problem.
        let told = if naming.has_channels() { channels.len() } else { 1 };
        let problems: Vec<BadImage> = channels.iter().take(told).filter_map(problem).collect();
        if problems.is_empty() {
            ids.push(id.clone());
            files.extend(channels.iter().filter_map(|channel| of_id.remove(channel)).flatten());
        }
        bad.extend(problems);
    }
    let channels = channels.into_iter().map(|channel| candidates[channel].clone()).collect();
    Ok((ImageSet { label: label.to_owned(), channels, ids, files }, bad))
}

/// Ids that look the same as others, with one of these: letters and their accents may be one character, or two.
fn look_alikes<'i>(ids: impl Iterator<Item = &'i String>) -> HashMap<String, String> {
    let composed = ComposingNormalizerBorrowed::new_nfc();
    let mut of_text: HashMap<Cow<'_, str>, Vec<&String>> = HashMap::new();
    ids.filter(|id| !id.is_ascii()).for_each(|id| of_text.entry(composed.normalize(id)).or_default().push(id));
    let with_another = |same: &[&String]| match same {
        [] | [_] => Vec::new(),
        [first, second, ..] => {
            same.iter().map(|id| ((*id).clone(), if id == first { *second } else { *first }.clone())).collect()
        }
    };
    of_text.values().flat_map(|same| with_another(same)).collect()
}

/// Files by id and channel.
type Found = BTreeMap<String, BTreeMap<usize, Vec<ImageFile>>>;

/// The files that are named as images, and those that are not.
fn find(naming: &Naming, candidates: &[String], tree: &Tree, root: &Path, label: &str) -> (Found, Vec<BadImage>) {
    let mut found = Found::new();
    let mut bad = Vec::new();
    for (name, digest) in entries(tree).filter(|(name, _)| !is_hidden(name)) {
        let image = candidates.iter().enumerate().find_map(|(at, channel)| Some((at, naming.id(name, channel)?)));
        let Some((channel, id)) = image else {
            bad.extend(unmatched(naming, name, label, &root.join(name)));
            continue;
        };
        if !may_be_image(naming, name, &root.join(name)) {
            bad.push(no_image(name, label));
            continue;
        }
        let files = found.entry(id.clone()).or_default();
        // A name without a channel is that of a file with all of them.
        let holds = if naming.has_channels() { channel..channel + 1 } else { 0..candidates.len() };
        for channel in holds {
            let file = ImageFile {
                id: id.clone(),
                channel: candidates[channel].clone(),
                name: name.to_owned(),
                label: label_inside(label, name),
                path: root.join(name),
                digest,
            };
            files.entry(channel).or_default().push(file);
        }
    }
    (found, bad)
}

/// Advice for a folder in which no file is named by the pattern.
fn no_images(naming: &Naming, tree: &Tree) -> String {
    let mut names = entries(tree).map(|(name, _)| name).filter(|name| !is_hidden(name)).peekable();
    let Some(first) = names.peek().map(|name| (*name).to_owned()) else {
        return "There is no visible file in it; look whether it is the right folder.".to_owned();
    };
    let depth = |name: &str| name.matches('/').count();
    let expected = depth(&naming.example("<id>", "<channel>"));
    let holds = format!("It holds `{first}`, for one.");
    if names.all(|name| depth(name) > expected) {
        let pattern = if naming.has_classes() { "{split}/{class}/{name}.{ext}" } else { "{class}/{name}.{ext}" };
        return format!(
            "{holds} Give the folder that the images are in, or a pattern with its folders, such as `pattern: \"{pattern}\"`."
        );
    }
    if !naming.has_channels() {
        return format!("{holds} Give a `pattern` that fits its files.");
    }
    let channels = naming.candidates().join(", ");
    format!(
        "{holds} The channels looked for are {channels}. Where a file holds all channels, give `pattern: \"{{id}}.{{ext}}\"`, or \
         `\"{{class}}/{{name}}.{{ext}}\"` for a folder for each class."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_differ_in_how_accents_are_written_look_alike() {
        let different = ["cafe", "\u{e9}", "e\u{300}", "x\u{301}", "\u{d55c}", "\u{1112}\u{1161}"];
        let ids = [&["caf\u{e9}", "cafe\u{301}", "\u{ac00}1", "\u{1100}\u{1161}1"], &different[..]].concat();
        let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
        let alike = look_alikes(ids.iter());
        for (one, other) in [(0, 1), (1, 0), (2, 3), (3, 2)] {
            assert_eq!(alike.get(&ids[one]), Some(&ids[other]));
        }
        assert_eq!(alike.len(), 4, "{alike:?}");
    }
}
