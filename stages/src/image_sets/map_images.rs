//! The same work on every image of a set.

use std::collections::HashSet;

use crate::artifact::image_set::{BadImage, ImageFile, ImageSet, ImageSetInput, OnBad, fail_if_bad};
use crate::context::StageContext;
use crate::error::StageError;
use crate::image_sets::read_options::ReadOptions;
use crate::items::{Computed, ItemCache, OnFailure, PerItem};

/// The results for a set's images.
pub(crate) struct MappedImages<V> {
    /// The images with results; an id with a bad image is left out whole.
    pub set: ImageSet,
    /// The results, `[id, channel]`.
    pub results: Vec<Computed<V>>,
    /// The images without results.
    pub bad: Vec<BadImage>,
}

/// Does `work` on every image of `input`.
///
/// # Errors
/// Without `on_bad: skip`, the first bad image; in any case, failures that are not an image's own. An empty result is
/// an error too.
pub(crate) fn map_images<P: PerItem<Item = ImageFile>>(
    reading: &ReadOptions,
    input: &ImageSetInput,
    work: &P,
    items: &ItemCache<'_>,
    context: &StageContext<'_>,
) -> Result<MappedImages<P::Value>, StageError> {
    let (set, bad) = reading.read(input, context)?;
    map_set(reading, set, bad, work, items, context)
}

/// Does `work` on every image of `set`, from whose folder `bad` were left out.
///
/// # Errors
/// As [`map_images`].
pub(crate) fn map_set<P: PerItem<Item = ImageFile>>(
    reading: &ReadOptions,
    set: ImageSet,
    mut bad: Vec<BadImage>,
    work: &P,
    items: &ItemCache<'_>,
    context: &StageContext<'_>,
) -> Result<MappedImages<P::Value>, StageError> {
    let on_failure = if reading.on_bad == OnBad::Skip { OnFailure::Continue } else { OnFailure::Stop };
    let mut results = Vec::with_capacity(set.files.len());
    for (file, result) in set.files.iter().zip(items.compute(work, &set.files, on_failure)?) {
        match result {
            Ok(computed) => results.push(Some(computed)),
            Err(StageError::Input { message, .. }) => {
                // The channels in one file share its problem, and are tried one after the other.
                let is_told =
                    |last: &BadImage| (&last.id, &last.file, &last.reason) == (&file.id, &file.label, &message);
                if !bad.last().is_some_and(is_told) {
                    let (id, channel) = (file.id.clone(), file.channel.clone());
                    bad.push(BadImage { id, channel, file: file.label.clone(), reason: message, is_no_image: false });
                }
                results.push(None);
            }
            Err(other) => return Err(other),
        }
    }
    bad.sort_by(|left, right| (&left.id, &left.channel).cmp(&(&right.id, &right.channel)));
    let ids: HashSet<&str> = bad.iter().map(|bad| bad.id.as_str()).filter(|id| !id.is_empty()).collect();
    if !ids.is_empty() {
        context.log(format!("images that are bad, and left out: {}", ids.len()));
    }
    let each = without_bad(set, results, bad);
    if each.set.ids.is_empty() {
        fail_if_bad(&each.bad, reading.on_bad)?;
    }
    Ok(each)
}

/// Longest name of a file that file systems take, in bytes.
const LONGEST_NAME: usize = 255;

/// `set` without the images whose file in the result, which `name_of` names, would have a name that no file system takes; they are
/// among `bad`.
///
/// # Errors
/// Without `on_bad: skip`, the first such image.
pub(crate) fn without_long_names(
    set: ImageSet,
    bad: &mut Vec<BadImage>,
    on_bad: OnBad,
    name_of: impl Fn(&ImageFile) -> String,
) -> Result<ImageSet, StageError> {
    let mut long = Vec::new();
    for file in &set.files {
        let bytes = name_of(file).len();
        if bytes > LONGEST_NAME && long.last().is_none_or(|last: &BadImage| last.id != file.id) {
            let reason = format!(
                "its id is too long: a file of the result would have a name of {bytes} bytes, and {LONGEST_NAME} is the most"
            );
            let (id, channel, file) = (file.id.clone(), file.channel.clone(), file.label.clone());
            long.push(BadImage { id, channel, file, reason, is_no_image: false });
        }
    }
    if on_bad == OnBad::Error {
        fail_if_bad(&long, on_bad)?;
    }
    let left_out: HashSet<&str> = long.iter().map(|bad| bad.id.as_str()).collect();
    let ImageSet { label, channels, ids, files } = set;
    let ids = ids.into_iter().filter(|id| !left_out.contains(id.as_str())).collect();
    let files = files.into_iter().filter(|file| !left_out.contains(file.id.as_str())).collect();
    bad.extend(long);
    Ok(ImageSet { label, channels, ids, files })
}

fn without_bad<V>(set: ImageSet, results: Vec<Option<Computed<V>>>, bad: Vec<BadImage>) -> MappedImages<V> {
    let left_out: HashSet<&str> = bad.iter().map(|bad| bad.id.as_str()).collect();
    let stays = |id: &str| !left_out.contains(id);
    let (files, results): (Vec<ImageFile>, Vec<Option<Computed<V>>>) =
        set.files.into_iter().zip(results).filter(|(file, _)| stays(&file.id)).unzip();
    let ids = set.ids.into_iter().filter(|id| stays(id)).collect();
    // An id that stays has no bad image, so each of its results is there.
    MappedImages { set: ImageSet { ids, files, ..set }, results: results.into_iter().flatten().collect(), bad }
}
