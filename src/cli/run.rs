//! `athanor run`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{IsTerminal, Write};
use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Mutex;

use crate::cli::arguments::RunCommand;
use crate::cli::view_output::{LostOutput, ViewOutput};
use crate::cli::written_file::{self, Form};
use crate::cli::{
    Exit, FAILED, INTERRUPTED, UP_TO_DATE, after_run, cluster, inspect, load, lost_output, machine_use, print, project,
    watch,
};
use crate::escape::escape;
use crate::events::{EventSink, Outcome};
use crate::plan::{InstanceId, Plan, Work};
use crate::run::executor::resources::Capacity;
use crate::run::inputs::own_results::without_dots;
use crate::run::status::Status;
use crate::run::{
    ATTEMPT_VARIABLE, InterruptOutcome, Interrupter, RunError, RunRequest, Session, check_room, needed_by, scaled_down,
};
use crate::settings::Settings;
use crate::signals::on_request_to_end;
use crate::view::json::JsonSink;
use crate::view::lines::describe;
use crate::view::plain::{PlainOptions, PlainSink};
use crate::view::status as status_view;
use crate::view::terminal::TerminalSink;
use crate::view::text::count;
use crate::view::time_left::TimeLeft;

pub(super) fn run(settings: &Settings, command: &RunCommand) -> Result<u8, Exit> {
    // The process ends with this command, and takes less time to do so than to free a large plan value by value.
    let plan = ManuallyDrop::new(load::checked_plan(settings, &command.pipeline)?);
    // All together first, so that what is wrong with any of them is said at once.
    load::select(&plan, command.targets.iter().chain(&command.force).chain(&command.fresh_state))?;
    let targets = load::select(&plan, &command.targets)?;
    let force = load::select(&plan, &command.force)?;
    let fresh_state = load::select(&plan, &command.fresh_state)?;
    check_state(&plan, &command.fresh_state)?;
    let cluster = cluster::options(settings, command)?;
    let capacity = match &cluster {
        Some(config) => cluster::capacity(config, settings.on_no_gpu.value),
        None => capacity_for(&plan, settings, command)?,
    };
    if cluster.is_none() {
        // Before anything is made.
        check_room(&plan, &needed_by(&plan, &targets), &capacity).map_err(refused)?;
    }
    if command.dry_run {
        let project = project::inspect(settings)?;
        let session = load::session(&project, &plan, &command.pipeline, &targets)?;
        let local = cluster.is_none().then_some(&capacity);
        return dry_run(&session, &force.into_iter().collect(), local, command.json);
    }
    check_results_folder(&settings.results.value, &plan.name, &settings.cache.value)?;
    if let Some(path) = &command.junit {
        written_file::check(path, Form::Junit, "")?;
    }
    let project = project::open(settings)?;
    project.cache.require_writable().map_err(|error| project::refused(&error))?;
    let session = load::session(&project, &plan, &command.pipeline, &targets)?;
    let program =
        std::env::current_exe().map_err(|error| Exit::failed(format!("This program cannot find itself: {error}.")))?;
    session.check_gpus(&capacity, &force, &program).map_err(refused)?;
    let request = RunRequest {
        capacity,
        keep_going: command.keep_going,
        keep_scratch: command.keep_scratch,
        stop_after: command.stop_after,
        force: force.into_iter().collect(),
        fresh_state: fresh_state.into_iter().collect(),
        program,
        cluster,
        file: command.pipeline.shown().display().to_string(),
        within: std::env::var(ATTEMPT_VARIABLE).unwrap_or_default(),
    };
    let file = request.file.clone();
    let time_left = is_live(command).then(|| session.time_left(&request.capacity));
    let lost = LostOutput::default();
    let work = || session.run(request, view(command, time_left, &lost), on_signals).map_err(refused);
    let report = if command.watch { watch::beside(&session, &project.cache, &file, work)?? } else { work()? };
    after_run::finish(settings, command, &session, &project.cache, &report)?;
    if let Some(exit) = lost.take().and_then(|error| lost_output(&error)) {
        return Err(exit);
    }
    Ok(match report.outcome {
        Outcome::UpToDate => UP_TO_DATE,
        Outcome::Failed => FAILED,
        Outcome::Interrupted => INTERRUPTED,
    })
}

/// Refuses to drop the state of commands that keep none.
fn check_state(plan: &Plan, selectors: &[String]) -> Result<(), Exit> {
    for selector in selectors {
        let selected = load::select(plan, [selector])?;
        let keeps_none = |id: &InstanceId| {
            let instance = &plan.instances[id.index()];
            matches!(instance.work, Work::Command(_)) && !instance.state
        };
        if selected.iter().all(keeps_none) {
            let shown = escape(selector);
            return Err(Exit::wrong(format!(
                "error: `{shown}` keeps no state that could be dropped\n  help: `--force {shown}` makes its result again; \
                 `state: true` would give it a state"
            )));
        }
    }
    Ok(())
}

/// Refuses a folder of results that is none, before anything runs whose results would have no place.
fn check_results_folder(results: &Path, pipeline: &str, cache: &Path) -> Result<(), Exit> {
    let full = |path: &Path| std::path::absolute(path).map(|path| without_dots(&path));
    if let (Ok(results), Ok(cache)) = (full(&results.join(pipeline)), full(cache))
        && results.starts_with(&cache)
    {
        let (shown, cache) = (results.display(), cache.display());
        let message = format!("`{shown}`, where results belong, is in the cache `{cache}`.");
        return Err(Exit::failed(format!("{message} Put results elsewhere with `--results DIR`.")));
    }
    for folder in [results.to_owned(), results.join(pipeline)] {
        let shown = folder.display();
        let elsewhere = "or put results elsewhere with `--results DIR`";
        match std::fs::metadata(&folder) {
            Ok(found) if !found.is_dir() => {
                let message = format!("`{shown}`, where results belong, is a file. Move it away, {elsewhere}.");
                return Err(Exit::failed(message));
            }
            Err(_) => {
                if let Ok(target) = std::fs::read_link(&folder) {
                    let target = target.display();
                    let message =
                        format!("`{shown}`, where results belong, is a symbolic link to nothing (`{target}`).");
                    let help = format!("Make the folder that it leads to, remove the link, {elsewhere}.");
                    return Err(Exit::failed(format!("{message} {help}")));
                }
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

fn refused(error: RunError) -> Exit {
    match error {
        RunError::NeverFits(problems) | RunError::NoVersions(problems) => load::report(&problems),
        other => Exit::failed(other),
    }
}

/// Whether the run is shown on a live terminal.
fn is_live(command: &RunCommand) -> bool {
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let is_plain = command.json || command.quiet || command.timestamps || is_dumb;
    !is_plain && std::io::stderr().is_terminal() && std::io::stdout().is_terminal()
}

fn view(command: &RunCommand, live: Option<TimeLeft>, lost: &LostOutput) -> Box<dyn EventSink> {
    let output = || ViewOutput::new(lost.clone());
    let options = PlainOptions { quiet: command.quiet, timestamps: command.timestamps };
    match (live, command.json) {
        (Some(time_left), _) => Box::new(TerminalSink::new(time_left)),
        (None, true) => Box::new(JsonSink::new(output())),
        (None, false) => Box::new(PlainSink::new(output(), options)),
    }
}

fn on_signals(interrupter: Interrupter) {
    let interrupter = Mutex::new(interrupter);
    on_request_to_end(move || {
        let interrupt = interrupter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if interrupt() == InterruptOutcome::NothingStarted {
            // Without a terminal nobody reads this, and the process ends all the same.
            let _ = writeln!(std::io::stderr(), "interrupted: nothing had been started");
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
}

/// The capacity of a run. To ask for GPUs takes longer than most runs that need none.
fn capacity_for(plan: &Plan, settings: &Settings, command: &RunCommand) -> Result<Capacity, Exit> {
    let needs_gpus = plan.instances.iter().any(|instance| instance.resources.gpus.devices() > 0);
    machine_use::capacity(&command.use_, needs_gpus, settings.on_no_gpu.value)
}

fn dry_run(
    session: &Session<'_>,
    force: &HashSet<InstanceId>,
    local: Option<&Capacity>,
    as_json: bool,
) -> Result<u8, Exit> {
    let statuses = session.status_with(None, force).map_err(refused)?;
    if as_json {
        return inspect::print_statuses(session, &statuses, &HashMap::new(), &BTreeMap::new(), &BTreeMap::new());
    }
    let runs = |id: &InstanceId| !matches!(statuses[id.index()], Some(Status::Fresh) | None);
    let ids: Vec<InstanceId> = session.wanted().iter().copied().filter(runs).collect();
    let events = session.withheld_events(&ids).map_err(refused)?.into_iter();
    let events = events.chain(local.iter().flat_map(|capacity| scaled_down(session.plan, &ids, capacity)));
    let mut text: String = events.filter_map(|event| Some(describe(&event)? + "\n")).collect();
    if session.asks_versions() {
        text += status_view::LAST_VERSIONS;
    }
    for id in &ids {
        if let Some(status) = &statuses[id.index()] {
            let name = escape(&session.plan.instances[id.index()].name);
            text += &format!("{name}: {}\n", status_view::brief(status));
        }
    }
    let fresh = session.wanted().len() - ids.len();
    text += &format!("{} would run or wait, {fresh} fresh\n", count(ids.len(), "instance"));
    print(&text)
}
