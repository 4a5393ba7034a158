//! The files of an imported set and its manifest.

use std::collections::{BTreeMap, BTreeSet};

use athanor_cache::ItemFile;

use super::item::Imported;
use crate::artifact::image_set::{BadImage, COLOUR_CHANNELS, ImageFile, ImageSet, ManifestRow, Naming};
use crate::image_sets::map_images::MappedImages;
use crate::items::Computed;
use crate::words::counted;

/// The channel of files without colours.
const GREY: &str = "grey";

/// Letters that names of channels must not have, as file names and lists of channels are made of them.
const UNFIT: [char; 2] = ['/', ','];

/// Samples a pixel from which on a file has colours.
const COLOURED: usize = 3;

/// The files of a set.
pub(crate) struct Files {
    /// The stored files, and their names in the set.
    pub sources: Vec<(ItemFile, String)>,
    /// The manifest.
    pub manifest: Vec<ManifestRow>,
}

impl Files {
    fn new() -> Files {
        Files { sources: Vec::new(), manifest: Vec::new() }
    }

    /// Adds a stored file under `name`, for these channels of an image.
    fn add(&mut self, id: &str, channels: &[String], stored: &ItemFile, imported: &Imported, name: &str) {
        self.sources.push((stored.clone(), name.to_owned()));
        for channel in channels {
            let (id, channel, file) = (id.to_owned(), channel.clone(), name.to_owned());
            let (header, bytes, digest) = (imported.header, stored.bytes, stored.digest);
            self.manifest.push(ManifestRow { id, channel, file, header, bytes, digest });
        }
    }
}

/// Whether a file holds all channels of an image.
pub(crate) fn is_one_file_each(set: &ImageSet, naming: &Naming) -> bool {
    let count = set.channels.len();
    let same = |files: &[ImageFile]| files.iter().all(|file| file.name == files[0].name);
    set.files.chunks(count.max(1)).all(same) && (count > 1 || !naming.has_channels())
}

/// The set with each file once.
pub(crate) fn first_files(set: ImageSet) -> ImageSet {
    let count = set.channels.len().max(1);
    let files = set.files.into_iter().step_by(count).map(|file| ImageFile { channel: String::new(), ..file });
    ImageSet { label: set.label, channels: vec![String::new()], ids: set.ids, files: files.collect() }
}

/// The longest name that a file of the result will have for an image, as far as that is known before it is read; with the names of
/// its pages where these are channels.
pub(crate) fn longest_name(image: &ImageFile, pages: Option<&[String]>) -> String {
    let extension = if image.name.to_ascii_lowercase().ends_with(".webp") { "webp" } else { "png" };
    let of_pages = pages.map(|names| names.iter().max_by_key(|name| name.len()).map_or("page_1", String::as_str));
    match of_pages.unwrap_or(&image.channel) {
        "" => format!("{}.{extension}", image.id),
        channel => format!("{}_{channel}.{extension}", image.id),
    }
}

/// Files that each are a channel.
pub(crate) fn by_files(each: MappedImages<Imported>) -> (MappedImages<Imported>, Files) {
    let mut files = Files::new();
    for (image, result) in each.set.files.iter().zip(&each.results) {
        let name = format!("{}_{}.{}", image.id, image.channel, result.value.header.format.extension());
        for stored in &result.files {
            files.add(&image.id, std::slice::from_ref(&image.channel), stored, &result.value, &name);
        }
    }
    (each, files)
}

/// Files that each hold all channels: the `names` given, or else red, green and blue, or grey if no file has colours.
pub(crate) fn by_colours(each: MappedImages<Imported>, names: Option<Vec<String>>) -> (MappedImages<Imported>, Files) {
    let coloured = each.results.iter().any(|result| result.value.header.channels >= COLOURED);
    let default: &[&str] = if coloured { &COLOUR_CHANNELS } else { &[GREY] };
    let names = names.unwrap_or_else(|| default.iter().map(|name| (*name).to_owned()).collect());
    let mut files = Files::new();
    for (image, result) in each.set.files.iter().zip(&each.results) {
        let name = format!("{}.{}", image.id, result.value.header.format.extension());
        for stored in &result.files {
            files.add(&image.id, &names, stored, &result.value, &name);
        }
    }
    (each, files)
}

/// Files whose pages each are a channel: the `names` given, or else those of OME-XML where all files tell the same ones, or else `page_1`
/// and so on. Pages that are told by these names are taken by them, in whatever order a file has them. Files with another number of
/// pages, or with pages of other names, are bad.
pub(crate) fn by_pages(
    each: MappedImages<Imported>,
    names: Option<Vec<String>>,
) -> (MappedImages<Imported>, Files, Vec<BadImage>) {
    let count = names.as_ref().map_or_else(|| usual_count(&each.results), Vec::len);
    let expected = match &names {
        Some(_) => format!("`channels` names {count}"),
        None => format!("most files have {count}"),
    };
    let naming = PageNaming::of(&each, names, count);
    let (mut files, mut bad) = (Files::new(), Vec::new());
    let MappedImages { set, results, bad: bad_before } = each;
    let mut kept: Vec<(ImageFile, Computed<Imported>)> = Vec::with_capacity(results.len());
    for (image, result) in set.files.into_iter().zip(results) {
        let pages = match result.files.len() == count {
            true => naming.pages(&result.value.channels),
            false => Err(format!("has {}, and {expected}", counted(result.files.len(), "channel"))),
        };
        match pages {
            Ok(pages) => {
                for (channel, page) in naming.names.iter().zip(pages) {
                    let name = format!("{}_{channel}.png", image.id);
                    files.add(&image.id, std::slice::from_ref(channel), &result.files[page], &result.value, &name);
                }
                kept.push((image, result));
            }
            Err(reason) => {
                let (id, file) = (image.id.clone(), image.label.clone());
                bad.push(BadImage { id, channel: String::new(), file, reason, is_no_image: false });
            }
        }
    }
    let ids = kept.iter().map(|(image, _)| image.id.clone()).collect();
    let (of_set, results) = kept.into_iter().unzip();
    let set = ImageSet { label: set.label, channels: set.channels, ids, files: of_set };
    (MappedImages { set, results, bad: bad_before }, files, bad)
}

/// Names of pages as channels.
struct PageNaming {
    /// The names, in the order of the result.
    names: Vec<String>,
    /// File that told them, where they are neither given nor numbers, and all files tell names.
    told_by: Option<String>,
    /// Names in the order of the first file that tells any, where others tell none and pages are numbered.
    order: Option<Vec<String>>,
}

impl PageNaming {
    /// The names for files of `count` pages: those given, or else what the files say.
    fn of(each: &MappedImages<Imported>, given: Option<Vec<String>>, count: usize) -> PageNaming {
        if let Some(names) = given {
            return PageNaming { names, told_by: None, order: None };
        }
        let files = each.set.files.iter().zip(&each.results).filter(|(_, result)| result.files.len() == count);
        let told: Vec<_> = files.map(|(image, result)| (image, told_names(&result.value.channels, count))).collect();
        let first = told.iter().find_map(|(image, names)| Some((*image, names.clone()?)));
        let all_tell = told.iter().all(|(_, names)| names.is_some());
        let numbered = || (1..=count).map(|page| format!("page_{page}")).collect();
        match first {
            Some((image, names)) if all_tell => PageNaming { names, told_by: Some(image.label.clone()), order: None },
            first => PageNaming { names: numbered(), told_by: None, order: first.map(|(_, names)| names) },
        }
    }

    /// The page of each name, in a file that tells the names `channels`; or why they cannot be told apart.
    fn pages(&self, channels: &[String]) -> Result<Vec<usize>, String> {
        let as_they_lie = || Ok((0..self.names.len()).collect());
        let Some(told) = told_names(channels, self.names.len()) else { return as_they_lie() };
        let by_name: Option<Vec<usize>> =
            self.names.iter().map(|name| told.iter().position(|told| told == name)).collect();
        let odd = |others: &str| {
            let (told, advice) = (told.join(", "), "`channels` may name the pages of all files in their order");
            Err(format!("its pages are called {told}, and {others}; {advice}"))
        };
        match (by_name, &self.told_by, &self.order) {
            (Some(pages), ..) => Ok(pages),
            (None, Some(file), _) => odd(&format!("those of `{file}` {}", self.names.join(", "))),
            (None, None, Some(order)) if *order != told => odd(&format!("those of another file {}", order.join(", "))),
            _ => as_they_lie(),
        }
    }
}

/// Names that a file tells of its pages, fit for names of files: as many as there are pages, all different and none empty.
fn told_names(channels: &[String], count: usize) -> Option<Vec<String>> {
    let names: Vec<String> = channels.iter().map(|name| name.replace(UNFIT, "_")).collect();
    (names.len() == count && distinct(&names)).then_some(names)
}

/// The number of pages that most files have; of two that are as common, the larger.
fn usual_count(results: &[Computed<Imported>]) -> usize {
    let mut files: BTreeMap<usize, usize> = BTreeMap::new();
    results.iter().for_each(|result| *files.entry(result.files.len()).or_default() += 1);
    files.into_iter().max_by_key(|(count, files)| (*files, *count)).map_or(0, |(count, _)| count)
}

/// Whether no name is there twice, and none is empty.
fn distinct(names: &[String]) -> bool {
    let all: BTreeSet<&String> = names.iter().collect();
    all.len() == names.len() && names.iter().all(|name| !name.is_empty())
}
