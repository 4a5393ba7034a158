//! The commands that only read.

use std::collections::{BTreeMap, HashMap};

use athanor_stages::registry;
use athanor_stages::terms::{TERMS, Term};
use serde_json::json;

use crate::cli::arguments::{CheckCommand, Format, GraphCommand, SelectCommand, ViewCommand};
use crate::cli::{Exit, STALE, UP_TO_DATE, WRONG, line_width, load, print, print_as_it_is, project, remote};
use crate::escape::{escape, escape_json};
use crate::language::{self, suggest};
use crate::plan::InstanceId;
use crate::run::session::whereabouts::Whereabouts;
use crate::run::status::{Status, Statuses};
use crate::run::{Activity, Session};
use crate::settings::Settings;
use crate::view::graph::{GraphFormat, draw};
use crate::view::text::{count, table};
use crate::view::{kinds as kind_view, status as status_view};

pub(super) fn check(settings: &Settings, command: &CheckCommand) -> Result<u8, Exit> {
    if command.json {
        let (plan, found) = load::check(settings, &command.pipeline, !command.no_files)?;
        let mut report = plan.as_ref().map_or_else(
            || json!({}),
            |plan| json!({ "pipeline": plan.name, "stages": plan.stages.len(), "instances": plan.instances.len() }),
        );
        report["diagnostics"] = found.to_json();
        print_json(&report)?;
        return Ok(if plan.is_some() { UP_TO_DATE } else { WRONG });
    }
    let plan = match command.no_files {
        true => load::plan_without_files(settings, &command.pipeline)?,
        false => load::checked_plan(settings, &command.pipeline)?,
    };
    let (stages, instances) = (count(plan.stages.len(), "stage"), count(plan.instances.len(), "instance"));
    let file = command.pipeline.shown().display().to_string();
    print(&format!("{}: {stages}, {instances}, no mistakes\n", escape(&file)))
}

pub(super) fn status(
    settings: &Settings,
    command: &ViewCommand,
    tells_stale: bool,
    ask_remote: bool,
) -> Result<u8, Exit> {
    let plan = load::checked_plan(settings, &command.pipeline)?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, &command.pipeline, &[])?;
    let Statuses { of: statuses, results } = remote::statuses(settings, &session, ask_remote)?;
    let warnings = session.warnings(&results).map_err(Exit::failed)?;
    let whereabouts = session.whereabouts().map_err(Exit::failed)?;
    let fresh = statuses.iter().flatten().filter(|status| **status == Status::Fresh).count();
    // Where all is fresh nothing goes on.
    let all_fresh = fresh == session.wanted().len();
    let activities = if all_fresh { BTreeMap::new() } else { session.activities().map_err(Exit::failed)? };
    let code = if tells_stale && !all_fresh { STALE } else { UP_TO_DATE };
    if command.json {
        print_statuses(&session, &statuses, &whereabouts, &activities, &warnings)?;
        return Ok(code);
    }
    let state = |name: &str, status: &Status| {
        let activity = activities.get(name).filter(|_| *status != Status::Fresh).map(status_view::activity);
        let place = whereabouts.get(name).map(|at| status_view::with_whereabouts(status, Some(at)));
        let texts: Vec<String> = place.into_iter().chain(activity).collect();
        let text = if texts.is_empty() { status_view::brief(status) } else { texts.join("; ") };
        text + &warnings.get(name).map(|warnings| status_view::warnings(warnings)).unwrap_or_default()
    };
    let rows: Vec<Vec<String>> =
        named(&session, &statuses).map(|(name, status)| vec![escape(name).into_owned(), state(name, status)]).collect();
    let elsewhere = statuses.iter().flatten().filter(|status| **status == Status::Remote).count();
    let elsewhere = if elsewhere == 0 { String::new() } else { format!(", {elsewhere} in the remote cache") };
    let mut notes = if session.asks_versions() { status_view::LAST_VERSIONS.to_owned() } else { String::new() };
    if !ask_remote && session.has_remote() && fresh < rows.len() {
        notes += status_view::REMOTE_NOT_ASKED;
    }
    print(&format!("{}\n{fresh} of {} fresh{elsewhere}\n{notes}", table(&["INSTANCE", "STATE"], &rows), rows.len()))?;
    Ok(code)
}

/// Statuses of the session's instances with their names.
fn named<'s>(session: &'s Session<'_>, statuses: &'s [Option<Status>]) -> impl Iterator<Item = (&'s str, &'s Status)> {
    let named =
        |id: &InstanceId| Some((session.plan.instances[id.index()].name.as_str(), statuses[id.index()].as_ref()?));
    session.wanted().iter().filter_map(named)
}

/// Prints statuses as a JSON list.
pub(super) fn print_statuses(
    session: &Session<'_>,
    statuses: &[Option<Status>],
    whereabouts: &HashMap<String, Whereabouts>,
    activities: &BTreeMap<String, Activity>,
    warnings: &BTreeMap<String, Vec<String>>,
) -> Result<u8, Exit> {
    let entry = |(name, status): (&str, &Status)| {
        let mut entry = json!({ "instance": name, "state": status });
        if let Some(at) = whereabouts.get(name) {
            entry["cluster"] = json!(at);
        }
        if let Some(activity) = activities.get(name) {
            entry["activity"] = json!(activity);
        }
        if let Some(warnings) = warnings.get(name) {
            entry["warnings"] = json!(warnings);
        }
        entry
    };
    let entries: Vec<_> = named(session, statuses).map(entry).collect();
    print_json(&json!(entries))
}

pub(super) fn explain(settings: &Settings, command: &SelectCommand, ask_remote: bool) -> Result<u8, Exit> {
    let plan = load::checked_plan(settings, &command.pipeline)?;
    let targets = load::select(&plan, [&command.selector])?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, &command.pipeline, &targets)?;
    let statuses = remote::statuses(settings, &session, ask_remote)?.of;
    let mut entries = Vec::new();
    let mut text = String::new();
    for id in targets {
        let name = &plan.instances[id.index()].name;
        if let Some(status) = &statuses[id.index()] {
            text += &status_view::full(name, status);
            let made = if *status == Status::Fresh { session.made(name).map_err(Exit::failed)? } else { None };
            text += &made.as_ref().map(status_view::made).unwrap_or_default();
            let mut entry = json!({ "instance": name, "state": status });
            if let Some(made) = made {
                entry["duration_ms"] = json!(made.duration_ms);
                made.used.into_iter().for_each(|used| entry["used"] = json!(used));
                made.node.into_iter().for_each(|node| entry["node"] = json!(node));
                if !made.warnings.is_empty() {
                    entry["warnings"] = json!(made.warnings);
                }
                made.computed_on.into_iter().for_each(|on| entry["computed_on"] = json!(on));
            }
            entries.push(entry);
        }
    }
    if session.asks_versions() {
        text += status_view::LAST_VERSIONS;
    }
    if command.json { print_json(&json!(entries)) } else { print(&text) }
}

pub(super) fn graph(settings: &Settings, command: &GraphCommand) -> Result<u8, Exit> {
    let format = match command.format {
        Format::Text => GraphFormat::Text,
        Format::Dot => GraphFormat::Dot,
        Format::Mermaid => GraphFormat::Mermaid,
        Format::Svg => GraphFormat::Svg,
    };
    print(&draw(&*load::plan(settings, &command.pipeline)?, format))
}

pub(super) fn kinds(name: Option<&str>) -> Result<u8, Exit> {
    let Some(name) = name else { return print(&kind_view::list(registry::kinds(), TERMS, line_width())) };
    let names = || registry::kinds().iter().map(|kind| kind.name());
    match registry::find(name) {
        Some(kind) => print(&kind_view::describe(kind)),
        None => {
            let near = suggest::nearest(name, names()).map(|best| format!("; did you mean `{best}`?"));
            let about = Term::about(name).next().map(|term| format!("; for {}, see {}", term.words, term.places()));
            let help = near.or(about).unwrap_or_default();
            Err(Exit::wrong(format!("error: unknown kind `{name}`{help}\n  `athanor kinds` lists them.")))
        }
    }
}

pub(super) fn schema(config: bool) -> Result<u8, Exit> {
    print_json(&if config { crate::settings::schema() } else { language::schema() })
}

/// Prints a value for programs to read.
pub(super) fn print_json(value: &serde_json::Value) -> Result<u8, Exit> {
    let text = serde_json::to_string_pretty(value).map_err(Exit::failed)?;
    print_as_it_is(&escape_json(&(text + "\n")))
}
