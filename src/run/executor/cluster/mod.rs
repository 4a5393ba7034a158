//! Jobs on the nodes of a cluster, through a folder that all of them share; no ports.
//!
//! The executor writes each attempt as a request into the folder of a queue. Agents (`athanor agent`), which the cluster's own
//! queue starts, take requests by renaming them, run them as the local executor does, store and sync the outputs, and append what
//! happens to a file of theirs. An attempt is over when its last line is there: it says exit and digests. That a file exists
//! means nothing, since network file systems show it early, late or in part.
//!
//! Work that is expected to take long, and work on whole GPUs, has a job of its own in the cluster's queue. The rest shares jobs in
//! which an agent does one attempt after another. The cluster's queue is asked about what is silent, and seldom. Everything is in
//! the folder, so that the next run goes on with the jobs of one that was killed.

mod agent;
mod batch;
mod commands;
mod controller;
mod executor;
mod folder;
mod generic;
mod messages;
mod placing;
mod slurm;

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use athanor_cache::Cache;

use crate::plan::Instance;

pub(crate) use agent::{AgentHost, main as agent_main};
pub(crate) use executor::ClusterExecutor;
pub(crate) use folder::ClusterFolder;
pub use generic::QueueCommands;

/// Options of the cluster's jobs, where stages state none.
#[derive(Debug, Clone)]
pub struct SlurmConfig {
    /// Commands of the queue, if it is not Slurm.
    pub commands: Option<QueueCommands>,
    /// Partition.
    pub partition: Option<String>,
    /// Account that is charged.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// Time limit.
    pub time: Option<Duration>,
    /// Maximum number of jobs in the queue.
    pub max_jobs: usize,
    /// Shell commands that jobs begin with.
    pub setup: Option<String>,
    /// Further options of `sbatch`.
    pub extra: Vec<String>,
    /// Whether GPUs are asked for by `--gpus` and not by `--gres`.
    pub by_gpus: bool,
    /// Variables of this process's that the commands of the queue do not get.
    pub hidden: Vec<OsString>,
    /// Shortest interval between two looks into the queue.
    pub poll: Duration,
    /// Time after which an idle agent ends.
    pub idle: Duration,
    /// Folder on a node in which attempts work; it may begin with a variable of the node's.
    pub scratch: Option<String>,
    /// Bytes that copies of inputs there take on a node at most.
    pub scratch_limit: Option<u64>,
}

impl SlurmConfig {
    /// Number of attempts that are prepared at once, running or waiting.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.max_jobs.saturating_mul(8)).unwrap_or(u32::MAX).clamp(64, 1024)
    }
}

/// Configuration of the executor.
#[derive(Clone)]
pub(crate) struct ClusterConfig {
    /// Path of this program's binary, as nodes see it, too.
    pub program: PathBuf,
    /// The cache.
    pub cache: Arc<Cache>,
    /// Project folder.
    pub project: PathBuf,
    /// All instances of the plan.
    pub instances: Arc<[Instance]>,
    /// Durations of the instances in earlier runs, as far as known.
    pub expected: Arc<[Option<Duration>]>,
    /// Options of the cluster's jobs.
    pub slurm: SlurmConfig,
    /// Size limit of a stage's log, in bytes.
    pub log_limit: u64,
    /// Whether commands get all variables of the user's.
    pub inherits_environment: bool,
    /// Name of the run.
    pub run: String,
}
