//! `athanor restore`.

use std::fmt::Write;

use crate::cli::arguments::RestoreCommand;
use crate::cli::{Exit, FAILED, UP_TO_DATE, print, project, report};
use crate::escape::escape;
use crate::run::state::history::History;
use crate::run::{Destination, RestoreError, RestoreRequest, Restored, RunCommandLine};
use crate::settings::Settings;
use crate::view::lines::describe;
use crate::view::text::count;

pub(super) fn restore(settings: &Settings, command: &RestoreCommand) -> Result<u8, Exit> {
    let project = project::open(settings)?;
    if command.to.is_none() {
        // The results of a project go with its cache; copies elsewhere need only be read from there.
        project.cache.require_writable().map_err(|error| project::refused(&error))?;
    }
    let history = History::open(project.cache.root(), &project.folder, &command.file, &command.profile);
    let _ = history.take_over_moved();
    if !command.file.exists() && history.last_run().map_err(Exit::failed)?.is_none() {
        let name = escape(&command.file.display().to_string()).into_owned();
        return Err(Exit::wrong(format!("error: `{name}` is not there, and has no runs")));
    }
    let run = report::chosen(&history, &command.run)?;
    let to =
        command.to.as_ref().map(|to| Destination { folder: project.folder.join(to), shown: to.display().to_string() });
    if let Some(to) = to.as_ref().filter(|to| to.folder.starts_with(project.cache.root())) {
        let help = "give a folder of your own";
        return Err(Exit::wrong(format!(
            "error: `{}` is in the cache `{}`: {help}",
            escape(&to.shown),
            escape(&project.cache.root().display().to_string())
        )));
    }
    let request = RestoreRequest { project: &project, history: &history, run: &run, to };
    let restored = request.restore().map_err(|error| match error {
        RestoreError::Cache(error) => Exit::failed(error),
        other => Exit::failed(format!("{other}.")),
    })?;
    print(&text(run.as_str(), &restored))?;
    Ok(if restored.is_complete() { UP_TO_DATE } else { FAILED })
}

fn text(run: &str, restored: &Restored) -> String {
    let mut text: String = restored.events.iter().filter_map(|event| Some(describe(event)? + "\n")).collect();
    for place in &restored.gone {
        let (path, instance) = (escape(&place.path), escape(&place.instance));
        // Writing to a text does not fail.
        let _ = writeln!(text, "gone         {path}: the cache no longer has what `{instance}` made in that run");
    }
    for path in &restored.unmade {
        let _ = writeln!(text, "not made     {}: that run did not make it", escape(path));
    }
    let (new, old) = restored.counts();
    let mut parts = vec![format!("{} put in place", count(new, "result"))];
    parts.extend((old > 0).then(|| format!("{old} there already")));
    parts.extend((!restored.gone.is_empty()).then(|| format!("{} gone", restored.gone.len())));
    parts.extend((!restored.unmade.is_empty()).then(|| format!("{} not made", restored.unmade.len())));
    let _ = writeln!(text, "run {}: {}", escape(run), parts.join(", "));
    if !restored.gone.is_empty() {
        let _ = writeln!(text, "  help: {}", how_to_make(&restored.again));
    }
    text
}

fn how_to_make(line: &RunCommandLine) -> String {
    let mut words = vec!["athanor".to_owned(), "run".to_owned(), line.file.clone()];
    if !line.profiles.is_empty() {
        words.extend(["--profile".to_owned(), line.profiles.join(",")]);
    }
    words.extend(line.vars.iter().flat_map(|file| ["--vars".to_owned(), file.clone()]));
    words.extend(line.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]));
    let line_of_words = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "));
    let then = match &line.commit {
        Some(commit) => format!(", if the pipeline and its files are as they were (commit {})", escape(commit)),
        None => ", if the pipeline and its files are as they were".to_owned(),
    };
    format!("`{}` makes them again{then}", escape(&line_of_words))
}
