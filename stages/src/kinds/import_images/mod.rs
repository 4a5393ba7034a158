//! `import_images`: a folder of images as an image set.

mod classes;
mod item;
mod layout;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactType;
use crate::artifact::image_set::{
    ClassFolders, ImageFile, ImageSetInput, ImageSetOutput, OnBad, fail_if_bad, write_manifest, write_skipped,
};
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::image_sets::map_images::{MappedImages, map_set, without_long_names};
use crate::image_sets::read_options::ReadOptions;
use crate::input_ports;
use crate::items::{ItemCache, ItemPlacement};
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::ports::{BindError, BoundOutputs, OutputPort, OutputPorts, OutputValue};
use item::{Import, Imported};

/// The kind `import_images`.
pub struct ImportImages;

/// Parameters of [`ImportImages`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ImportImagesParams {
    /// Pages to take of files with several; a file with several pages is bad without it, and so is one that lacks the page. Of an
    /// animation (GIF, PNG, WebP) the first frame alone can be taken.
    #[serde(default)]
    pub pages: Option<PageChoice>,
    /// Options for reading the images.
    #[serde(flatten)]
    pub reading: ReadOptions,
}

/// Choices among the pages of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected `channels`, `first`, or the number of a page, counted from 0")]
pub enum PageChoice {
    /// By a word.
    Named(NamedPages),
    /// The page of this number, counted from 0.
    Number(usize),
}

/// Choices among the pages of a file that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamedPages {
    /// Each page is a channel. Their names are those of `channels`, or else those in OME-XML, or else `page_1` and so on.
    Channels,
    /// The first page is the image.
    First,
}

impl ImportImagesParams {
    /// Whether each page of a file is a channel.
    fn pages_are_channels(&self) -> bool {
        self.pages == Some(PageChoice::Named(NamedPages::Channels))
    }

    /// Whether the names of files tell classes.
    fn has_classes(&self) -> bool {
        self.reading.naming().is_ok_and(|naming| naming.has_classes())
    }
}

impl Parameters for ImportImagesParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = self.reading.check();
        if self.pages_are_channels() && self.reading.naming().is_ok_and(|naming| naming.has_channels()) {
            let message = "if pages are channels, the pattern has no `{channel}`: give `pattern: \"{id}.{ext}\"`";
            problems.push(ParamProblem::value("pages", message));
        }
        problems
    }
}

input_ports! {
    /// Inputs of [`ImportImages`].
    pub struct ImportImagesInputs {
        /// Folder of images.
        images: ImageSetInput,
    }
}

/// Outputs of [`ImportImages`]: the set, the images left out, and the labels where names tell classes.
pub struct ImportImagesOutputs {
    images: ImageSetOutput,
    skipped: TableOutput,
    labels: Option<TableOutput>,
}

const IMAGES: &str = "images";
const SKIPPED: &str = "skipped";
const LABELS: &str = "labels";

fn port(name: &str, artifact: ArtifactType, file: &str, doc: &str) -> OutputPort {
    let (name, file, doc) = (name.to_owned(), file.to_owned(), doc.to_owned());
    OutputPort { name, artifact, file, optional: false, doc, group: Vec::new() }
}

impl OutputPorts for ImportImagesOutputs {
    fn ports() -> Vec<OutputPort> {
        let images = "Images as `<id>_<channel>`, or `<id>` where a file holds all channels, with the extension of their real type. They are the files byte for byte; of files with several pages, the pages that were chosen, as PNG.";
        let labels = "Classes, if the pattern has `{class}`: `Id,Target,class`, and `split` if the pattern has it. `Target` is the number of the class among all that have a file named as an image, sorted, whether or not it is left out.";
        vec![
            port(IMAGES, ArtifactType::ImageSet, IMAGES, images),
            port(SKIPPED, ArtifactType::Table, "skipped.csv", "Images left out: `Id,channel,file,reason`."),
            port(LABELS, ArtifactType::Table, "labels.csv", labels),
        ]
    }

    fn bind(mut bound: BoundOutputs) -> Result<Self, BindError> {
        let mut path = |port| bound.remove(port).ok_or(BindError { port });
        let (images, skipped): (PathBuf, PathBuf) = (path(IMAGES)?, path(SKIPPED)?);
        let labels = bound.remove(LABELS).map(TableOutput::from_path);
        Ok(ImportImagesOutputs {
            images: ImageSetOutput::from_path(images),
            skipped: TableOutput::from_path(skipped),
            labels,
        })
    }
}

impl StageKind for ImportImages {
    type Params = ImportImagesParams;
    type Inputs = ImportImagesInputs;
    type Outputs = ImportImagesOutputs;

    const NAME: &'static str = "import_images";
    const REVISION: u32 = 8;
    const DOC: &'static str = "Takes a folder of images into the cache as an image set, each of them checked by decoding it.\n\nThe other image kinds read such a folder as well; importing it keeps a copy of the images as they are now, under names with the extensions of their real types. With `pattern: \"{class}/{name}.{ext}\"`, a folder for each class, it also makes a table of labels.";
    const USES_ALL_CPUS: bool = true;
    const RESUMES: bool = true;
    const OUTPUTS_VARY: bool = true;

    fn outputs(params: &ImportImagesParams) -> Vec<OutputPort> {
        let wanted = |port: &OutputPort| port.name != LABELS || params.has_classes();
        ImportImagesOutputs::ports().into_iter().filter(wanted).collect()
    }

    fn run(
        params: ImportImagesParams,
        inputs: ImportImagesInputs,
        outputs: ImportImagesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let items = ItemCache::of::<Self>(context)?;
        let (set, mut bad) = params.reading.read(&inputs.images, context)?;
        let naming = params.reading.naming()?;
        let one_file_each = layout::is_one_file_each(&set, &naming);
        let explicit = naming.has_channels() || params.reading.channels.is_some();
        let names = explicit.then(|| set.channels.clone());
        let set = if one_file_each { layout::first_files(set) } else { set };
        let work = Import { params: &params, one_file_each };
        let pages = (one_file_each && params.pages_are_channels()).then(|| names.clone().unwrap_or_default());
        let name_of = |image: &ImageFile| layout::longest_name(image, pages.as_deref());
        let set = without_long_names(set, &mut bad, params.reading.on_bad, name_of)?;
        let folders = match outputs.labels {
            Some(_) => ClassFolders::of(&inputs.images, &naming, context)?,
            None => ClassFolders::default(),
        };
        let each = map_set(&params.reading, set, bad, &work, &items, context)?;
        let labels = outputs.labels.as_ref().map(|output| (output, classes::of(&each.set, &naming)));
        let (each, files) = match (one_file_each, params.pages_are_channels()) {
            (true, true) => by_pages(&params, each, names)?,
            (true, false) => layout::by_colours(each, names),
            (false, _) => layout::by_files(each),
        };
        let path = |name: &String| outputs.images.path().join(name);
        let placed: Vec<ItemPlacement<'_>> =
            files.sources.iter().map(|(file, name)| ItemPlacement { file, path: path(name) }).collect();
        items.place_all(&placed)?;
        write_manifest(&outputs.images, &files.manifest)?;
        if let Some((output, labels)) = labels {
            classes::write(output, &labels, &folders, &each.set, &naming, context)?;
        }
        write_skipped(&outputs.skipped, &each.bad)
    }
}

/// As [`layout::by_pages`], with files of other channels among the bad images.
fn by_pages(
    params: &ImportImagesParams,
    each: MappedImages<Imported>,
    names: Option<Vec<String>>,
) -> Result<(MappedImages<Imported>, layout::Files), StageError> {
    let (mut each, files, odd) = layout::by_pages(each, names);
    if params.reading.on_bad == OnBad::Error || each.set.ids.is_empty() {
        fail_if_bad(&odd, params.reading.on_bad)?;
    }
    each.bad.extend(odd);
    Ok((each, files))
}
