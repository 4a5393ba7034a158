//! One job as a process: started, listened to, waited for, judged.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::plan::InstanceId;
use crate::run::crew::Crew;
use crate::run::executor::{Exit, Job, JobEvent, JobListener, Launch, Stop};
use crate::run::local::guardian::MARK_VARIABLE;
use crate::run::local::kernel_kills::KernelKills;
use crate::run::local::watch::{self, Messages};
use crate::run::protocol::{EVENTS_VARIABLE, Life, Message, parse_message};

/// What all jobs of a run have in common.
pub struct Shared {
    /// This program's binary.
    pub program: PathBuf,
    /// Hears of every job.
    pub events: JobListener,
    /// Tells this run's processes from all others.
    pub mark: String,
    /// The threads that start jobs and watch them.
    pub crew: Crew,
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
    match launch(shared, job) {
        Ok(running) => running.wait(shared, job.id, process, matches!(job.launch, Launch::Worker(_))),
        Err(error) => Exit::NotStarted(format!("The process cannot be started: {error}.")),
    }
}

/// A process and what is needed to learn how it ended.
struct Running {
    child: Child,
    messages: Messages,
    /// Our end of a shell line's event pipe: the line may open and close it many times, so it must not count as closed.
    keep_open: Option<OwnedFd>,
    kernel_kills: Option<u64>,
}

fn launch(shared: &Shared, job: &Job) -> std::io::Result<Running> {
    let kernel_kills = shared.kernel_kills.before();
    let log = File::options().create(true).append(true).open(&job.log)?;
    let (reader, writer) = std::io::pipe()?;
    let messages = Messages::new(reader)?;
    let mut command = match &job.launch {
        Launch::Worker(_) => {
            let mut command = Command::new(&shared.program);
            command.arg("worker").stdin(Stdio::piped()).stdout(writer.try_clone()?);
            command
        }
        Launch::Shell(line) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(line).stdin(Stdio::null()).stdout(log.try_clone()?);
            // The pipe is opened by name, so that a shell line can write to it like to any file.
            let path = format!("/proc/{}/fd/{}", std::process::id(), writer.as_raw_fd());
            command.env(EVENTS_VARIABLE, path);
            command
        }
    };
    command.stderr(log).current_dir(&job.folder).process_group(0);
    command.envs(job.environment.iter().map(|(name, value)| (name, value))).env(MARK_VARIABLE, &shared.mark);
    let mut child = command.spawn()?;
    drop(command);
    if let (Launch::Worker(order), Some(mut stdin)) = (&job.launch, child.stdin.take()) {
        let line = serde_json::to_string(order).map_err(std::io::Error::other)?;
        // A worker that dies before it reads its order is reported by its exit.
        let _ = writeln!(stdin, "{line}");
    }
    let keep_open = matches!(job.launch, Launch::Shell(_)).then(|| OwnedFd::from(writer));
    Ok(Running { child, messages, keep_open, kernel_kills })
}

impl Running {
    /// Waits for the process, kills what is left of its group, and says how it ended.
    fn wait(mut self, shared: &Shared, id: InstanceId, process: &Process, is_worker: bool) -> Exit {
        let group = Pid::from_raw(self.child.id().cast_signed());
        process.is_running(group);
        let mut last_word = None;
        let mut hear = |line: &[u8]| match parse_message(line) {
            Some(Message::Report(report)) => (shared.events)(JobEvent::Report(id, report)),
            Some(Message::Life(Life::Started { .. })) | None => {}
            Some(Message::Life(life)) => last_word = Some(life),
        };
        let watched = watch::until_exit(&shared.crew, group, &mut self.messages, &mut hear);
        let status = process.reap(&mut self.child, group);
        drop(self.keep_open.take());
        // The last words of those that were killed with it.
        self.messages.take(&mut hear);
        match watched.and(status) {
            Ok(status) => judge(status, last_word, is_worker, || shared.kernel_kills.happened_since(self.kernel_kills)),
            Err(error) => Exit::NotStarted(format!("The process was lost: {error}.")),
        }
    }
}

/// How a process ended; `out_of_memory` is asked whether the kernel killed something of late.
fn judge(status: ExitStatus, last_word: Option<Life>, is_worker: bool, out_of_memory: impl Fn() -> bool) -> Exit {
    match (last_word, status.signal(), status.code()) {
        (_, Some(number), _) => {
            let killed = number == Signal::SIGKILL as i32;
            Exit::Signal { number, out_of_memory: killed && out_of_memory() }
        }
        (Some(Life::Failed { message, help, interrupted, again }), ..) if is_worker => {
            Exit::Failed { message, help, interrupted, again }
        }
        (Some(Life::Done), _, Some(0)) if is_worker => Exit::Success,
        (_, _, Some(0)) if !is_worker => Exit::Success,
        (_, _, code) => Exit::Status(code.unwrap_or_default()),
    }
}
