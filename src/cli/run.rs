//! `athanor run`.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Mutex;

use crate::cli::arguments::{ExecutorName, MachineUse, RunCommand};
use crate::cli::{Exit, FAILED, INTERRUPTED, UP_TO_DATE, load, print, project};
use crate::escape::escape;
use crate::events::{EventSink, Outcome};
use crate::plan::Plan;
use crate::run::executor::machine::{self, Available, Source};
use crate::run::executor::resources::Capacity;
use crate::run::status::Status;
use crate::run::{ATTEMPT_VARIABLE, InterruptOutcome, Interrupter, RunError, RunRequest, Session};
use crate::settings::Settings;
use crate::view::json::JsonSink;
use crate::view::plain::PlainSink;
use crate::view::status as status_view;
use crate::view::terminal::TerminalSink;
use crate::view::text::count;

pub(super) fn run(settings: &Settings, command: &RunCommand) -> Result<u8, Exit> {
    let plan = load::checked_plan(settings, &command.pipeline)?;
    // All together first, so that what is wrong with any of them is said at once.
    load::select(&plan, command.targets.iter().chain(&command.force))?;
    let targets = load::select(&plan, &command.targets)?;
    let force = load::select(&plan, &command.force)?;
    if command.dry_run {
        let project = project::inspect(settings)?;
        let session = load::session(&project, &plan, &command.pipeline, &targets)?;
        session.check_room(&capacity_for(&plan, command)).map_err(refused)?;
        return dry_run(&session);
    }
    let project = project::open(settings)?;
    project.cache.require_writable().map_err(Exit::failed)?;
    let session = load::session(&project, &plan, &command.pipeline, &targets)?;
    let ExecutorName::Local = command.executor;
    let program =
        std::env::current_exe().map_err(|error| Exit::failed(format!("This program cannot find itself: {error}.")))?;
    let request = RunRequest {
        capacity: capacity_for(&plan, command),
        keep_going: command.keep_going,
        force: force.into_iter().collect(),
        program,
        file: command.pipeline.file.display().to_string(),
        within: variable(ATTEMPT_VARIABLE).unwrap_or_default(),
    };
    let report = session.run(request, view(command.json), on_signals).map_err(refused)?;
    Ok(match report.outcome {
        Outcome::UpToDate => UP_TO_DATE,
        Outcome::Failed => FAILED,
        Outcome::Interrupted => INTERRUPTED,
    })
}

fn refused(error: RunError) -> Exit {
    match error {
        RunError::NeverFits(problems) => load::report(&problems),
        other => Exit::failed(other),
    }
}

fn view(json: bool) -> Box<dyn EventSink> {
    let live = std::io::stderr().is_terminal() && std::io::stdout().is_terminal();
    match (json, live) {
        (true, _) => Box::new(JsonSink::new(std::io::stdout())),
        (false, true) => Box::new(TerminalSink::new()),
        (false, false) => Box::new(PlainSink::new(std::io::stdout())),
    }
}

fn on_signals(interrupter: Interrupter) {
    let interrupter = Mutex::new(interrupter);
    // Without a handler a signal ends the process, and the next run finds what was finished.
    let _ = ctrlc::set_handler(move || {
        let interrupt = interrupter.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if interrupt() == InterruptOutcome::NothingStarted {
            // Without a terminal nobody reads this, and the process ends all the same.
            let _ = writeln!(std::io::stderr(), "interrupted: nothing had been started");
            std::process::exit(i32::from(INTERRUPTED));
        }
    });
}

/// The capacity of a run. To ask for GPUs takes longer than most runs that need none.
fn capacity_for(plan: &Plan, command: &RunCommand) -> Capacity {
    let needs_gpus = plan.instances.iter().any(|instance| instance.resources.gpus.devices() > 0);
    capacity(&command.use_, needs_gpus)
}

fn dry_run(session: &Session<'_>) -> Result<u8, Exit> {
    let statuses = session.status().map_err(refused)?;
    let mut text = String::new();
    let mut fresh = 0;
    for id in session.wanted() {
        match &statuses[id.index()] {
            Some(Status::Fresh) | None => fresh += 1,
            Some(other) => {
                let name = escape(&session.plan.instances[id.index()].name);
                text += &format!("{name}: {}\n", status_view::brief(other));
            }
        }
    }
    let rest = session.wanted().len() - fresh;
    text += &format!("{} would run or wait, {fresh} fresh\n", count(rest, "instance"));
    print(&text)
}

/// Resources that a run may use. GPUs are looked for on demand.
pub(super) fn capacity(use_: &MachineUse, needs_gpus: bool) -> Capacity {
    let gpus = use_.gpus.as_ref().map(|gpus| gpus.0.clone());
    let found = || if needs_gpus { machine::gpus().unwrap_or_default() } else { Vec::new() };
    let detect = || found().into_iter().map(|gpu| gpu.device).collect();
    Capacity { cpus: cpus(use_).amount, memory: memory(use_).amount, gpus: gpus.unwrap_or_else(detect) }
}

/// The CPUs that a run may use.
pub(super) fn cpus(use_: &MachineUse) -> Available<u32> {
    let given = use_.cpus.map(|amount| Available { amount, source: Source::Option("--cpus") });
    given.unwrap_or_else(|| machine::cpus(&variable))
}

/// The bytes of memory that a run may use.
pub(super) fn memory(use_: &MachineUse) -> Available<u64> {
    let given = use_.memory.map(|size| Available { amount: size.bytes(), source: Source::Option("--memory") });
    given.unwrap_or_else(|| machine::memory(Path::new("/"), &variable))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
