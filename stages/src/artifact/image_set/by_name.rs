//! Folders without a manifest, read by the names of their files.

use std::collections::BTreeMap;
use std::path::Path;

use athanor_cache::Tree;

use super::unmatched::{is_hidden, unmatched};
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
    let channels: Vec<usize> =
        (0..candidates.len()).filter(|channel| naming.selects_channels() || occurs(channel)).collect();
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
            Some(BadImage { id: id.to_owned(), channel: name.clone(), file, reason, is_no_image: false })
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
