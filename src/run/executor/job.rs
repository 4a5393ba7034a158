//! What carries out a stage's work: the seam between the dispatcher and local processes, or later a cluster's queue.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use athanor_stages::context::StageReport;

use crate::plan::InstanceId;
use crate::run::executor::protocol::WorkerRequest;

/// One try of one instance, ready to be started.
#[derive(Debug, Clone)]
pub struct Job {
    /// The instance.
    pub id: InstanceId,
    /// What to start.
    pub launch: Launch,
    /// The folder to start it in.
    pub folder: PathBuf,
    /// The folder that all of its attempt lies in.
    pub attempt: PathBuf,
    /// Where its output goes; a job that prints nothing leaves no file there.
    pub log: PathBuf,
    /// Variables added to the environment.
    pub environment: Vec<(String, OsString)>,
}

/// What to start.
#[derive(Debug, Clone)]
pub enum Launch {
    /// A worker process of this program.
    Worker(Box<WorkerRequest>),
    /// A shell line.
    Shell(String),
}

/// What an executor says of a job.
#[derive(Debug)]
pub enum JobEvent {
    /// The stage reported something.
    Report(InstanceId, StageReport),
    /// The job is over; nothing of it runs any more.
    Exited(InstanceId, Exit),
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Exit {
    /// It did its work.
    Success,
    /// It said why it could not.
    Failed {
        /// Why, as a full sentence.
        message: String,
        /// What to do.
        help: Option<String>,
        /// Whether it stopped because it was asked to.
        interrupted: bool,
        /// Whether it asks for another try.
        again: bool,
    },
    /// It ended with a status other than 0 and said nothing.
    Status(i32),
    /// A signal ended it.
    Signal {
        /// Its number.
        number: i32,
        /// Whether the kernel ran out of memory while it ran and killed something.
        out_of_memory: bool,
    },
    /// A shell line ended because a program in it was ended by a signal, which the shell reports by its status.
    ProgramSignal {
        /// The signal's number: 128 less than the shell's status.
        number: i32,
        /// Whether the kernel ran out of memory while it ran and killed something.
        out_of_memory: bool,
    },
    /// It could not be started.
    NotStarted(String),
    /// It failed, and the machine stood in its way.
    HostFault {
        /// How it ended.
        exit: Box<Exit>,
        /// Why its log is not whole, if that is so.
        log: Option<String>,
        /// Which disk is full, as a sentence, if one is.
        full: Option<String>,
    },
}

impl Exit {
    /// Whether it asks for another try.
    pub fn wants_retry(&self) -> bool {
        match self {
            Exit::Failed { again, .. } => *again,
            Exit::HostFault { exit, .. } => exit.wants_retry(),
            _ => false,
        }
    }
}

/// How urgently a job is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It may save its state first.
    Gently,
    /// Now, with everything it has started.
    Now,
}

/// Hears what an executor says, from any thread; must not block.
pub type JobListener = Arc<dyn Fn(JobEvent) + Send + Sync>;

/// Carries out jobs. Its events go, in order for each job, to the listener it was made with.
pub trait Executor {
    /// Starts a job. That it cannot be started is an event, not an error.
    fn start(&mut self, job: Job);
    /// Stops a job; no effect on one that is over.
    fn stop(&mut self, id: InstanceId, how: Stop);
}
