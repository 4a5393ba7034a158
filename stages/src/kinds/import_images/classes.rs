//! The table of labels that folders of classes make.

use std::collections::{BTreeMap, HashMap};

use crate::artifact::image_set::{ClassFolders, ImageSet, Naming};
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::words::counted;

/// Class and part of the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassOf {
    class: String,
    split: Option<String>,
}

/// Classes shown in the log.
const SHOWN: usize = 20;

/// The class of each image whose name tells one, by id.
pub(crate) fn of(set: &ImageSet, naming: &Naming) -> HashMap<String, ClassOf> {
    let class = |file: &crate::artifact::image_set::ImageFile| {
        let parts = naming.parts(&file.name, &file.channel)?;
        let class = ClassOf { class: parts.class?.to_owned(), split: parts.split.map(str::to_owned) };
        Some((file.id.clone(), class))
    };
    set.files.iter().filter_map(class).collect()
}

/// Writes the labels of the images of `set`, which come from `folders`.
pub(crate) fn write(
    output: &TableOutput,
    classes: &HashMap<String, ClassOf>,
    folders: &ClassFolders,
    set: &ImageSet,
    naming: &Naming,
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    // A class counts though its images are left out: the numbers of the others stay.
    let mut counts: BTreeMap<&str, usize> = folders.classes.iter().map(|class| (class.as_str(), 0)).collect();
    for id in &set.ids {
        let class = classes.get(id).ok_or_else(|| {
            let message = format!("the image `{id}` has no class: the set has a manifest, and no folders of classes");
            StageError::in_file(&set.label, message).with_help("Import the folder itself, or leave `{class}` out.")
        })?;
        *counts.entry(&class.class).or_default() += 1;
    }
    let numbers: HashMap<&str, usize> = counts.keys().enumerate().map(|(number, class)| (*class, number)).collect();
    let mut shown: Vec<String> = counts.iter().take(SHOWN).map(|(class, count)| format!("{class} ({count})")).collect();
    if counts.len() > SHOWN {
        shown.push("…".to_owned());
    }
    context.log(format!("{}: {}", counted(counts.len(), "class"), shown.join(", ")));
    for class in &folders.empty {
        context.log(format!("the folder of the class `{class}` has no images, so that it is no class"));
    }
    context.metric("classes", counts.len() as f64);
    let mut header = vec!["Id", "Target", "class"];
    if naming.has_splits() {
        header.push("split");
    }
    let rows = set.ids.iter().filter_map(|id| {
        let ClassOf { class, split } = classes.get(id)?;
        let cells = [id.clone(), numbers.get(class.as_str())?.to_string(), class.clone()];
        Some(cells.into_iter().chain(split.clone()).collect::<Vec<String>>())
    });
    output.write(&header, rows)
}
