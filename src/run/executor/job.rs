//! Jobs and the trait of executors: the seam between the dispatcher and local processes, or later a cluster's queue.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use athanor_cache::{Digest, OutputRecord, ProgramState};
use athanor_stages::context::StageReport;
use serde::{Deserialize, Serialize};

use crate::gpu::GpuId;
use crate::language::Shell;
use crate::plan::InstanceId;
use crate::run::container::ContainerVariables;
use crate::run::container::image::Image;
use crate::run::environment::EnvironmentVariable;
use crate::run::executor::access_rules::AccessRules;
use crate::run::executor::protocol::WorkerRequest;

/// Job: one attempt of one instance, ready to be started.
#[derive(Debug, Clone)]
pub struct Job {
    /// Instance.
    pub id: InstanceId,
    /// Fingerprint of the work.
    pub fingerprint: Digest,
    /// Process to start.
    pub launch: Launch,
    /// Folder to start it in.
    pub folder: PathBuf,
    /// Root folder of its attempt.
    pub attempt: PathBuf,
    /// Absolute paths of its outputs.
    pub outputs: Vec<PathBuf>,
    /// Path of its log; a job that prints nothing leaves no file there.
    pub log: PathBuf,
    /// All variables of a script, or of the engine of its container; for a worker, those to add to this process's.
    pub environment: Vec<EnvironmentVariable>,
    /// Texts that are not to be seen in its log and its reports.
    pub secrets: Vec<String>,
    /// GPUs that it is given.
    pub gpus: Vec<GpuId>,
    /// All that it may read and write; `None` for whatever the user may.
    pub access: Option<AccessRules>,
    /// State that it keeps from one attempt to the next, if its stage says so.
    pub state: Option<Arc<ProgramState>>,
}

/// Process to start.
#[derive(Debug, Clone)]
pub enum Launch {
    /// Worker process of this program.
    Worker(Box<WorkerRequest>),
    /// Script of a command.
    Script(Script),
}

/// Script of a command, which lies in a file.
#[derive(Debug, Clone)]
pub struct Script {
    /// Shell that runs it.
    pub shell: Shell,
    /// Path of its file, relative to the job's folder.
    pub path: &'static str,
    /// The script.
    pub text: String,
    /// Container that it runs in.
    pub container: Option<Box<JobContainer>>,
}

/// Container of a job. It sees what the job may read and write.
#[derive(Debug, Clone)]
pub struct JobContainer {
    /// Its image.
    pub image: Image,
    /// The image as the engine of the machine finds it.
    pub reference: String,
    /// Its variables; those of the job are its engine's.
    pub variables: ContainerVariables,
}

/// Resources that the processes of a job used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceUse {
    /// CPU time of the processes, in milliseconds: in the program and in the system.
    pub cpu_ms: u64,
    /// Peak memory of the largest of them, in bytes.
    pub peak_memory: u64,
    /// Bytes that they read from files and pipes; `None` where the kernel does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// Bytes that they wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written: Option<u64>,
    /// Use of their GPUs, if it was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpu: Option<GpuUse>,
}

/// Use of the GPUs of a job, others' on the same ones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuUse {
    /// Peak memory of the fullest of them, in bytes.
    pub peak_memory: u64,
    /// Share of the time in which they computed, in percent; `None` where the driver does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub utilisation: Option<u32>,
}

/// Event of a job.
#[derive(Debug)]
pub enum JobEvent {
    /// Report of the stage.
    Report(InstanceId, StageReport),
    /// Line that should be a report and is none, as a sentence without a capital and a full stop.
    BadReport(InstanceId, String),
    /// Place of the job in the queue of a cluster, where it waits.
    Queued(InstanceId, Queued),
    /// Begin of the work on a node of a cluster. Executors whose jobs begin at once do not report it.
    Began(InstanceId, Placement),
    /// Outputs that were stored where the job ran; a successful exit follows.
    Stored(InstanceId, StoredOutputs),
    /// Sentence about the executor as a whole, for the user.
    Notice(String),
    /// Resources that its processes used, before its exit.
    Used(InstanceId, ResourceUse),
    /// Exit; nothing of the job runs any more.
    Exited(InstanceId, Exit),
}

/// Place of a job in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queued {
    /// Its number there.
    pub job: String,
    /// Reason why it waits, in the words of the queue.
    pub reason: Option<String>,
}

/// Place where a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Number of the cluster's job that it is part of.
    pub job: String,
    /// Name of the node.
    pub node: String,
    /// Time since it began there.
    pub ago: Duration,
}

/// Outputs of a job that were stored where it ran.
#[derive(Debug, Clone)]
pub struct StoredOutputs {
    /// The outputs: stored and on disk.
    pub outputs: Vec<OutputRecord>,
    /// Duration of the work.
    pub duration: Duration,
}

/// Exit of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Success.
    Success,
    /// Failure that the stage explained.
    Failed {
        /// Cause, as a full sentence.
        message: String,
        /// Remedy.
        help: Option<String>,
        /// Whether it stopped because it was asked to.
        interrupted: bool,
        /// Whether it requests a retry.
        again: bool,
    },
    /// Exit with a status other than 0, without an explanation.
    Status(i32),
    /// Stop in good order, with its state kept and its work not done.
    Stopped {
        /// Digest of its state; `None` if nothing of it changed meanwhile.
        state: Option<Digest>,
    },
    /// End by a signal.
    Signal {
        /// Number of the signal.
        number: i32,
        /// Whether the kernel ran out of memory while it ran and killed something.
        out_of_memory: bool,
    },
    /// End of a program in a script by a signal, which the shell reports by its status.
    ProgramSignal {
        /// Number of the signal: 128 less than the shell's status.
        number: i32,
        /// Whether the kernel ran out of memory while it ran and killed something.
        out_of_memory: bool,
    },
    /// Failure to start.
    NotStarted(String),
    /// End through no fault of the stage, such as preemption: another attempt goes on from its state.
    Evicted {
        /// Reason, as the end of a sentence about the attempt: "was preempted".
        why: String,
    },
    /// Failure with a fault of the host.
    HostFault {
        /// Exit.
        exit: Box<Exit>,
        /// Reason why its log is incomplete, if so.
        log: Option<String>,
        /// Full disk, as a sentence, if one is.
        full: Option<String>,
    },
}

impl Exit {
    /// Whether it requests a retry.
    pub fn wants_retry(&self) -> bool {
        match self {
            Exit::Failed { again, .. } => *again,
            Exit::HostFault { exit, .. } => exit.wants_retry(),
            _ => false,
        }
    }
}

/// Urgency of a request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Soon; it may save its state first.
    Gently,
    /// Now, with everything it has started.
    Now,
}

/// Receives the events of an executor, from any thread; must not block.
pub type JobListener = Arc<dyn Fn(JobEvent) + Send + Sync>;

/// Executor of jobs. Its events go, in order for each job, to the listener it was made with.
pub trait Executor {
    /// Starts a job. A failure to start is an event, not an error.
    fn start(&mut self, job: Job);
    /// Says that nothing more is started for now, so that alike jobs can be submitted together.
    fn flush(&mut self) {}
    /// Whether its jobs may wait before they begin, as it reports then.
    fn queues(&self) -> bool {
        false
    }
    /// Stops a job; no effect on one that is over.
    fn stop(&mut self, id: InstanceId, how: Stop);
}
