//! Messages through the shared folder: requests, what agents are told when they start, and the lines that they write.

use std::path::PathBuf;
use std::time::Duration;

use athanor_cache::{Digest, OutputRecord};
use athanor_stages::context::StageReport;
use serde::{Deserialize, Serialize};

use crate::gpu::GpuId;
use crate::plan::{Instance, Resources};
use crate::run::container::image::Image;
use crate::run::executor::access_rules::{AccessRule, AccessRules};
use crate::run::executor::job::{Exit, ResourceUse};
use crate::run::executor::protocol::WorkerRequest;

/// Version of these messages: agents of another version refuse.
pub(super) const PROTOCOL: u32 = 3;

/// Request for one attempt.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Key of the attempt.
    pub key: String,
    /// Fingerprint of the work.
    pub fingerprint: Digest,
    /// The instance.
    pub instance: Instance,
    /// Request of a worker; `None` for a command.
    pub worker: Option<Box<WorkerRequest>>,
    /// Image of the container of a command.
    pub image: Option<Image>,
    /// Root folder of the attempt.
    #[serde(with = "athanor_cache::any_path")]
    pub attempt: PathBuf,
    /// Path of its log.
    #[serde(with = "athanor_cache::any_path")]
    pub log: PathBuf,
    /// All that it may read and write; `None` for whatever the user may.
    pub access: Option<Access>,
    /// Resources that it takes of those that its agent has.
    pub resources: Resources,
    /// Time that it is expected to need, if that is known.
    pub expected: Option<Duration>,
    /// Whether it keeps a state.
    pub state: bool,
}

/// [`AccessRules`], as they are written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Access(Vec<AccessRule>);

impl Access {
    pub(super) fn of(rules: &AccessRules) -> Access {
        Access(rules.all().cloned().collect())
    }

    pub(super) fn rules(&self) -> AccessRules {
        AccessRules { shared: [].into(), own: self.0.clone() }
    }
}

/// Instructions for the agents of one submission.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AgentSpec {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Number of jobs of the submission, if it is an array of them.
    pub array: Option<usize>,
    /// Queue that its agents take from; each from one of its own name if there is none.
    pub queue: Option<String>,
    /// Root of the cache.
    #[serde(with = "athanor_cache::any_path")]
    pub cache: PathBuf,
    /// Project folder.
    #[serde(with = "athanor_cache::any_path")]
    pub project: PathBuf,
    /// Size limit of a stage's log, in bytes.
    pub log_limit: u64,
    /// Whether commands get all variables of the user's.
    pub inherits_environment: bool,
    /// Time limit that was asked for.
    pub time: Option<Duration>,
    /// Time before the limit at which the signal comes.
    pub notice: Duration,
    /// Time after which an idle agent ends.
    pub idle: Duration,
    /// Interval of the lines that say that an agent lives.
    pub beat: Duration,
    /// GPUs that were asked for.
    pub gpus: usize,
    /// Folder on the node in which attempts work; it may begin with a variable of the node's.
    pub scratch: Option<String>,
    /// Bytes that copies of inputs there take at most; as much as the disk has but for a twentieth, or 10 GiB of a large one, if there is none.
    #[serde(default)]
    pub scratch_limit: Option<u64>,
}

impl AgentSpec {
    /// Whether its agents do one attempt each.
    pub(super) fn is_for_one(&self) -> bool {
        self.queue.is_none()
    }

    /// Names of its jobs, which are those of their own queues, too.
    pub(super) fn names(&self, token: &str) -> Vec<String> {
        match self.array {
            Some(count) => (0..count).map(|index| format!("{token}_{index}")).collect(),
            None => vec![token.to_owned()],
        }
    }
}

/// Line of an agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum AgentLine {
    /// The agent has begun.
    Hello {
        /// Number of its job.
        job: String,
        /// Its node.
        node: String,
    },
    /// The work of an attempt begins.
    Began {
        /// Key of the attempt.
        key: String,
        /// CPUs that it was given.
        cpus: u32,
        /// GPUs that it was given.
        gpus: Vec<GpuId>,
    },
    /// Report of a stage.
    Report {
        /// Key of the attempt.
        key: String,
        /// The report.
        report: StageReport,
    },
    /// Line that should be a report and is none.
    BadReport {
        /// Key of the attempt.
        key: String,
        /// Sentence about it.
        text: String,
    },
    /// Last line of an attempt.
    Ended(Ended),
    /// The agent lives.
    Beat,
    /// Last line of the agent: nothing of it runs any more.
    Left,
}

/// End of an attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Ended {
    /// Key of the attempt.
    pub key: String,
    /// Exit.
    pub exit: Exit,
    /// Outputs, if it was successful: stored and synced.
    pub outputs: Vec<OutputRecord>,
    /// Duration of the work.
    pub duration: Duration,
    /// Resources that its processes used; not known of one that never began.
    #[serde(default)]
    pub used: Option<ResourceUse>,
    /// Length of its log.
    pub log_bytes: u64,
    /// Who asked it to stop, if anybody did.
    pub stopped_by: Option<StoppedBy>,
}

/// Who asked an attempt to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StoppedBy {
    /// Its run.
    Run,
    /// The cluster, when the time limit was near.
    TimeLimit,
    /// The cluster, for a reason that only its queue knows.
    Cluster,
}
