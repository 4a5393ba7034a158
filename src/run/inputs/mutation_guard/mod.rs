//! Detection of changes to inputs while a stage reads them, and of who is to blame.
//!
//! Stored inputs are read-only, and a stage that changes them all the same spoils them for others that read them at the
//! same time or later. After an attempt each of them is put in order again. An attempt that was the only one to read such an input fails;
//! where several read it, none of them can be blamed, and each is made again on copies of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use athanor_cache::{Artifact, Cache, CacheError, FsTime, InputState, StatSnapshot};

pub mod project_snapshots;
pub mod readers;

use crate::plan::Instance;
use crate::run::inputs::fingerprint::Recipe;
use crate::run::inputs::link::{Link, Target, folder_of};
use crate::run::inputs::mutation_guard::project_snapshots::ProjectSnapshot;
use crate::run::inputs::mutation_guard::readers::Reader;

/// Number of files that are named in one message before the rest is counted.
const NAMED: usize = 5;

/// Reason why the result of an attempt is not kept because of its inputs.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file of the project is not what it was.
    #[error(
        "`{path}` changed while the stage was running{files}, so its result is not kept. Run again when nothing writes to it{}",
        remedy(files)
    )]
    Changed {
        /// The input's path as the user wrote it.
        path: String,
        /// Files of a folder, as the middle of a sentence.
        files: String,
    },
    /// The stage wrote to what it was only to read.
    #[error(
        "It changed its own input `{from}`{files}, so its result is not kept. Let it work on a copy (`writable: true` gives it one), and run again."
    )]
    Written {
        /// Source of the input.
        from: String,
        /// Files of a folder, as the middle of a sentence.
        files: String,
    },
    /// Another stage may have written to what this one read.
    #[error("its input `{from}` was changed by a stage that ran at the same time, so it runs again on a copy")]
    Disturbed {
        /// Source of the input.
        from: String,
    },
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

/// Start of an attempt, on the clock of the cache's file system and in its list of incidents.
#[derive(Debug, Clone, Copy)]
pub struct AttemptStart {
    at: FsTime,
    incidents: u64,
}

impl AttemptStart {
    /// The present moment.
    pub fn now(cache: &Cache) -> Result<AttemptStart, CacheError> {
        Ok(AttemptStart { incidents: cache.incident_mark(), at: cache.fs_now()? })
    }
}

/// Private copy of a stored input.
struct PrivateCopy {
    artifact: Artifact,
    path: PathBuf,
    before: StatSnapshot,
}

/// Guard over the inputs of an attempt, as they were before it began.
pub struct InputGuard {
    began: AttemptStart,
    reader: Arc<Reader>,
    reads: Vec<ProjectSnapshot>,
    /// Stored artifacts that the attempt reads where they are stored.
    stored: Vec<Artifact>,
    /// Private copies that it may not write to.
    copies: Vec<PrivateCopy>,
}

impl InputGuard {
    /// A guard over the inputs of an attempt of `instance`; `path_of` says where a link lies.
    pub fn new(
        instance: &Instance,
        links: &[Link],
        path_of: impl Fn(&str) -> PathBuf,
        reads: Vec<ProjectSnapshot>,
        began: AttemptStart,
        reader: Arc<Reader>,
    ) -> Result<InputGuard, CacheError> {
        let is_at = |at: &str, file: &String| file == at || folder_of(file) == at;
        let is_writable = |at: &str| {
            instance.inputs.iter().any(|input| input.writable && input.files.iter().any(|file| is_at(at, file)))
        };
        let (mut stored, mut copies) = (Vec::new(), Vec::new());
        for link in links {
            let Target::Stored(artifact) = &link.target else { continue };
            if !link.copy {
                stored.push(artifact.clone());
            } else if !is_writable(&link.at) {
                let path = path_of(&link.at);
                copies.push(PrivateCopy { artifact: artifact.clone(), before: StatSnapshot::of(&path)?, path });
            }
        }
        Ok(InputGuard { began, reader, reads, stored, copies })
    }

    /// Checks every input again. Returns the files that the stage added to folders it was only to read; they are gone again.
    pub fn check(
        &self,
        cache: &Cache,
        recipe: &Recipe,
        others_run: impl Fn() -> bool,
    ) -> Result<Vec<String>, InputError> {
        let removed = self.check_stored(cache, recipe, others_run)?;
        self.check_project_files(cache)?;
        Ok(removed)
    }

    /// Checks stored inputs only, as [`InputGuard::check`].
    pub fn check_stored(
        &self,
        cache: &Cache,
        recipe: &Recipe,
        others_run: impl Fn() -> bool,
    ) -> Result<Vec<String>, InputError> {
        let incidents = cache.incidents_since(self.began.incidents)?;
        let mut findings = Findings::default();
        for artifact in &self.stored {
            let state = cache.check_input(artifact, self.began.at)?;
            let blameless = || self.reader.shared(cache, artifact) || others_run();
            findings.stored(name_of(recipe, artifact), state, incidents.contains(&artifact.digest), blameless);
        }
        for copy in &self.copies {
            let state = cache.check_copy(&copy.artifact, &copy.path, &copy.before)?;
            findings.copy(name_of(recipe, &copy.artifact), state);
        }
        findings.conclude()
    }

    fn check_project_files(&self, cache: &Cache) -> Result<(), InputError> {
        for snapshot in &self.reads {
            let began = cache.shares_file_system_with(snapshot.path()).then_some(self.began.at);
            // A file with the same content may have had another one meanwhile.
            if !snapshot.has_same_content(cache) || !snapshot.is_unchanged(began) {
                let files = in_brackets(&snapshot.changed_files(cache));
                return Err(InputError::Changed { path: snapshot.name().to_owned(), files });
            }
        }
        Ok(())
    }
}

/// State of an attempt's inputs at its end, and what follows from that for its result.
#[derive(Debug, Default)]
pub struct Findings {
    removed: Vec<String>,
    disturbed: Option<String>,
    own: Option<InputError>,
}

impl Findings {
    /// Adds the state of the stored input `from`. `is_among` says that another process found it changed while the attempt went
    /// on, `blameless` that another stage may have changed it.
    pub fn stored(&mut self, from: String, state: InputState, is_among: bool, blameless: impl FnOnce() -> bool) {
        match state {
            InputState::Intact if !is_among => {}
            InputState::Intact => self.disturbed = Some(from),
            // A stage may change its input and change it back, if nobody else reads it.
            _ if is_among || blameless() => self.disturbed = Some(from),
            own => self.copy(from, own),
        }
    }

    /// Adds the state of an input that nobody else can have changed.
    pub fn copy(&mut self, from: String, state: InputState) {
        match state {
            InputState::Intact | InputState::Touched => {}
            InputState::Added(files) => self.removed.extend(named(&from, &files)),
            InputState::Changed { paths, .. } => self.own = Some(written(from, &paths)),
        }
    }

    /// Files that the stage added to folders it was only to read, or why its result is dropped.
    pub fn conclude(self) -> Result<Vec<String>, InputError> {
        match (self.own, self.disturbed) {
            (Some(own), _) => Err(own),
            (None, Some(from)) => Err(InputError::Disturbed { from }),
            (None, None) => Ok(self.removed),
        }
    }
}

/// Name of an input for the user.
pub fn name_of(recipe: &Recipe, artifact: &Artifact) -> String {
    let mut items = recipe.inputs.iter().flat_map(|input| &input.items);
    items.find(|item| item.artifact.digest == artifact.digest).map(|item| item.from.clone()).unwrap_or_default()
}

fn named(from: &str, files: &[String]) -> Vec<String> {
    files.iter().map(|file| Path::new(from).join(file).to_string_lossy().into_owned()).collect()
}

fn written(from: String, paths: &[String]) -> InputError {
    InputError::Written { from, files: in_brackets(paths) }
}

/// End of a sentence about files that changed in a folder of the project.
fn remedy(files: &str) -> &'static str {
    if files.is_empty() { "." } else { ", or list files that are no content in `.athanorignore`." }
}

/// Files, as the middle of a sentence: empty if there are none.
fn in_brackets(paths: &[String]) -> String {
    let shown: Vec<String> =
        paths.iter().filter(|path| !path.is_empty()).take(NAMED).map(|path| format!("`{path}`")).collect();
    let more = paths.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if shown.is_empty() { String::new() } else { format!(" ({}{more})", shown.join(", ")) }
}
