//! Garbage collection: removes results that no known pipeline uses, here; and says which are in use, for one elsewhere.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use athanor_cache::{Cache, CacheError, Digest, GcReport, GcRequest, UseGuard};
use athanor_stages::{items, registry};
use jiff::Timestamp;

use crate::run::inputs::fingerprint::recorded_recipe;
use crate::run::state::history::{self, History, Pins, Presence, Roots, UnknownUsage};

/// Reason why nothing was collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GcError {
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Unknown what pipelines use, so nothing may go.
    #[error("{}", of_unknown(.0))]
    Unknown(Vec<UnknownPipeline>),
    /// Results without a record of any pipeline.
    #[error(
        "`{}` is missing or empty, so it cannot be told which results are in use, and nothing was removed. Run every pipeline that uses this cache once, then collect again.",
        .0.display()
    )]
    NoHistories(PathBuf),
    /// Unknown pipeline.
    #[error("No pipeline of this cache is `{0}`, so nothing was removed. `athanor cache ls` lists them.")]
    NoSuchPipeline(String),
    /// Cache in use.
    #[error("A run is using this cache, so nothing was removed. Try again when it has ended.")]
    InUse,
}

/// A pipeline, and why it is not known what it uses.
#[derive(Debug)]
pub(crate) struct UnknownPipeline {
    name: String,
    usage: UnknownUsage,
}

fn of_unknown(unknown: &[UnknownPipeline]) -> String {
    let mut text = "It cannot be told what every pipeline uses, so nothing was removed.".to_owned();
    for UnknownPipeline { name, usage: UnknownUsage { path, why } } in unknown {
        let key = path.ancestors().filter_map(Path::file_name).find_map(|name| name.to_str().filter(|n| is_key(n)));
        let key = key.unwrap_or_default();
        let refusal = fs::metadata(path).and_then(|_| fs::File::open(path)).err();
        let remedy = match refusal.filter(|error| error.kind() == std::io::ErrorKind::PermissionDenied) {
            // It may be sound, and somebody else's.
            Some(error) => {
                let advice = athanor_cache::explain(path, &error);
                advice.split_once(". ").map_or(advice.clone(), |(_, advice)| advice.to_owned())
            }
            None => format!(
                "Run it once to its end, which writes the list again; or go on without what it uses: \
                 athanor cache gc --forget {key}"
            ),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {name}: `{}` {why}\n    {}", path.display(), remedy.trim());
    }
    text
}

fn is_key(name: &str) -> bool {
    name.len() == history::KEY_DIGITS && name.bytes().all(|c| c.is_ascii_hexdigit())
}

/// Options of a collection.
#[derive(Debug, Clone)]
pub(crate) struct GcOptions {
    /// Number of each pipeline's last runs whose results stay.
    pub keep_runs: usize,
    /// Time before which a run does not count among these.
    pub since: Option<Timestamp>,
    /// Size limit of the store, in bytes.
    pub max_size: Option<u64>,
    /// Whether to only say what would happen.
    pub dry_run: bool,
    /// Pipelines to forget: files, or names of histories.
    pub forget: Vec<PathBuf>,
    /// Folder that paths of pipelines are relative to.
    pub folder: PathBuf,
}

/// Pipeline whose file is out of reach.
#[derive(Debug)]
pub(crate) struct OutOfReach {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Reason, as a clause.
    pub why: String,
    /// Name of its history.
    pub key: String,
}

/// List of what a pipeline uses that was rebuilt from its logs.
#[derive(Debug)]
pub(crate) struct RebuiltList {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Reason, as a clause.
    pub why: String,
}

/// Outcome of a collection, or of its dry run.
#[derive(Debug, Default)]
pub(crate) struct GcOutcome {
    /// Pipelines that were forgotten, and why.
    pub forgotten: Vec<(String, &'static str)>,
    /// Pipelines whose file is out of reach: their results were retained.
    pub out_of_reach: Vec<OutOfReach>,
    /// Lists that were rebuilt from logs: all that these pipelines ever made was retained.
    pub rebuilt: Vec<RebuiltList>,
    /// Report of the store.
    pub store: GcReport,
}

/// Removes what the last runs of known pipelines do not use.
pub(crate) fn collect(cache: &Cache, options: &GcOptions) -> Result<GcOutcome, GcError> {
    let dry_run = options.dry_run;
    let alone = if dry_run { None } else { Some(use_exclusive(cache)?) };
    if !dry_run && let Err(error) = cache.recover_wal() {
        // Pending records count as in use, so that space can be freed on a full disk.
        let is_full = matches!(&error, CacheError::Io { source, .. } if is_lack_of_space(source));
        is_full.then_some(()).ok_or(error)?;
    }
    let histories = History::all(cache.root())?.unwrap_or_default();
    let pins = Pins::read(cache.root())?;
    if histories.is_empty() && cache.has_records_besides(&pins.accounted())? {
        return Err(GcError::NoHistories(history::folder(cache.root())));
    }
    let mut outcome = GcOutcome::default();
    let (forgotten, used) = divide(&histories, options, &mut outcome.out_of_reach)?;
    let mut roots = roots_of(&used, options.keep_runs, options.since, &mut outcome.rebuilt)?;
    let Pins { pins, .. } = pins;
    roots.push(Roots { results: pins.iter().copied().collect(), ..Roots::default() });
    outcome.forgotten = forgotten.iter().map(|(history, why)| (name_of(history), *why)).collect();
    if !dry_run {
        sweep_half_written(&used);
    }
    let request = GcRequest { pinned: pins.into_iter().collect(), ..request(cache, roots, options)? };
    outcome.store = cache.collect(&request, alone.as_ref())?;
    if !dry_run {
        // Last, so that a collection that is killed before leaves no results without a history.
        for (history, _) in forgotten {
            cache.remove_own_folder(history.folder())?;
        }
        Pins::forget_released(cache.root())?;
    }
    Ok(outcome)
}

/// Results and unfinished work that recorded runs of any pipeline use, or pins keep.
#[derive(Debug, Default)]
pub(crate) struct InUse {
    /// Fingerprints of results.
    pub results: HashSet<Digest>,
    /// Fingerprints of unfinished work.
    pub resume_states: HashSet<Digest>,
}

/// Results in use: those of each pipeline's last `keep_runs` runs, of which earlier ones count if they began at `since` or later.
/// Pipelines whose files are gone count, too: another branch may have them.
pub(crate) fn in_use(cache: &Cache, keep_runs: usize, since: Option<Timestamp>) -> Result<InUse, GcError> {
    let histories = History::all(cache.root())?.filter(|histories| !histories.is_empty());
    let histories = histories.ok_or_else(|| GcError::NoHistories(history::folder(cache.root())))?;
    let used: Vec<&History> = histories.iter().collect();
    let mut roots = roots_of(&used, keep_runs, since, &mut Vec::new())?;
    let results = Pins::read(cache.root())?.pins.into_iter().collect();
    roots.push(Roots { results, ..Roots::default() });
    Ok(of_roots(cache, roots)?)
}

/// Takes the cache for this process alone. A process that a killed run was about to start holds the run's lock for a moment,
/// until it has become another program.
fn use_exclusive(cache: &Cache) -> Result<UseGuard, GcError> {
    const ATTEMPTS: u32 = 25;
    const INTERVAL: Duration = Duration::from_millis(20);
    for _ in 1..ATTEMPTS {
        if let Some(guard) = cache.try_use_exclusive()? {
            return Ok(guard);
        }
        std::thread::sleep(INTERVAL);
    }
    cache.try_use_exclusive()?.ok_or(GcError::InUse)
}

fn is_lack_of_space(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

/// Histories that are to be forgotten, with why, and the others.
type Divided<'h> = (Vec<(&'h History, &'static str)>, Vec<&'h History>);

fn divide<'h>(
    histories: &'h [History],
    options: &GcOptions,
    out_of_reach: &mut Vec<OutOfReach>,
) -> Result<Divided<'h>, GcError> {
    let mut named = HashSet::new();
    for pipeline in &options.forget {
        let before = named.len();
        let meant = histories.iter().filter(|history| history.is_called(pipeline, &options.folder));
        named.extend(meant.map(History::key));
        if named.len() == before {
            return Err(GcError::NoSuchPipeline(pipeline.display().to_string()));
        }
    }
    let (mut forgotten, mut used) = (Vec::new(), Vec::new());
    for history in histories {
        if named.contains(history.key()) {
            forgotten.push((history, "as you said"));
            continue;
        }
        match history.presence(histories) {
            Presence::There => used.push(history),
            Presence::Gone => forgotten.push((history, "its file is gone")),
            Presence::OutOfReach(why) => {
                out_of_reach.push(OutOfReach { pipeline: name_of(history), why, key: history.key().to_owned() });
                used.push(history);
            }
        }
    }
    Ok((forgotten, used))
}

fn roots_of(
    used: &[&History],
    keep_runs: usize,
    since: Option<Timestamp>,
    rebuilt: &mut Vec<RebuiltList>,
) -> Result<Vec<Roots>, GcError> {
    let (mut roots, mut unknown) = (Vec::new(), Vec::new());
    for history in used {
        let roots_of_history = history.roots().and_then(|mut found| {
            // The list says what the last run uses.
            if keep_runs > 1 {
                history.add_recent(&mut found, keep_runs, since)?;
            }
            Ok(found)
        });
        match roots_of_history {
            Ok(found) => {
                rebuilt.extend(found.rebuilt.clone().map(|why| RebuiltList { pipeline: name_of(history), why }));
                roots.push(found);
            }
            Err(problem) => unknown.push(UnknownPipeline { name: name_of(history), usage: problem }),
        }
    }
    if unknown.is_empty() { Ok(roots) } else { Err(GcError::Unknown(unknown)) }
}

/// Name of the pipeline for people.
pub(crate) fn name_of(history: &History) -> String {
    history.identity().map_or_else(|| format!("the pipeline {}", history.key()), history::Identity::describe)
}

fn of_roots(cache: &Cache, roots: Vec<Roots>) -> Result<InUse, CacheError> {
    let mut in_use = InUse::default();
    let since = roots.iter().filter_map(|roots| roots.since).min();
    let keep_all_resume_states = roots.iter().any(|roots| roots.all_resume_states);
    for roots in roots {
        in_use.results.extend(roots.results);
        in_use.resume_states.extend(roots.unfinished);
    }
    if let Some(since) = since {
        in_use.results.extend(cache.recorded_since(since)?);
    }
    if keep_all_resume_states {
        in_use.resume_states.extend(cache.all_resume_states()?);
    }
    Ok(in_use)
}

fn request(cache: &Cache, roots: Vec<Roots>, options: &GcOptions) -> Result<GcRequest, CacheError> {
    let InUse { results: keep, resume_states: keep_resume_states } = of_roots(cache, roots)?;
    let mut keep_manifests = HashSet::new();
    for fingerprint in &keep {
        let recipe = recorded_recipe(cache, fingerprint)?;
        let items = recipe.into_iter().flat_map(|recipe| recipe.inputs).flat_map(|input| input.items);
        keep_manifests.extend(items.map(|item| item.artifact.digest));
    }
    let keep_items = registry::kinds().iter().map(|kind| items::scope(kind.name(), kind.revision())).collect();
    let GcOptions { max_size, dry_run, .. } = *options;
    let pinned = HashSet::new();
    Ok(GcRequest { keep, pinned, keep_manifests, keep_resume_states, keep_items, max_size, dry_run })
}

/// Removes partial files of killed processes.
fn sweep_half_written(histories: &[&History]) {
    let folders: HashSet<&Path> = histories.iter().flat_map(|history| history.folder().ancestors().take(2)).collect();
    for entry in folders.into_iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten() {
        if entry.file_name().to_str().is_some_and(history::is_half_written) {
            // A file that stays does no harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
