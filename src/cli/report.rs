//! `athanor report`, `runs`, `metrics`, `compare` and `export`.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::json;

use crate::cli::arguments::{CompareCommand, ExportCommand, MetricsCommand, ReportCommand, ViewCommand};
use crate::cli::inspect::print_json;
use crate::cli::project::InspectedProject;
use crate::cli::written_file::{Form, write};
use crate::cli::{Exit, UP_TO_DATE, line_width, load, print, print_as_it_is, project, system_message};
use crate::escape::escape;
use crate::language::suggest;
use crate::report::{
    ReportRequest, RunChoice, choose_run, comparison, gather, markdown, metric_table, mlflow, page, results_now,
    run_list, sweep,
};
use crate::run::Session;
use crate::run::state::history::{History, RunId};
use crate::settings::Settings;
use crate::view::text::count;

pub(super) fn report(settings: &Settings, command: &ReportCommand) -> Result<u8, Exit> {
    let plan = load::plan(settings, &command.pipeline)?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, &command.pipeline, &[])?;
    let run = command.run.as_deref().map(|run| chosen(session.history(), run)).transpose()?;
    let other = command.diff.as_deref().map(|run| chosen(session.history(), run)).transpose()?;
    let request = ReportRequest {
        session: &session,
        cache: &project.cache,
        run: run.as_ref(),
        other: other.as_ref(),
        comparison: false,
        file: command.pipeline.file.display().to_string(),
        now: Timestamp::now(),
    };
    let data = gather(&request).map_err(Exit::failed)?;
    if command.md {
        let text = markdown::markdown(&data);
        return match &command.output {
            Some(path) => write(path, Form::Markdown, &text).map(|()| UP_TO_DATE),
            None => print(&text),
        };
    }
    let folder = command.folder.as_deref().unwrap_or(Path::new(""));
    let path = command.output.clone().unwrap_or_else(|| folder.join(default_path(&plan.name)));
    write(&path, Form::Page, &page::html(&data).map_err(Exit::failed)?)?;
    print(&format!("{}\n", escape(&path.display().to_string())))
}

/// Path of a report whose path was not given.
fn default_path(pipeline: &str) -> PathBuf {
    // A name is any text, and a path is to be a file of this folder.
    PathBuf::from(format!("{}-report.html", pipeline.replace(['/', '\0'], "_")))
}

pub(super) fn chosen(history: &History, run: &str) -> Result<RunId, Exit> {
    choose_run(history, run).map_err(|error| match error {
        RunChoice::Unknown { .. } => Exit::wrong(format!("error: {error}\n  `athanor runs` lists them.")),
        RunChoice::History(error) => Exit::failed(error),
    })
}

pub(super) fn runs(settings: &Settings, command: &ViewCommand) -> Result<u8, Exit> {
    with_session(settings, command, |session, _| {
        let runs = run_list::list_runs(session.history()).map_err(Exit::failed)?;
        if command.json {
            return print_json(&json!(runs));
        }
        print(&if runs.is_empty() { "no runs yet\n".to_owned() } else { run_list::text(&runs, line_width()) })
    })
}

fn with_session(
    settings: &Settings,
    command: &ViewCommand,
    then: impl FnOnce(&Session<'_>, &InspectedProject) -> Result<u8, Exit>,
) -> Result<u8, Exit> {
    let plan = load::plan(settings, &command.pipeline)?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, &command.pipeline, &[])?;
    then(&session, &project)
}

pub(super) fn metrics(settings: &Settings, command: &MetricsCommand) -> Result<u8, Exit> {
    let plan = load::plan(settings, &command.pipeline)?;
    let targets = load::select(&plan, &command.selector)?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, &command.pipeline, &[])?;
    let table = match &command.sweep {
        Some(stage) => {
            let found = plan.stages.iter().find(|known| known.name == *stage);
            let Some(found) = found else {
                let help = suggest::help(stage, plan.stages.iter().map(|known| known.name.as_str()), "stages");
                let help = help.map(|help| format!("\n  help: {help}")).unwrap_or_default();
                return Err(Exit::wrong(format!("error: no stage is called `{stage}`{help}")));
            };
            sweep::sweep(&session, &project.cache, found)
        }
        None => metric_table::metric_table(&session, &project.cache, &targets, !command.csv),
    };
    let mut table = table.map_err(Exit::failed)?;
    if let Some(metric) = &command.sort {
        let names = table.names();
        if !names.contains(&metric.as_str()) {
            let help = suggest::help(metric, names.iter().copied(), "metrics");
            let help = help.map(|help| format!("\n  help: {help}")).unwrap_or_default();
            return Err(Exit::wrong(format!("error: no instance has a metric `{metric}`{help}")));
        }
        table.sort_by(metric);
    }
    match (command.json, command.csv) {
        (true, _) => print_json(&json!(table.rows)),
        (_, true) => print_as_it_is(&table.csv()),
        _ => {
            let text = match (table.rows.is_empty(), targets.is_empty()) {
                (true, true) => "no metrics yet\n".to_owned(),
                (true, false) => "none of these instances has metrics\n".to_owned(),
                (false, _) => table.text(line_width(), command.sort.as_deref()),
            };
            print(&(text + &table.stale_note()))
        }
    }
}

pub(super) fn compare(settings: &Settings, command: &CompareCommand) -> Result<u8, Exit> {
    let plan = load::plan(settings, &command.pipeline)?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, &command.pipeline, &[])?;
    let one = chosen(session.history(), &command.one)?;
    let other = chosen(session.history(), &command.other)?;
    if let Some(path) = &command.html {
        let request = ReportRequest {
            session: &session,
            cache: &project.cache,
            run: Some(&other),
            other: Some(&one),
            comparison: true,
            file: command.pipeline.file.display().to_string(),
            now: Timestamp::now(),
        };
        let data = gather(&request).map_err(Exit::failed)?;
        write(path, Form::Page, &page::html(&data).map_err(Exit::failed)?)?;
        return print(&format!("{}\n", escape(&path.display().to_string())));
    }
    let comparison = comparison::compare_runs(&session, &project.cache, &one, &other).map_err(Exit::failed)?;
    match (command.json, command.csv) {
        (true, _) => print_json(&json!(comparison)),
        (_, true) => print_as_it_is(&comparison.csv()),
        _ => print(&comparison.text(&one, &other)),
    }
}

pub(super) fn export(settings: &Settings, command: &ExportCommand) -> Result<u8, Exit> {
    let ExportCommand::Mlflow { folder, pipeline } = command;
    let plan = load::plan(settings, pipeline)?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, pipeline, &[])?;
    let results = results_now(&session).map_err(Exit::failed)?;
    let shown = folder.display().to_string();
    if folder.exists() && !folder.is_dir() {
        let help = "MLflow keeps runs in a folder; name another path";
        return Err(Exit::wrong(format!("error: `{shown}` is there and is no folder\n  help: {help}")));
    }
    let exported = mlflow::export(folder, &plan, &project.cache, &results)
        .map_err(|error| Exit::failed(format!("`{shown}` cannot be written: {}.", system_message(&error))))?;
    let mlflow::Exported { written, there } = exported;
    let written = count(written, "run");
    let there = if there == 0 { String::new() } else { format!(", {there} there already") };
    print(&format!("{}: {written} written{there}\n", escape(&shown)))
}
