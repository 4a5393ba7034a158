//! `download`: files from elsewhere as an image set, a folder, a file, or the content of an archive.

mod archive;
mod fetch_missing;
mod mirror;
mod outputs;
mod params;
mod wanted;

use std::collections::HashSet;

use indexmap::IndexSet;

use crate::artifact::folder::FolderInput;
use crate::artifact::image_set::{ImageSetOutput, ManifestRow, OnBad, write_manifest};
use crate::artifact::table::TableInput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::input_ports;
use crate::items::{Computed, ItemCache};
use crate::kind::StageKind;
use crate::ports::{OutputPort, OutputValue};
use fetch_missing::{FailedFile, FetchedFile, FetchedFiles};
use mirror::Mirror;
pub use outputs::DownloadOutputs;
pub use params::{DownloadParams, OutputForm, TransferParams};
pub use wanted::{WantedFile, of_list, single};

/// The kind `download`.
pub struct Download;

input_ports! {
    /// Inputs of [`Download`].
    pub struct DownloadInputs {
        /// Table whose rows say what to fetch; for `as: images` and `as: files`.
        list: Option<TableInput>,
        /// Folder of files that are there already, with the names that the stage gives them (images `<id>_<channel>`
        /// with any extension), or the one file that is wanted: its files are checked and copied, and only the rest is
        /// fetched.
        mirror: Option<FolderInput>,
    }
}

impl StageKind for Download {
    type Params = DownloadParams;
    type Inputs = DownloadInputs;
    type Outputs = DownloadOutputs;

    const NAME: &'static str = "download";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Fetches files by http and https (and copies `file:` addresses), many at once, into an image set, a folder, one file, or the unpacked content of one archive.\n\nTransient failures are retried with growing pauses; interrupted transfers are resumed. A file counts as fetched when its length, its checksum where one is given, and for images its decoding are right. Every fetched file is kept at once and never fetched again under the same address, checksum and length: an interrupted or failed stage fetches only what is missing when it runs again. Later changes on a server are not noticed unless a checksum shows them; `--force` fetches everything again. HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are honoured.";
    const RESUMES: bool = true;
    const OUTPUTS_VARY: bool = true;

    fn outputs(params: &DownloadParams) -> Vec<OutputPort> {
        outputs::of(params)
    }

    fn run(
        params: DownloadParams,
        inputs: DownloadInputs,
        outputs: DownloadOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let mut wanted = match (&inputs.list, params.form.has_list()) {
            (Some(list), true) => of_list(&params, &list.read()?)?,
            (None, false) => vec![single(&params)?],
            (list, _) => {
                let problem = if list.is_some() { "there is a `list`, but" } else { "there is no `list`, as" };
                let form = params.form.output();
                let message = format!("{problem} `as: {form}` needs {}", if list.is_some() { "none" } else { "one" });
                return Err(StageError::mismatch(message).with_help("Lists are for `as: images` and `as: files`."));
            }
        };
        if let Some(mirror) = &inputs.mirror {
            let found = Mirror::open(mirror, params.form, context)?.redirect(&mut wanted);
            context.log(format!("{found} of {} files are in the mirror", wanted.len()));
        }
        if params.form == OutputForm::Unpacked {
            return archive::unpack_one(&params, &wanted[0], &outputs.files, context);
        }
        let items = ItemCache::of::<Self>(context)?;
        let fetched = fetch_missing::fetch_missing(&params, &wanted, &items, context)?;
        let failures = failures(&wanted, &fetched);
        let log = |failed: &FailedFile<'_>| context.log(failed.error.to_string());
        failures.iter().for_each(log);
        let nothing_left = failures.len() == wanted.len();
        if params.on_bad == OnBad::Error || nothing_left {
            fetch_missing::report(&failures, wanted.len())?;
        }
        context.metric("files", (wanted.len() - failures.len()) as f64);
        context.metric("failures", failures.len() as f64);
        write_failures(&outputs, &failures)?;
        match params.form {
            OutputForm::Images => place_images(&wanted, &fetched, &items, &outputs),
            _ => place_files(params.form, &wanted, &fetched, &items, &outputs),
        }
    }
}

fn failures<'a>(wanted: &'a [WantedFile], fetched: &'a FetchedFiles) -> Vec<FailedFile<'a>> {
    let outcomes = wanted.iter().zip(fetched.outcomes());
    outcomes.filter_map(|(wanted, outcome)| Some(FailedFile { wanted, error: outcome.as_ref().err()? })).collect()
}

fn write_failures(outputs: &DownloadOutputs, failures: &[FailedFile<'_>]) -> Result<(), StageError> {
    let Some(table) = &outputs.failures else { return Ok(()) };
    let rows = failures.iter().map(|FailedFile { wanted, error }| {
        let (attempts, reason) = (error.attempts.to_string(), error.kind.to_string());
        [wanted.id.clone(), wanted.channel.clone(), fetch_missing::address(wanted), attempts, reason]
    });
    table.write(&["Id", "channel", "url", "attempts", "reason"], rows)
}

/// The images by id; an id with a failure is left out.
fn place_images(
    wanted: &[WantedFile],
    fetched: &FetchedFiles,
    items: &ItemCache<'_>,
    outputs: &DownloadOutputs,
) -> Result<(), StageError> {
    let failures = failures(wanted, fetched);
    let bad: HashSet<&str> = failures.iter().map(|failed| failed.wanted.id.as_str()).collect();
    let channels: IndexSet<&str> = wanted.iter().map(|wanted| wanted.channel.as_str()).collect();
    let good =
        wanted.iter().zip(fetched.outcomes()).filter_map(|(wanted, outcome)| Some((wanted, outcome.as_ref().ok()?)));
    let mut good: Vec<(&WantedFile, &Computed<FetchedFile>)> =
        good.filter(|(wanted, _)| !bad.contains(wanted.id.as_str())).collect();
    if good.is_empty() {
        return fetch_missing::report(&failures, wanted.len());
    }
    good.sort_by_key(|(wanted, _)| (wanted.id.as_str(), channels.get_index_of(wanted.channel.as_str())));
    let mut manifest = Vec::with_capacity(good.len());
    for (wanted, kept) in good {
        for (stored, header) in kept.files.iter().zip(kept.value.header) {
            let (id, channel) = (wanted.id.clone(), wanted.channel.clone());
            let file = format!("{id}_{channel}.{}", header.format.extension());
            items.place(stored, &outputs.files.join(&file))?;
            manifest.push(ManifestRow { id, channel, file, header, bytes: stored.bytes, digest: stored.digest });
        }
    }
    write_manifest(&ImageSetOutput::from_path(outputs.files.clone()), &manifest)
}

/// The files by name, or the one file.
fn place_files(
    form: OutputForm,
    wanted: &[WantedFile],
    fetched: &FetchedFiles,
    items: &ItemCache<'_>,
    outputs: &DownloadOutputs,
) -> Result<(), StageError> {
    for (wanted, outcome) in wanted.iter().zip(fetched.outcomes()) {
        let path = if form == OutputForm::File { outputs.files.clone() } else { outputs.files.join(&wanted.name) };
        for stored in outcome.iter().flat_map(|kept| &kept.files) {
            items.place(stored, &path)?;
        }
    }
    Ok(())
}
