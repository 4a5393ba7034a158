//! One job as a process: started, listened to, waited for, judged.

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use athanor_stages::context::StageReport;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::run::disk_space::FullDisk;
use crate::run::executor::{Exit, Job, JobEvent, JobListener, Launch, Stop};
use crate::run::local::household::{Household, Unkillable};
use crate::run::local::kernel_kills::{Counts, KernelKills};
use crate::run::local::log::Log;
use crate::run::local::masked_log::MaskedLog;
use crate::run::local::watch::{Ears, Messages, Output, until_exit};
use crate::run::protocol::{EVENTS_VARIABLE, Life, Message, parse_message};
use crate::run::shortage;

/// The first wait after the system had no process, thread or handle left; each further one is twice as long …
const FIRST_PATIENCE: Duration = Duration::from_millis(5);
/// … up to this.
const LONGEST_PATIENCE: Duration = Duration::from_millis(200);
/// Tries to start a process while no other job runs that could give something back.
const TRIES_ALONE: u32 = 6;

/// The shell's status for a program that a signal ended is this more than the signal's number.
const SHELL_SIGNAL: i32 = 128;

/// What all jobs of a run have in common.
pub struct Shared {
    /// This program's binary.
    pub program: PathBuf,
    /// Hears of every job.
    pub events: JobListener,
    /// All processes of the run.
    pub household: Household,
    /// Bytes that a log may have.
    pub log_limit: u64,
    /// For what killed a job.
    pub kernel_kills: KernelKills,
}

/// Where a job's process stands, for those who want to stop it.
#[derive(Debug, Default)]
pub struct Process(Mutex<Standing>);

#[derive(Debug)]
enum Standing {
    /// It is being started, and is to be stopped as soon as it is there.
    Starting(Option<Stop>),
    /// It leads the group of this number.
    Running(Pid),
    /// It has ended, and its number may be somebody else's.
    Over,
}

impl Default for Standing {
    fn default() -> Self {
        Standing::Starting(None)
    }
}

impl Process {
    /// Stops the process with all it has started; no effect on one that is over.
    pub fn stop(&self, how: Stop) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *standing {
            Standing::Starting(stop) => *stop = Some(how),
            Standing::Running(group) => signal(*group, how),
            Standing::Over => {}
        }
    }

    /// Whether it was stopped before it was there.
    fn is_stopped(&self) -> bool {
        let standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*standing, Standing::Starting(Some(_)))
    }

    fn is_running(&self, group: Pid) {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Standing::Starting(Some(how)) = *standing {
            signal(group, how);
        }
        *standing = Standing::Running(group);
    }

    /// Kills what is left of the group of `child`, which has ended, and reaps it.
    fn reap(&self, child: &mut Child, group: Pid) -> std::io::Result<ExitStatus> {
        let mut standing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = killpg(group, Signal::SIGKILL);
        *standing = Standing::Over;
        child.wait()
    }
}

fn signal(group: Pid, how: Stop) {
    let signal = match how {
        Stop::Gently => Signal::SIGTERM,
        Stop::Now => Signal::SIGKILL,
    };
    // The group is gone only when everything in it has ended, which is what was wanted.
    let _ = killpg(group, signal);
}

/// Does the job; returns when nothing of it runs any more.
pub fn carry_out(shared: &Shared, job: &Job, process: &Process) -> Exit {
    let number = shared.household.begin();
    let mut log = None;
    let exit = match launch_patiently(shared, job, number, process) {
        Ok(running) => {
            let (exit, refusal) = running.wait(shared, job, process);
            log = refusal;
            exit
        }
        Err(error) => {
            shared.household.end(number, &job.attempt);
            let advice = shortage::advice(&error)
                .or_else(|| too_long(&error))
                .map(|advice| format!(" {advice}"))
                .unwrap_or_default();
            Exit::NotStarted(format!("The process cannot be started: {error}.{advice}"))
        }
    };
    if exit == Exit::Success { exit } else { hampered(exit, job, log) }
}

/// What to do about a line that is longer than the kernel takes.
fn too_long(error: &std::io::Error) -> Option<String> {
    (error.kind() == std::io::ErrorKind::ArgumentListTooLong).then(|| {
        "`run` with all its values filled in, or the environment, is longer than the system passes to a program (128 KiB in one \
         piece): write long values to a file in a stage before it, or put the line's programs into a script."
            .to_owned()
    })
}

/// The exit of a failed job, with how the machine stood in its way.
fn hampered(exit: Exit, job: &Job, log: Option<std::io::Error>) -> Exit {
    let folders = [Some(job.folder.as_path()), job.log.parent()];
    let full = FullDisk::find(folders.into_iter().flatten()).map(|disk| disk.to_string());
    let log = log.map(|error| error.to_string());
    if log.is_none() && full.is_none() { exit } else { Exit::Hampered { exit: Box::new(exit), log, full } }
}

/// Starts the job's process. While the system has none left and other jobs run, which will give something back, or for a
/// moment, it is tried again.
fn launch_patiently(shared: &Shared, job: &Job, number: u32, process: &Process) -> std::io::Result<Running> {
    let mut patience = FIRST_PATIENCE;
    let mut tries_alone = 0;
    loop {
        match launch(shared, job, number) {
            Err(error) if shortage::is_shortage(&error) && !process.is_stopped() && tries_alone < TRIES_ALONE => {
                if !shared.household.others_run(number) {
                    tries_alone += 1;
                }
                std::thread::sleep(patience);
                patience = (patience * 2).min(LONGEST_PATIENCE);
            }
            launched => return launched,
        }
    }
}

/// A process and what is needed to learn how it ended.
struct Running {
    child: Child,
    number: u32,
    ears: Ears,
    /// Our end of a shell line's event pipe: the line may open and close it many times, so it must not count as closed.
    keep_open: Option<OwnedFd>,
    kernel_kills: Counts,
}

fn launch(shared: &Shared, job: &Job, number: u32) -> std::io::Result<Running> {
    let kernel_kills = shared.kernel_kills.before();
    let order = match &job.launch {
        Launch::Worker(order) => serde_json::to_string(order).map_err(std::io::Error::other)?,
        Launch::Shell(_) => String::new(),
    };
    let (reader, writer) = std::io::pipe()?;
    let (printed, print) = std::io::pipe()?;
    let log = MaskedLog::new(Log::new(job.log.clone(), shared.log_limit));
    let ears = Ears { messages: Messages::new(reader)?, output: Output::new(printed)?, log };
    let mut command = match &job.launch {
        Launch::Worker(_) => {
            let mut command = Command::new(&shared.program);
            command.arg("worker").stdin(Stdio::piped()).stdout(writer.try_clone()?);
            command
        }
        Launch::Shell(line) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(line).stdin(Stdio::null()).stdout(print.try_clone()?);
            // The pipe is opened by name, so that a shell line can write to it like to any file.
            let path = format!("/proc/{}/fd/{}", std::process::id(), writer.as_raw_fd());
            command.env(EVENTS_VARIABLE, path);
            command
        }
    };
    command.stderr(print).current_dir(&job.folder).process_group(0);
    command.envs(job.environment.iter().map(|(name, value)| (name, value)));
    let mut child = shared.household.start(number, &mut command)?;
    drop(command);
    if let Some(mut stdin) = child.stdin.take() {
        // A worker that dies before it reads its order is reported by its exit.
        let _ = writeln!(stdin, "{order}");
    }
    let keep_open = matches!(job.launch, Launch::Shell(_)).then(|| OwnedFd::from(writer));
    Ok(Running { child, number, ears, keep_open, kernel_kills })
}

impl Running {
    /// Waits for the process, kills what it has left behind, and says how it ended and why its log is not whole, if that is
    /// so.
    fn wait(mut self, shared: &Shared, job: &Job, process: &Process) -> (Exit, Option<std::io::Error>) {
        let group = Pid::from_raw(self.child.id().cast_signed());
        process.is_running(group);
        let mut last_word = None;
        let mut hear = |line: &[u8], log: &mut MaskedLog| match parse_message(line) {
            Some(Message::Report(StageReport::Log { line })) => log.write_line(&line),
            Some(Message::Report(report)) => (shared.events)(JobEvent::Report(job.id, report)),
            Some(Message::Life(Life::Started { .. })) | None => {}
            Some(Message::Life(life)) => last_word = Some(life),
        };
        let watched = until_exit(group, &mut self.ears, &mut hear, &|| shared.household.reap());
        let status = process.reap(&mut self.child, group);
        let unkillable = shared.household.end(self.number, &job.attempt);
        drop(self.keep_open.take());
        // The last words of those that were killed with it.
        self.ears.take_rest(&mut hear);
        for Unkillable { process, name } in unkillable {
            self.ears
                .log
                .write_line(&format!("[the process {process} ({name}) outlived this stage and cannot be killed]"));
        }
        let is_worker = matches!(job.launch, Launch::Worker(_));
        let exit = match watched.and(status) {
            Ok(status) => {
                judge(status, last_word, is_worker, || shared.kernel_kills.happened_since(&self.kernel_kills))
            }
            Err(error) => Exit::NotStarted(format!("The process was lost: {error}.")),
        };
        (exit, self.ears.log.finish())
    }
}

/// How a process ended; `out_of_memory` is asked whether the kernel killed something of late.
fn judge(status: ExitStatus, last_word: Option<Life>, is_worker: bool, out_of_memory: impl Fn() -> bool) -> Exit {
    let killed_for_memory = |number: i32| number == Signal::SIGKILL as i32 && out_of_memory();
    match (last_word, status.signal(), status.code()) {
        (_, Some(number), _) => Exit::Signal { number, out_of_memory: killed_for_memory(number) },
        (Some(Life::Failed { message, help, interrupted, again }), ..) if is_worker => {
            Exit::Failed { message, help, interrupted, again }
        }
        (Some(Life::Done), _, Some(0)) if is_worker => Exit::Success,
        (_, _, Some(0)) if !is_worker => Exit::Success,
        (_, _, Some(code)) if !is_worker && Signal::try_from(code - SHELL_SIGNAL).is_ok() => {
            let number = code - SHELL_SIGNAL;
            Exit::ProgramSignal { number, out_of_memory: killed_for_memory(number) }
        }
        (_, _, code) => Exit::Status(code.unwrap_or_default()),
    }
}
