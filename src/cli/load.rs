//! Loading: from arguments to a checked plan in its project.

use std::io::IsTerminal;

use athanor_cache::CacheError;

use crate::cli::arguments::PipelineFile;
use crate::cli::{Exit, WRONG};
use crate::escape::escape;
use crate::language::{Diagnostics, SourceText};
use crate::plan::{InstanceId, Mistakes, Overrides, Plan};
use crate::run::inputs::project_files::check_sources;
use crate::run::inputs::project_reads::check_named_folders;
use crate::run::state::history::History;
use crate::run::state::plan_snapshot::CachedPlan;
use crate::run::{Project, RunError, Session};
use crate::settings::Settings;

/// Widest that a report of mistakes is drawn.
const REPORT_WIDTH: usize = 100;

/// The plan of a pipeline file, without a look at the files it reads.
pub(super) fn plan(settings: &Settings, file: &PipelineFile) -> Result<CachedPlan, Exit> {
    compiled(settings, file)?.map_err(|mistakes| report(&mistakes.diagnostics))
}

/// The plan of a pipeline file, with every file it reads looked for.
pub(super) fn checked_plan(settings: &Settings, file: &PipelineFile) -> Result<CachedPlan, Exit> {
    let compiled = compiled(settings, file)?;
    let (mut problems, sources) = match &compiled {
        Ok(plan) => (plan.diagnostics(), &plan.sources),
        Err(mistakes) => (mistakes.diagnostics.clone(), &mistakes.sources),
    };
    let project = current_folder()?;
    check_sources(sources, &project, &mut problems);
    if let Ok(plan) = &compiled {
        check_named_folders(plan, &project, &mut problems);
    }
    match compiled {
        Ok(plan) if problems.is_empty() => Ok(plan),
        _ => Err(report(&problems)),
    }
}

fn compiled(settings: &Settings, file: &PipelineFile) -> Result<Result<CachedPlan, Box<Mistakes>>, Exit> {
    let name = file.file.display().to_string();
    let bytes =
        std::fs::read(&file.file).map_err(|error| Exit::wrong(format!("error: `{name}` cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Exit::wrong(format!("error: `{name}` is not UTF-8 text (byte {at}). Save it as UTF-8."))
    })?;
    let overrides = Overrides { profiles: file.profile.clone(), set: file.set.clone() };
    let snapshots = History::snapshots(&settings.cache.value, &current_folder()?, &file.file, &file.profile);
    Ok(CachedPlan::load(&SourceText { name, text }, &overrides, snapshots))
}

/// Ends a command with all mistakes shown.
pub(super) fn report(diagnostics: &Diagnostics) -> Exit {
    let first = diagnostics.texts().first().map(|text| escape(&text.name)).unwrap_or_default();
    report_in(diagnostics, &first)
}

/// As [`report`], of mistakes that lie in `whole`.
pub(super) fn report_in(diagnostics: &Diagnostics, whole: &str) -> Exit {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut message = diagnostics.render(color, REPORT_WIDTH);
    message += &format!("\n{} in {whole}\n", crate::view::text::count(diagnostics.len(), "mistake"));
    Exit { message, code: WRONG }
}

/// The folder the command was run in.
pub(super) fn current_folder() -> Result<std::path::PathBuf, Exit> {
    std::env::current_dir().map_err(|error| Exit::failed(format!("The current folder cannot be found: {error}.")))
}

/// The instances that selectors select; none for no selectors.
pub(super) fn select<'s>(
    plan: &Plan,
    selectors: impl IntoIterator<Item = &'s String>,
) -> Result<Vec<InstanceId>, Exit> {
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
pub(super) fn session<'a>(
    project: &'a Project,
    plan: &'a CachedPlan,
    file: &PipelineFile,
    targets: &[InstanceId],
) -> Result<Session<'a>, Exit> {
    plan.store();
    let session = Session::new(project, plan.keyed(), &file.file, &file.profile, targets);
    session.map_err(|error| match &error {
        RunError::Cache(CacheError::Pattern { .. }) => Exit::wrong(format!("error: {error}")),
        _ => Exit::failed(error),
    })
}
