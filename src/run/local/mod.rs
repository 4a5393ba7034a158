//! Jobs as processes on this machine.
//!
//! Each job leads a process group of its own, so that a terminal's Ctrl-C does not reach it and a kill takes all it has
//! started. Whatever of a group outlives its leader is killed before the job counts as over: nothing writes into a stage's
//! folder after its outputs are hashed.

mod guardian;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::plan::InstanceId;
use crate::run::crew::Crew;
use crate::run::executor::{Executor, Exit, Job, JobEvent, JobListener, Launch, Stop};
use crate::run::protocol::{EVENTS_VARIABLE, Life, MAX_LINE, Message, parse_message};

pub use guardian::main as guardian_main;
use guardian::{Guardian, MARK_VARIABLE};

/// Runs jobs as processes on this machine.
pub struct LocalExecutor {
    program: PathBuf,
    events: JobListener,
    mark: String,
    guardian: Option<Guardian>,
    crew: Crew,
    running: HashMap<InstanceId, Arc<Mutex<Option<Pid>>>>,
}

impl LocalExecutor {
    /// `program` is the path of this program's binary; events go to `events`; `mark` tells this run's processes from all
    /// others; jobs are waited for by `crew`.
    pub fn new(program: PathBuf, events: JobListener, mark: String, crew: Crew) -> LocalExecutor {
        LocalExecutor { program, events, mark, guardian: None, crew, running: HashMap::new() }
    }

    fn launch(&mut self, job: &Job) -> std::io::Result<Running> {
        if self.guardian.is_none() {
            self.guardian = Guardian::start(&self.program, &self.mark);
        }
        let log = File::options().create(true).append(true).open(&job.log)?;
        let (reader, writer) = std::io::pipe()?;
        let mut command = match &job.launch {
            Launch::Worker(_) => {
                let mut command = Command::new(&self.program);
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
        command.envs(job.environment.iter().map(|(name, value)| (name, value))).env(MARK_VARIABLE, &self.mark);
        let mut child = command.spawn()?;
        drop(command);
        if let (Launch::Worker(order), Some(mut stdin)) = (&job.launch, child.stdin.take()) {
            let line = serde_json::to_string(order).map_err(std::io::Error::other)?;
            // A worker that dies before it reads its order is reported by its exit.
            let _ = writeln!(stdin, "{line}");
        }
        let keep_open = matches!(job.launch, Launch::Shell(_)).then(|| OwnedFd::from(writer));
        let listener = listen(&self.crew, job.id, reader, Arc::clone(&self.events));
        Ok(Running { child, listener, keep_open })
    }
}

/// A process and what is needed to learn how it ended.
struct Running {
    child: Child,
    listener: Receiver<Option<Life>>,
    /// Our end of a shell line's event pipe: the line may open and close it many times, so it must not count as closed.
    keep_open: Option<OwnedFd>,
}

impl Executor for LocalExecutor {
    fn start(&mut self, job: Job) {
        match self.launch(&job) {
            Ok(running) => {
                let pid = Arc::new(Mutex::new(Some(Pid::from_raw(running.child.id().cast_signed()))));
                self.running.insert(job.id, Arc::clone(&pid));
                let events = Arc::clone(&self.events);
                let is_worker = matches!(job.launch, Launch::Worker(_));
                self.crew.run(move || {
                    let exit = wait(running, &pid, is_worker);
                    events(JobEvent::Exited(job.id, exit));
                });
            }
            Err(error) => {
                let exit = Exit::NotStarted(format!("The process cannot be started: {error}."));
                (self.events)(JobEvent::Exited(job.id, exit));
            }
        }
    }

    fn stop(&mut self, id: InstanceId, how: Stop) {
        let Some(pid) = self.running.get(&id) else { return };
        let pid = pid.lock().unwrap_or_else(PoisonError::into_inner);
        let signal = match how {
            Stop::Gently => Signal::SIGTERM,
            Stop::Now => Signal::SIGKILL,
        };
        if let Some(pid) = *pid {
            // The group is gone only when everything in it has ended, which is what was wanted.
            let _ = killpg(pid, signal);
        }
    }
}

/// Reads messages until the pipe's last writer is gone; returns the last word of a worker.
fn listen(crew: &Crew, id: InstanceId, pipe: std::io::PipeReader, events: JobListener) -> Receiver<Option<Life>> {
    let (sender, last_word) = channel();
    crew.run(move || {
        // Nobody asks for it only when the whole process ends.
        let _ = sender.send(pass_on(id, pipe, &events));
    });
    last_word
}

fn pass_on(id: InstanceId, pipe: std::io::PipeReader, events: &JobListener) -> Option<Life> {
    let mut reader = BufReader::new(pipe);
    let mut last_word = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        match reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return last_word,
            Ok(_) => match parse_message(&line) {
                Some(Message::Report(report)) => {
                    events(JobEvent::Report(id, report));
                }
                Some(Message::Life(Life::Started { .. })) | None => {}
                Some(Message::Life(life)) => last_word = Some(life),
            },
        }
    }
}

/// Waits for the process, kills what is left of its group, and says how it ended.
fn wait(mut running: Running, pid: &Mutex<Option<Pid>>, is_worker: bool) -> Exit {
    let kills_before = kernel_out_of_memory_kills();
    let group = Pid::from_raw(running.child.id().cast_signed());
    // Waiting without reaping keeps the process number taken, so that no signal can hit a stranger.
    let waited = loop {
        match waitid(Id::Pid(group), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other,
        }
    };
    let mut guarded = pid.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = killpg(group, Signal::SIGKILL);
    *guarded = None;
    let status = running.child.wait();
    drop(guarded);
    drop(running.keep_open.take());
    let last_word = running.listener.recv().unwrap_or_default();
    match (waited, status) {
        (Ok(_), Ok(status)) => judge(status, last_word, is_worker, kills_before),
        (Err(error), _) => Exit::NotStarted(format!("The process was lost: {error}.")),
        (_, Err(error)) => Exit::NotStarted(format!("The process was lost: {error}.")),
    }
}

fn judge(status: ExitStatus, last_word: Option<Life>, is_worker: bool, kills_before: Option<u64>) -> Exit {
    match (last_word, status.signal(), status.code()) {
        (_, Some(number), _) => {
            let killed = number == Signal::SIGKILL as i32;
            let out_of_memory =
                killed && kills_before.is_some_and(|before| kernel_out_of_memory_kills() > Some(before));
            Exit::Signal { number, out_of_memory }
        }
        (Some(Life::Failed { message, help, interrupted, again }), ..) if is_worker => {
            Exit::Failed { message, help, interrupted, again }
        }
        (Some(Life::Done), _, Some(0)) if is_worker => Exit::Success,
        (_, _, Some(0)) if !is_worker => Exit::Success,
        (_, _, code) => Exit::Status(code.unwrap_or_default()),
    }
}

/// How many processes the kernel has killed for lack of memory since it started.
fn kernel_out_of_memory_kills() -> Option<u64> {
    let counters = std::fs::read_to_string("/proc/vmstat").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill "))?.trim().parse().ok()
}
