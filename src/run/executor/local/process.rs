//! A job as a process: started, read from, waited for.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use athanor_stages::context::StageReport;
use athanor_stages::secrets::MASK;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::run::executor::disk_space::FullDisk;
use crate::run::executor::job::{Exit, Job, JobEvent, JobListener, Launch, ResourceUse, Stop};
use crate::run::executor::local::contained::{Contained, Engines, TIDYING};
use crate::run::executor::local::events_pipe::EventsPipe;
use crate::run::executor::local::gpu_sampler::GpuSampler;
use crate::run::executor::local::interpreter::Interpreters;
use crate::run::executor::local::kept_state::{StateWatch, group_works};
use crate::run::executor::local::landlock::{OpenRules, Restriction};
use crate::run::executor::local::left_behind::{LeftBehind, Writer};
use crate::run::executor::local::log::Log;
use crate::run::executor::local::masked_log::MaskedLog;
use crate::run::executor::local::oom_counter::{Counts, OomCounter};
use crate::run::executor::local::process_tree::{ProcessTree, Unkillable};
use crate::run::executor::local::reaper::Reaper;
use crate::run::executor::local::resource_use::{self, ByteCounter};
use crate::run::executor::local::script_events::{EventLine, ScriptEvents};
use crate::run::executor::local::wait::{
    MessageReader, OnLine, OutputReader, ProcessStreams, wait_for_exit, wait_while,
};
use crate::run::executor::os_limits;
use crate::run::executor::protocol::{EVENTS_VARIABLE, StageMessage, WorkerStatus, parse_message};

/// First wait after the system had no process, thread or handle left; each further one is twice as long …
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
/// … up to this.
const MAX_BACKOFF: Duration = Duration::from_millis(200);
/// Number of attempts to start a process while no other job runs that could give something back.
const MAX_ATTEMPTS_ALONE: u32 = 6;

/// Difference between the shell's status for a program that a signal ended and the signal's number.
const SHELL_SIGNAL: i32 = 128;

/// State that all jobs of a run share.
pub(super) struct Shared {
    /// Path of this program's binary.
    pub program: PathBuf,
    /// Receives the events of every job.
    pub events: JobListener,
    /// All processes of the run.
    pub processes: ProcessTree,
    /// Bytes that a log may have.
    pub log_limit: u64,
    /// Counter of out-of-memory kills.
    pub oom_counter: OomCounter,
    /// Programs that run scripts.
    pub interpreters: Interpreters,
    /// Rules of all sandboxes of the run.
    pub open_rules: OpenRules,
    /// Engines of containers that the run has used.
    pub engines: Engines,
    /// Reaper, which is told of them.
    pub reaper: Option<Weak<Reaper>>,
}

/// Handle of a job's process, for those who want to stop it.
#[derive(Debug, Default)]
pub(super) struct Process(Mutex<ProcessState>);

#[derive(Debug)]
enum ProcessState {
    /// Being started, and perhaps to be stopped as soon as it is there.
    Starting(Option<Stop>),
    /// Leader of the group of this number, and the last request to stop it.
    Running(Pid, Option<Stop>),
    /// Ended; its number may be another process's.
    Over,
}

impl Default for ProcessState {
    fn default() -> Self {
        ProcessState::Starting(None)
    }
}

impl Process {
    /// Stops the process with all it has started; no effect on one that is over.
    pub(super) fn stop(&self, how: Stop) {
        match &mut *self.state() {
            ProcessState::Starting(stop) => *stop = Some(how),
            ProcessState::Running(group, stop) => {
                *stop = Some(how);
                signal(*group, how);
            }
            ProcessState::Over => {}
        }
    }

    /// Whether it was stopped before it was there.
    fn is_stopped(&self) -> bool {
        matches!(*self.state(), ProcessState::Starting(Some(_)))
    }

    fn state(&self) -> MutexGuard<'_, ProcessState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was asked to stop.
    fn is_asked_to_stop(&self) -> bool {
        !matches!(*self.state(), ProcessState::Running(_, None))
    }

    /// Whether it was asked to stop and may save its state first.
    fn may_finish(&self) -> bool {
        matches!(*self.state(), ProcessState::Running(_, Some(Stop::Gently)))
    }

    fn is_running(&self, group: Pid) {
        let mut state = self.state();
        let stop = if let ProcessState::Starting(stop) = *state { stop } else { None };
        stop.into_iter().for_each(|how| signal(group, how));
        *state = ProcessState::Running(group, stop);
    }

    /// Kills the rest of the group of a process that has ended, and reaps the process.
    fn reap(&self, group: Pid, bytes: &ByteCounter) -> std::io::Result<(ExitStatus, ResourceUse)> {
        let mut state = self.state();
        let _ = killpg(group, Signal::SIGKILL);
        *state = ProcessState::Over;
        resource_use::reap(group, bytes)
    }
}

fn signal(group: Pid, how: Stop) {
    let signal = match how {
        Stop::Gently => Signal::SIGTERM,
        Stop::Now => Signal::SIGKILL,
    };
    // An error means that everything in the group has ended, as wanted.
    let _ = killpg(group, signal);
}

/// Runs a job; returns when nothing of it runs any more.
pub(super) fn run_job(shared: &Shared, job: &Job, process: &Process) -> Exit {
    let number = shared.processes.begin();
    let mut log = None;
    let state = job.state.as_ref().map(|state| StateWatch::begin(state.folder()));
    let exit = match launch_with_retry(shared, job, number, process) {
        Ok(running) => {
            let (exit, refusal) = running.wait(shared, job, process);
            log = refusal;
            match state {
                Some(state) => state.exit(exit),
                None => exit,
            }
        }
        Err(error) => {
            shared.processes.end(number, &job.attempt);
            let advice = os_limits::advice(&error)
                .or_else(|| too_long(&error))
                .map(|advice| format!(" {advice}"))
                .unwrap_or_default();
            Exit::NotStarted(format!("The process cannot be started: {error}.{advice}"))
        }
    };
    if exit == Exit::Success { exit } else { with_host_fault(exit, job, log) }
}

/// Remedy for an environment that is longer than the kernel takes.
fn too_long(error: &std::io::Error) -> Option<String> {
    (error.kind() == std::io::ErrorKind::ArgumentListTooLong)
        .then(|| "The environment is longer than the system passes to a program: unset long variables.".to_owned())
}

/// Exit of a failed job, with faults of the host.
fn with_host_fault(exit: Exit, job: &Job, log: Option<std::io::Error>) -> Exit {
    let folders = [Some(job.folder.as_path()), job.log.parent()];
    let full = FullDisk::find(folders.into_iter().flatten()).map(|disk| disk.to_string());
    let log = log.map(|error| error.to_string());
    if log.is_none() && full.is_none() { exit } else { Exit::HostFault { exit: Box::new(exit), log, full } }
}

/// Starts the job's process; retries while a limit of the system is reached and other jobs run, which will give something
/// back, or for a moment.
fn launch_with_retry(shared: &Shared, job: &Job, number: u32, process: &Process) -> std::io::Result<Running> {
    let mut backoff = FIRST_BACKOFF;
    let mut attempts_alone = 0;
    loop {
        match launch(shared, job, number) {
            Err(error)
                if os_limits::is_limit_reached(&error)
                    && !process.is_stopped()
                    && attempts_alone < MAX_ATTEMPTS_ALONE =>
            {
                if !shared.processes.others_run(number) {
                    attempts_alone += 1;
                }
                std::thread::sleep(backoff);
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
            launched => return launched,
        }
    }
}

/// Running process of a job.
struct Running {
    child: Child,
    number: u32,
    streams: ProcessStreams,
    /// Our end of a script's event pipe, which keeps it open: the script may open and close it many times.
    keep_open: Option<OwnedFd>,
    /// Name of the event pipe in the attempt's folder.
    named_pipe: Option<PathBuf>,
    bytes: ByteCounter,
    oom_counter: Counts,
    /// Container that it runs.
    contained: Option<Contained>,
}

impl Shared {
    /// Tells the reaper of an engine whose containers it is to remove.
    fn tell_reaper(&self, engine: &Path) {
        let reaper = self.reaper.as_ref().and_then(Weak::upgrade);
        reaper.iter().for_each(|reaper| reaper.tell_of_engine(engine));
    }
}

fn launch(shared: &Shared, job: &Job, number: u32) -> std::io::Result<Running> {
    let oom_counter = shared.oom_counter.before();
    let request = match &job.launch {
        Launch::Worker(request) => serde_json::to_string(request).map_err(std::io::Error::other)?,
        Launch::Script(_) => String::new(),
    };
    let container = match &job.launch {
        Launch::Script(script) => script.container.as_deref().map(|container| (script, container)),
        Launch::Worker(_) => None,
    };
    // Engines start outside of the sandbox, and containers see what rules allow.
    let rules = job.access.as_ref().filter(|_| container.is_none());
    let restriction = rules.map(|rules| Restriction::new(rules, &shared.open_rules)).transpose()?;
    let EventsPipe { reader, writer, path, is_named } = match job.access {
        Some(_) => EventsPipe::named(&job.attempt)?,
        None => EventsPipe::unnamed()?,
    };
    let (printed, print) = std::io::pipe()?;
    let log = MaskedLog::new(Log::new(job.log.clone(), shared.log_limit), job.secrets.clone());
    let streams = ProcessStreams { messages: MessageReader::new(reader)?, output: OutputReader::new(printed)?, log };
    let (contained, mut command) = match (&job.launch, container) {
        (_, Some((script, container))) => {
            let tell = |program: &Path| shared.tell_reaper(program);
            let (contained, command) = Contained::new(job, script, container, &path, &shared.engines, &tell)?;
            (Some(contained), command)
        }
        (Launch::Worker(_), None) => (None, Command::new(&shared.program)),
        (Launch::Script(script), None) => {
            let mut command = shared.interpreters.command(script, &job.environment)?;
            command.env_clear();
            (None, command)
        }
    };
    match &job.launch {
        Launch::Worker(_) => command.arg("worker").stdin(Stdio::piped()).stdout(writer.try_clone()?),
        Launch::Script(_) => command.stdin(Stdio::null()).stdout(print.try_clone()?),
    };
    command.stderr(print).current_dir(&job.folder).process_group(0);
    if contained.is_none() {
        command.envs(job.environment.iter().map(|(name, value)| (name, value)));
        // A script opens the pipe by name, so that it can write to it like to any file.
        command.envs(matches!(job.launch, Launch::Script(_)).then_some((EVENTS_VARIABLE, &path)));
    }
    let lock = job.state.as_ref().and_then(|state| state.lock());
    let mut child = shared.processes.start(number, &mut command, restriction, lock)?;
    drop(command);
    let bytes = ByteCounter::of(Pid::from_raw(child.id().cast_signed()));
    if let Some(mut stdin) = child.stdin.take() {
        // A worker that dies before it reads its request is reported by its exit.
        let _ = writeln!(stdin, "{request}");
    }
    let keep_open = matches!(job.launch, Launch::Script(_)).then_some(writer);
    let named_pipe = is_named.then_some(path);
    Ok(Running { child, number, streams, keep_open, named_pipe, bytes, oom_counter, contained })
}

impl Running {
    /// Gives what a script has left running the time to end; returns who still writes to an output then.
    fn wait_for_the_rest(
        &mut self,
        shared: &Shared,
        job: &Job,
        process: &Process,
        on_line: &mut OnLine<'_>,
    ) -> Option<Writer> {
        if matches!(job.launch, Launch::Worker(_)) || process.is_asked_to_stop() {
            return None;
        }
        let group = Pid::from_raw(self.child.id().cast_signed());
        let left = LeftBehind::new(group, &job.outputs);
        let works = || !process.is_asked_to_stop() && left.are_waited_for(&shared.processes.living_orphans());
        if !works() {
            return None;
        }
        wait_while(&works, &mut self.streams, on_line);
        left.first_writer(&shared.processes.living_orphans())
    }

    /// Sees to it that its container is gone, if it has one; its engine ended with `status`.
    fn end_container(&mut self, shared: &Shared, status: &std::io::Result<ExitStatus>) {
        let Some(contained) = &self.contained else { return };
        if let Err(left) = contained.end(status) {
            self.streams.log.write_line(&format!("[{left}]"));
        }
        let since = Instant::now();
        // An engine's helper tidies up after it.
        while shared.processes.has_orphans_of(self.number) && since.elapsed() < TIDYING {
            std::thread::sleep(FIRST_BACKOFF);
        }
    }

    /// Waits for the process, and kills what it has left behind; returns its exit, and why its log is not whole, if so.
    fn wait(mut self, shared: &Shared, job: &Job, process: &Process) -> (Exit, Option<std::io::Error>) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        process.is_running(group);
        let sampler = GpuSampler::begin(&job.gpus);
        let is_worker = matches!(job.launch, Launch::Worker(_));
        let (mut last_status, mut script_events) = (None, ScriptEvents::default());
        let mut on_line = |line: &[u8], log: &mut MaskedLog| {
            let event = match is_worker {
                true => of_worker(line, &mut last_status),
                // Before it is cut to be shown.
                false if !job.secrets.is_empty() => {
                    script_events.take(masked(&String::from_utf8_lossy(line), &job.secrets).as_bytes())
                }
                false => script_events.take(line),
            };
            match event {
                EventLine::Report(StageReport::Log { line }) => log.write_line(&line),
                EventLine::Report(report) => {
                    (shared.events)(JobEvent::Report(job.id, without_secrets(report, &job.secrets)));
                }
                EventLine::Warning(text) => {
                    (shared.events)(JobEvent::BadReport(job.id, masked(&text, &job.secrets)));
                }
                EventLine::Dropped => {}
            }
        };
        let watched = wait_for_exit(group, &mut self.streams, &mut on_line, &|| shared.processes.reap());
        if job.state.is_some() {
            // A shell that is asked to stop ends at once, and the programs that it started save their state.
            wait_while(&|| process.may_finish() && group_works(group), &mut self.streams, &mut on_line);
        }
        let cut_off = self.wait_for_the_rest(shared, job, process, &mut on_line);
        let gpu = sampler.and_then(GpuSampler::end);
        let status = process.reap(group, &self.bytes).map(|(status, used)| {
            (shared.events)(JobEvent::Used(job.id, ResourceUse { gpu, ..used }));
            status
        });
        self.end_container(shared, &status);
        let unkillable = shared.processes.end(self.number, &job.attempt);
        drop(self.keep_open.take());
        if let Some(pipe) = self.named_pipe.take().filter(|_| !unkillable.is_empty()) {
            // What is left may still write to it, and the next attempt makes one of its own.
            let _ = std::fs::remove_file(pipe);
        }
        // Output of processes that were killed with it.
        self.streams.drain(&mut on_line);
        for Unkillable { process, name } in unkillable {
            self.streams
                .log
                .write_line(&format!("[the process {process} ({name}) outlived this stage and cannot be killed]"));
        }
        let exit = match watched.and(status) {
            Ok(status) => {
                match exit_of(status, last_status, is_worker, || shared.oom_counter.happened_since(&self.oom_counter)) {
                    Exit::Success => cut_off.map_or(Exit::Success, |writer| still_writing(&writer, job)),
                    exit => exit,
                }
            }
            Err(error) => Exit::NotStarted(format!("The process was lost: {error}.")),
        };
        (exit, self.streams.log.finish())
    }
}

/// Failure of a script whose output was not whole when its time was over.
fn still_writing(writer: &Writer, job: &Job) -> Exit {
    let Writer { program, file } = writer;
    let file = file.strip_prefix(&job.folder).unwrap_or(file).display();
    Exit::Failed {
        message: format!("`{program}` was still writing to its output `{file}` a minute after the script had ended."),
        help: Some("End the script with `wait`, so that it ends when all that it started has ended.".to_owned()),
        interrupted: false,
        again: false,
    }
}

/// Meaning of a line of a worker, whose last status is remembered.
fn of_worker(line: &[u8], last_status: &mut Option<WorkerStatus>) -> EventLine {
    match parse_message(line) {
        Some(StageMessage::Report(report)) => return EventLine::Report(report),
        Some(StageMessage::Status(WorkerStatus::Started { .. })) | None => {}
        Some(StageMessage::Status(status)) => *last_status = Some(status),
    }
    EventLine::Dropped
}

/// A report in which no text shows a secret.
fn without_secrets(mut report: StageReport, secrets: &[String]) -> StageReport {
    if let StageReport::Metric { name: text, .. }
    | StageReport::Progress { unit: text, .. }
    | StageReport::Message { text }
    | StageReport::Warning { text } = &mut report
    {
        *text = masked(text, secrets);
    }
    if let StageReport::Figure { name, figure } = &report
        && !secrets.is_empty()
    {
        // Any text of a figure may show one.
        let hidden = serde_json::to_string(figure).ok().map(|text| masked(&text, secrets));
        let figure = hidden.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_else(|| figure.clone());
        return StageReport::Figure { name: masked(name, secrets), figure };
    }
    report
}

/// A text that shows no secret.
fn masked(text: &str, secrets: &[String]) -> String {
    secrets
        .iter()
        .filter(|secret| text.contains(secret.as_str()))
        .fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), MASK))
}

/// Exit of a process; `out_of_memory` tells whether the kernel killed something recently.
fn exit_of(
    status: ExitStatus,
    last_status: Option<WorkerStatus>,
    is_worker: bool,
    out_of_memory: impl Fn() -> bool,
) -> Exit {
    let killed_for_memory = |number: i32| number == Signal::SIGKILL as i32 && out_of_memory();
    match (last_status, status.signal(), status.code()) {
        (_, Some(number), _) => Exit::Signal { number, out_of_memory: killed_for_memory(number) },
        (Some(WorkerStatus::Failed { message, help, interrupted, again }), ..) if is_worker => {
            Exit::Failed { message, help, interrupted, again }
        }
        (Some(WorkerStatus::Done), _, Some(0)) if is_worker => Exit::Success,
        (_, _, Some(0)) if !is_worker => Exit::Success,
        (_, _, Some(code)) if !is_worker && Signal::try_from(code - SHELL_SIGNAL).is_ok() => {
            let number = code - SHELL_SIGNAL;
            Exit::ProgramSignal { number, out_of_memory: killed_for_memory(number) }
        }
        (_, _, code) => Exit::Status(code.unwrap_or_default()),
    }
}
