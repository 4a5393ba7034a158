//! From arguments to a checked plan in its project.

use std::io::{IsTerminal, Write};
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use athanor_cache::{Cache, CacheError, Digest, Rehash};
use tempfile::TempDir;

use crate::cli::arguments::PipelineFile;
use crate::cli::{Exit, WRONG};
use crate::language::{Diagnostics, SourceText};
use crate::plan::{InstanceId, Mistakes, Overrides, Plan, compile, kept};
use crate::run::history::History;
use crate::run::keep::Keep;
use crate::run::sources::probe;
use crate::run::{PROGRAM, Project, Session};
use crate::settings::{Settings, VerifyOnUse};
use crate::visible::visible;

/// Widest that a report of mistakes is drawn.
const REPORT_WIDTH: usize = 100;

/// A plan, and how it is found again by who needs it next.
pub struct Loaded {
    plan: Plan,
    keep: Keep,
    key: Digest,
    is_kept: bool,
}

impl Deref for Loaded {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

impl Loaded {
    /// Keeps the plan, unless it was found kept or has secrets in it.
    fn keep(&self) {
        if self.is_kept {
            return;
        }
        match kept::encode(&self.plan) {
            Some(bytes) => self.keep.write(PLAN, &self.key, &bytes),
            None => self.keep.forget(PLAN),
        }
    }
}

/// The name of the kept plan.
const PLAN: &str = "plan";

/// The plan of a pipeline file, without a look at the files it reads.
pub fn plan(settings: &Settings, file: &PipelineFile) -> Result<Loaded, Exit> {
    compiled(settings, file)?.map_err(|mistakes| report(&mistakes.diagnostics))
}

/// The plan of a pipeline file, with every file it reads looked for.
pub fn checked_plan(settings: &Settings, file: &PipelineFile) -> Result<Loaded, Exit> {
    let compiled = compiled(settings, file)?;
    let (mut problems, sources) = match &compiled {
        Ok(plan) => (plan.diagnostics(), &plan.sources),
        Err(mistakes) => (mistakes.diagnostics.clone(), &mistakes.sources),
    };
    probe(sources, &current_folder()?, &mut problems);
    match compiled {
        Ok(plan) if problems.is_empty() => Ok(plan),
        _ => Err(report(&problems)),
    }
}

fn compiled(settings: &Settings, file: &PipelineFile) -> Result<Result<Loaded, Box<Mistakes>>, Exit> {
    let name = file.file.display().to_string();
    let bytes =
        std::fs::read(&file.file).map_err(|error| Exit::wrong(format!("error: `{name}` cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Exit::wrong(format!("error: `{name}` is not UTF-8 text (byte {at}). Save it as UTF-8."))
    })?;
    let overrides = Overrides { profiles: file.profile.clone(), set: file.set.clone() };
    let source = SourceText { name, text };
    let keep = History::keep(&settings.cache.value, &current_folder()?, &file.file, &file.profile);
    let key = kept::key(&source, &overrides, &program());
    if let Some(plan) = keep.read(PLAN, &key).and_then(|bytes| kept::decode(&bytes, &source, &overrides)) {
        return Ok(Ok(Loaded { plan, keep, key, is_kept: true }));
    }
    Ok(compile(&source, &overrides).map(|plan| Loaded { plan, keep, key, is_kept: false }))
}

/// What no other build of this program has in common with this one.
fn program() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata);
    let stamp =
        file.map(|file| (file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime_nsec()));
    format!("{PROGRAM} {stamp:?}")
}

/// Ends a command with all mistakes shown.
pub fn report(diagnostics: &Diagnostics) -> Exit {
    let first = diagnostics.texts().first().map(|text| visible(&text.name)).unwrap_or_default();
    report_in(diagnostics, &first)
}

/// As [`report`], of mistakes that lie in `whole`.
pub fn report_in(diagnostics: &Diagnostics, whole: &str) -> Exit {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut message = diagnostics.render(color, REPORT_WIDTH);
    message += &format!("\n{} in {whole}\n", crate::view::text::count(diagnostics.len(), "mistake"));
    Exit { message, code: WRONG }
}

/// The folder the command was run in.
pub fn current_folder() -> Result<std::path::PathBuf, Exit> {
    std::env::current_dir().map_err(|error| Exit::failed(format!("The current folder cannot be found: {error}.")))
}

/// A project that is looked at and not worked in.
pub struct Looked {
    project: Project,
    /// The empty cache of a project that never had one and lies where none can be made.
    _stand_in: Option<TempDir>,
}

impl Deref for Looked {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

/// The current folder as a project for commands that only look: where there is no cache and none can be made, nothing has been
/// run yet.
pub fn project_to_look_at(settings: &Settings) -> Result<Looked, Exit> {
    match Cache::open(&settings.cache.value) {
        Ok(cache) => Ok(Looked { project: project_with(cache, settings)?, _stand_in: None }),
        Err(error) if !settings.cache.value.exists() && is_read_only(&error) => {
            let stand_in = TempDir::with_prefix("athanor-").map_err(|_| Exit::failed(error))?;
            let cache = Cache::open(stand_in.path()).map_err(Exit::failed)?;
            Ok(Looked { project: project_with(cache, settings)?, _stand_in: Some(stand_in) })
        }
        Err(error) => Err(Exit::failed(error)),
    }
}

/// Whether nothing can be written where a cache was to be made.
fn is_read_only(error: &CacheError) -> bool {
    use std::io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let sources = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let mut refusals = sources.filter_map(|error| error.downcast_ref::<std::io::Error>());
    refusals.any(|refusal| matches!(refusal.kind(), ReadOnlyFilesystem | PermissionDenied))
}

/// The current folder as a project.
pub fn project(settings: &Settings) -> Result<Project, Exit> {
    project_with(Cache::open(&settings.cache.value).map_err(Exit::failed)?, settings)
}

fn project_with(cache: Cache, settings: &Settings) -> Result<Project, Exit> {
    for notice in cache.notices() {
        // A terminal that is gone needs no notice.
        let _ = writeln!(std::io::stderr(), "{notice}");
    }
    cache.rehash_on_use(match settings.verify_on_use.value {
        VerifyOnUse::Never => Rehash::Suspicious,
        VerifyOnUse::Sample => Rehash::Sample,
        VerifyOnUse::Always => Rehash::All,
    });
    Ok(Project {
        folder: current_folder()?,
        cache: Arc::new(cache),
        results: settings.results.value.clone(),
        log_limit: settings.log_limit.value.bytes(),
    })
}

/// The instances that selectors select; none for no selectors.
pub fn select<'s>(plan: &Plan, selectors: impl IntoIterator<Item = &'s String>) -> Result<Vec<InstanceId>, Exit> {
    let mut selected = Vec::new();
    let mut refused = Vec::new();
    for selector in selectors {
        match plan.select(selector) {
            Ok(ids) => selected.extend(ids),
            Err(error) => {
                let help = error.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
                refused.push(format!("error: `{selector}`: {error}{help}"));
            }
        }
    }
    if refused.is_empty() { Ok(selected) } else { Err(Exit::wrong(refused.join("\n"))) }
}

/// The session about `targets` of a plan.
pub fn session<'a>(
    project: &'a Project,
    plan: &'a Loaded,
    file: &PipelineFile,
    targets: &[InstanceId],
) -> Result<Session<'a>, Exit> {
    plan.keep();
    Session::new(project, (plan, plan.key), &file.file, &file.profile, targets).map_err(Exit::failed)
}
