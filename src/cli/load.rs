//! Loading: from arguments to a checked plan in its project.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::Path;

use athanor_cache::CacheError;

use crate::cli::arguments::PipelineFile;
use crate::cli::{Exit, WRONG};
use crate::escape::escape;
use crate::language::{Diagnostics, SourceText, suggest};
use crate::plan::{InstanceId, Mistakes, Overrides, Plan};
use crate::run::inputs::own_results::{check_cache, check_own_results};
use crate::run::inputs::project_files::check_sources;
use crate::run::inputs::project_reads::check_named_folders;
use crate::run::inputs::surroundings::{LookUp, read_text};
use crate::run::inputs::unfollowed_links::check_links;
use crate::run::inputs::unmatched_patterns::check_patterns;
use crate::run::inputs::unmentioned_outputs::check_outputs;
use crate::run::state::history::History;
use crate::run::state::plan_snapshot::CachedPlan;
use crate::run::{Project, RunError, Session};
use crate::settings::Settings;

/// Widest that a report of mistakes is drawn.
const REPORT_WIDTH: usize = 100;

/// The plan of a pipeline file, without a look at the files it reads.
pub(super) fn plan(settings: &Settings, file: &PipelineFile) -> Result<CachedPlan, Exit> {
    compiled(settings, file, true)?.map_err(|mistakes| report(&mistakes.diagnostics))
}

/// The plan of a pipeline file, with every file it reads looked for. Warnings are shown.
pub(super) fn checked_plan(settings: &Settings, file: &PipelineFile) -> Result<CachedPlan, Exit> {
    warned(check(settings, file, true)?)
}

/// As [`checked_plan`], without a look at the files.
pub(super) fn plan_without_files(settings: &Settings, file: &PipelineFile) -> Result<CachedPlan, Exit> {
    warned(check(settings, file, false)?)
}

fn warned((plan, found): (Option<CachedPlan>, Diagnostics)) -> Result<CachedPlan, Exit> {
    let plan = plan.ok_or_else(|| report(&found))?;
    if found.warnings() > 0 {
        // A terminal that is gone needs no warning.
        let _ = writeln!(std::io::stderr(), "{}", rendered(&found).trim_end());
    }
    Ok(plan)
}

/// The plan of a pipeline file, unless there are mistakes, and all that was found. Its files are looked for if the pipeline
/// `has_files`.
pub(super) fn check(
    settings: &Settings,
    file: &PipelineFile,
    has_files: bool,
) -> Result<(Option<CachedPlan>, Diagnostics), Exit> {
    let compiled = compiled(settings, file, has_files)?;
    let (mut found, sources) = match &compiled {
        Ok(plan) => (plan.diagnostics(), &plan.sources),
        Err(mistakes) => (mistakes.diagnostics.clone(), &mistakes.sources),
    };
    let project = current_folder()?;
    check_cache(sources, &project, &settings.cache.value, &mut found);
    if has_files {
        check_sources(sources, &project, &mut found);
    }
    if let Ok(plan) = &compiled {
        found.extend(plan.warnings.iter().cloned());
        check_own_results(plan, &project, &settings.results.value, &mut found);
        if has_files {
            check_named_folders(plan, &project, &mut found);
            check_outputs(plan, &project, &mut found);
            check_links(plan, &project, &mut found);
            let closed = [project.join(&settings.cache.value), project.join(&settings.results.value)];
            check_patterns(plan, &project, &closed, &mut found);
        }
    }
    let plan = compiled.ok().filter(|_| found.is_empty());
    Ok((plan, found))
}

fn compiled(
    settings: &Settings,
    file: &PipelineFile,
    has_files: bool,
) -> Result<Result<CachedPlan, Box<Mistakes>>, Exit> {
    let source = text_of(&file.file, file.shown())?;
    let vars = file.overrides.vars.iter().map(|path| text_of(path, path)).collect::<Result<_, _>>()?;
    let overrides = Overrides { profiles: file.overrides.profile.clone(), set: file.overrides.set.clone(), vars };
    let project = current_folder()?;
    let snapshots = History::snapshots(&settings.cache.value, &project, &file.file, &file.overrides.profile);
    let closed = [&settings.cache.value, &settings.results.value].map(|folder| project.join(folder)).into();
    let (shown, file) = (file.shown().to_owned(), file.file.clone());
    let look_up = LookUp { project, file, shown, closed, has_files };
    Ok(CachedPlan::load(&source, &overrides, snapshots, &|names| look_up.look_up(names)))
}

/// The text at `path`, called `shown`.
fn text_of(path: &Path, shown: &Path) -> Result<SourceText, Exit> {
    let name = shown.display().to_string();
    match read_text(path) {
        Ok(text) => Ok(SourceText { name, text }),
        Err(_) if path.symlink_metadata().is_err_and(|error| error.kind() == ErrorKind::NotFound) => {
            Err(Exit::wrong(format!("error: there is no file `{name}`{}", beside(path))))
        }
        Err(reason) => Err(Exit::wrong(format!("error: `{name}` cannot be read: {reason}"))),
    }
}

/// Advice about a file that is not there: those beside it that may be meant.
fn beside(path: &Path) -> String {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_yaml = |name: &String| [".yaml", ".yml"].iter().any(|end| name.ends_with(end));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(is_yaml).collect();
    names.sort();
    let help = suggest::help(&name, names.iter().map(String::as_str), "YAML files there");
    help.map(|help| format!("\n  help: {help}")).unwrap_or_default()
}

/// Ends a command with all mistakes shown.
pub(super) fn report(diagnostics: &Diagnostics) -> Exit {
    let first = diagnostics.texts().first().map(|text| escape(&text.name)).unwrap_or_default();
    report_in(diagnostics, &first)
}

/// As [`report`], of mistakes that lie in `whole`.
pub(super) fn report_in(diagnostics: &Diagnostics, whole: &str) -> Exit {
    let mut message = rendered(diagnostics);
    message += &format!("\n{} in {whole}\n", crate::view::text::count(diagnostics.len(), "mistake"));
    Exit { message, code: WRONG }
}

/// Diagnostics as standard error shows them.
fn rendered(diagnostics: &Diagnostics) -> String {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    diagnostics.render(color, REPORT_WIDTH)
}

/// The project folder: the one in which this process works.
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
    let session = Session::new(project, plan.keyed(), &file.file, &file.overrides.profile, targets);
    session.map_err(|error| match &error {
        RunError::Cache(CacheError::Pattern { .. }) => Exit::wrong(format!("error: {error}")),
        _ => Exit::failed(error),
    })
}
