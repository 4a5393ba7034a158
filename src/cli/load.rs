//! From arguments to a checked plan in its project.

use std::io::IsTerminal;
use std::sync::Arc;

use athanor_cache::Cache;

use crate::cli::arguments::{CachePlace, PipelineFile};
use crate::cli::{Exit, WRONG};
use crate::language::{Diagnostics, SourceText};
use crate::plan::{InstanceId, Mistakes, Overrides, Plan, compile};
use crate::run::sources::probe;
use crate::run::{Project, Session};

/// Widest that a report of mistakes is drawn.
const REPORT_WIDTH: usize = 100;

/// The plan of a pipeline file, without a look at the files it reads.
pub fn plan(file: &PipelineFile) -> Result<Plan, Exit> {
    compiled(file)?.map_err(|mistakes| report(&mistakes.diagnostics))
}

/// The plan of a pipeline file, with every file it reads looked for.
pub fn checked_plan(file: &PipelineFile) -> Result<Plan, Exit> {
    let compiled = compiled(file)?;
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

fn compiled(file: &PipelineFile) -> Result<Result<Plan, Box<Mistakes>>, Exit> {
    let name = file.file.display().to_string();
    let bytes =
        std::fs::read(&file.file).map_err(|error| Exit::wrong(format!("error: `{name}` cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Exit::wrong(format!("error: `{name}` is not UTF-8 text (byte {at}). Save it as UTF-8."))
    })?;
    let overrides = Overrides { profiles: file.profile.clone(), set: file.set.clone() };
    Ok(compile(&SourceText { name, text }, &overrides))
}

/// Ends a command with all mistakes shown.
pub fn report(diagnostics: &Diagnostics) -> Exit {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut message = diagnostics.render(color, REPORT_WIDTH);
    let count = diagnostics.len();
    message += &format!("\n{} in {}\n", crate::view::text::count(count, "mistake"), first_text(diagnostics));
    Exit { message, code: WRONG }
}

fn first_text(diagnostics: &Diagnostics) -> String {
    diagnostics.texts().first().map(|text| text.name.clone()).unwrap_or_default()
}

/// The folder the command was run in.
pub fn current_folder() -> Result<std::path::PathBuf, Exit> {
    std::env::current_dir().map_err(|error| Exit::failed(format!("The current folder cannot be found: {error}.")))
}

/// The current folder as a project.
pub fn project(place: &CachePlace) -> Result<Project, Exit> {
    Ok(Project { folder: current_folder()?, cache: Arc::new(Cache::open(&place.cache).map_err(Exit::failed)?) })
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
    plan: &'a Plan,
    file: &PipelineFile,
    targets: &[InstanceId],
) -> Result<Session<'a>, Exit> {
    Session::new(project, plan, &file.file, &file.profile, targets).map_err(Exit::failed)
}
