//! Events of a run: the one vocabulary that dispatcher, event log, terminal, JSON and report share.
//!
//! Events are appended to the run's log as JSON lines and never changed; any view can be rebuilt from them. The format is
//! versioned by [`EVENTS_VERSION`] in the first event of a run. A reader must ignore events and fields it does not know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use athanor_cache::Digest;

use crate::gpu::GpuId;

/// Version of the event vocabulary.
pub const EVENTS_VERSION: u32 = 1;

/// An event and when it happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stamped {
    /// Time.
    pub time: Timestamp,
    /// Event.
    #[serde(flatten)]
    pub event: RunEvent,
}

/// Event. `instance` is an instance's name, e.g. `model[model=d121_i768,fold=0]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A run began. Always the first event.
    RunStarted {
        /// [`EVENTS_VERSION`].
        version: u32,
        /// Identifier of the run; sorts by start time.
        run: String,
        /// The pipeline's name.
        pipeline: String,
        /// The pipeline file as given.
        file: String,
        /// Number of instances that the run is to bring up to date.
        instances: usize,
    },
    /// A variable is set in the user's environment, a script names it, and does not get it.
    Withheld {
        /// The variable's name.
        variable: String,
        /// The first stage whose script names it.
        stage: String,
    },
    /// The digests of input files are being established.
    Hashing {
        /// Input paths finished.
        done: usize,
        /// Input paths in all.
        total: usize,
    },
    /// The instance's result was in the cache already.
    Cached {
        /// The instance.
        instance: String,
        /// Fingerprint of the work.
        fingerprint: Digest,
    },
    /// The instance is being made by another run; this one waits for it and does other work meanwhile.
    Waiting {
        /// The instance.
        instance: String,
    },
    /// A process was started for the instance.
    Started {
        /// The instance.
        instance: String,
        /// Fingerprint of the work.
        fingerprint: Digest,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// CPUs it was given.
        cpus: u32,
        /// GPUs it was given, by index or UUID.
        gpus: Vec<GpuId>,
        /// Its log file, relative to the run's folder.
        log: String,
        /// Whether it may wait in the queue of a cluster, and its work begins later.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        queues: bool,
    },
    /// The instance waits in the queue of a cluster.
    Queued {
        /// The instance.
        instance: String,
        /// Number of its job there.
        job: String,
        /// Reason why it waits, in the words of the queue.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The instance's work began on a node of a cluster.
    Placed {
        /// The instance.
        instance: String,
        /// Number of the job that it is part of.
        job: String,
        /// Name of the node.
        node: String,
    },
    /// An attempt of the instance ended through no fault of its own; another one goes on from its state.
    Evicted {
        /// The instance.
        instance: String,
        /// Number of the attempt that ended, from 1.
        attempt: u32,
        /// Why, as the end of a sentence about the attempt.
        why: String,
    },
    /// Something about what the instance reads that the user should know.
    Advice {
        /// The instance.
        instance: String,
        /// A full sentence.
        message: String,
    },
    /// The instance warns of what it was given. That is kept with its result.
    Warning {
        /// The instance.
        instance: String,
        /// The warning.
        text: String,
    },
    /// The instance has something to say to the user.
    Message {
        /// The instance.
        instance: String,
        /// Its words.
        text: String,
    },
    /// The instance got further.
    Progress {
        /// The instance.
        instance: String,
        /// Units finished.
        done: u64,
        /// Units in all; 0 when unknown.
        total: u64,
        /// Noun for the units.
        unit: String,
    },
    /// The instance reported a figure.
    Metric {
        /// The instance.
        instance: String,
        /// The figure's name.
        name: String,
        /// The figure.
        value: f64,
        /// Epoch or other step, for curves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u64>,
    },
    /// The instance's work is done, and what it was given is free again; its outputs are being stored.
    Storing {
        /// The instance.
        instance: String,
    },
    /// The instance's outputs are stored, and others may read them. It is finished when its record is safely on disk.
    Stored {
        /// The instance.
        instance: String,
    },
    /// The instance's outputs are in the cache.
    Finished {
        /// The instance.
        instance: String,
        /// Fingerprint of the work.
        fingerprint: Digest,
        /// Time from start to commit.
        duration_ms: u64,
        /// Files it left behind that it does not declare, relative to its folder.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        undeclared: Vec<String>,
        /// Files that it added to folders it was only to read, which are gone again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed: Vec<String>,
    },
    /// An attempt of the instance failed.
    Failed {
        /// The instance.
        instance: String,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// Why, as a full sentence.
        cause: String,
        /// Remedy, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
        /// The last lines of its log.
        log_tail: Vec<String>,
        /// Whether it will be tried again.
        retrying: bool,
    },
    /// The instance may have read something else than it should, since somebody changed it meanwhile; its result is dropped,
    /// and it runs again when everything else is done.
    Deferred {
        /// The instance.
        instance: String,
        /// Why, as a full sentence.
        because: String,
    },
    /// The instance cannot be made because one it needs failed.
    Skipped {
        /// The instance.
        instance: String,
        /// The one that failed.
        because: String,
    },
    /// The instance is not started, as it is not expected to end in the time that the run has.
    Left {
        /// The instance.
        instance: String,
        /// Why, as a sentence without a capital and a full stop.
        because: String,
    },
    /// An attempt of the instance ended in good order, unasked, with its work not done; another one goes on from its state.
    Resuming {
        /// The instance.
        instance: String,
        /// Number of the attempt that ended, from 1.
        attempt: u32,
    },
    /// The instance was stopped by an interrupt.
    Interrupted {
        /// The instance.
        instance: String,
    },
    /// Something that the user should know about the run as a whole.
    Notice {
        /// Sentence without a capital and a full stop.
        message: String,
    },
    /// The user asked the run to stop, or its time is over.
    StopRequested {
        /// False for the first request (running stages may finish cleanly), true for the second (they are killed).
        forced: bool,
        /// Whether nobody asked, and the time that the run was given is over.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        out_of_time: bool,
    },
    /// A result was put in place or left alone.
    Result {
        /// Path relative to the project folder.
        path: String,
        /// Action.
        action: ResultAction,
        /// Path of the user's edited result, if it was moved aside.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        aside: Option<String>,
        /// Why it was not put in place, as a full sentence, if it was not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
        /// Remedy for that, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
    },
    /// The run ended. Absent when it was killed.
    RunFinished {
        /// How.
        outcome: Outcome,
        /// Numbers of instances by outcome.
        counts: Counts,
        /// Time from the first event to this.
        duration_ms: u64,
    },
}

/// Action taken on a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultAction {
    /// New or changed, and put in place.
    Written,
    /// Unchanged.
    Unchanged,
    /// The user has edited it and the pipeline's has not changed, so it was left alone.
    KeptEdited,
    /// The user had edited it and the pipeline's has changed: theirs now lies beside it.
    ReplacedEdited,
    /// Not put in place.
    Refused,
    /// Damaged in the cache, so that its instance has to make it again.
    Lost,
}

/// Outcome of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Everything asked for is up to date.
    UpToDate,
    /// At least one instance failed.
    Failed,
    /// The user stopped it.
    Interrupted,
}

/// Numbers of instances by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Made in this run.
    pub ran: usize,
    /// Found in the cache.
    pub cached: usize,
    /// Failed.
    pub failed: usize,
    /// Skipped because one they need failed.
    pub skipped: usize,
    /// Stopped by an interrupt.
    pub interrupted: usize,
    /// Not started, because the run ended early.
    #[serde(default)]
    pub not_started: usize,
}

impl Counts {
    /// Number of instances that are accounted for.
    pub fn total(&self) -> usize {
        self.ran + self.cached + self.failed + self.skipped + self.interrupted + self.not_started
    }
}

impl RunEvent {
    /// The instance an event is about.
    pub fn instance(&self) -> Option<&str> {
        match self {
            RunEvent::Cached { instance, .. }
            | RunEvent::Waiting { instance }
            | RunEvent::Started { instance, .. }
            | RunEvent::Queued { instance, .. }
            | RunEvent::Placed { instance, .. }
            | RunEvent::Evicted { instance, .. }
            | RunEvent::Advice { instance, .. }
            | RunEvent::Warning { instance, .. }
            | RunEvent::Message { instance, .. }
            | RunEvent::Progress { instance, .. }
            | RunEvent::Metric { instance, .. }
            | RunEvent::Storing { instance }
            | RunEvent::Stored { instance }
            | RunEvent::Finished { instance, .. }
            | RunEvent::Failed { instance, .. }
            | RunEvent::Deferred { instance, .. }
            | RunEvent::Skipped { instance, .. }
            | RunEvent::Left { instance, .. }
            | RunEvent::Resuming { instance, .. }
            | RunEvent::Interrupted { instance } => Some(instance),
            RunEvent::RunStarted { .. }
            | RunEvent::Withheld { .. }
            | RunEvent::Hashing { .. }
            | RunEvent::Notice { .. }
            | RunEvent::StopRequested { .. }
            | RunEvent::Result { .. }
            | RunEvent::RunFinished { .. } => None,
        }
    }
}

/// Receiver of events as they happen: the terminal, plain lines, a JSON stream, the run's log.
pub trait EventSink: Send {
    /// Takes one event. A sink that cannot write (a closed pipe) drops it: a view never stops a run.
    fn event(&mut self, event: &Stamped);
    /// Called when nothing has happened for a moment, so that clocks can tick.
    fn tick(&mut self) {}
    /// Called when no further event is at hand: what was taken is to be seen now.
    fn flush(&mut self) {}
}
