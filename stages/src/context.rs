//! What a running stage may touch beyond its ports: its seed, its threads, a scratch folder, and a way to report.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Cache, Digest, Tree};
use serde::{Deserialize, Serialize};

use crate::error::StageError;
use crate::learn::devices::Devices;

/// What a stage tells the outside while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum StageReport {
    /// `done` of `total` units of work are finished.
    Progress {
        /// Units finished.
        done: u64,
        /// Units in all; 0 when unknown.
        total: u64,
        /// What a unit is, e.g. `rows`.
        unit: String,
    },
    /// A figure worth keeping with the result.
    Metric {
        /// Name, e.g. `macro_f1`.
        name: String,
        /// Value.
        value: f64,
        /// Epoch or other step the value belongs to, for curves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u64>,
    },
    /// A line for the stage's log.
    Log {
        /// The line, without its end.
        line: String,
    },
}

/// Where reports go, and where the wish to stop comes from.
pub trait Reporter: Send + Sync {
    /// Takes one report. Must not block for long.
    fn report(&self, report: StageReport);
    /// Whether the stage should stop at the next safe point.
    fn should_stop(&self) -> bool;
}

/// What of earlier work a stage may use again.
pub struct Memory<'a> {
    /// Where items are kept.
    pub cache: &'a Cache,
    /// What the stage computes.
    pub fingerprint: Digest,
    /// What lies at the paths of the stage's inputs.
    pub contents: HashMap<PathBuf, Artifact>,
    /// Whether items are to be computed again even if they are known.
    pub anew: bool,
    /// Where the stage notes which stored files it has put among its outputs.
    pub placements: PathBuf,
}

/// What a running stage may touch.
pub struct StageContext<'a> {
    /// The stage's seed; the only source of randomness.
    pub seed: u64,
    /// Threads the stage may use.
    pub threads: usize,
    /// A private, empty folder that goes away with the stage.
    pub scratch: PathBuf,
    /// Values of the environment that a kind may ask for, by name.
    pub environment: HashMap<String, String>,
    reporter: &'a dyn Reporter,
    memory: Option<Memory<'a>>,
    devices: Option<Devices>,
}

impl<'a> StageContext<'a> {
    /// A context that reports to `reporter` and knows of no earlier work.
    pub fn new(seed: u64, threads: usize, scratch: PathBuf, reporter: &'a dyn Reporter) -> Self {
        StageContext { seed, threads, scratch, environment: HashMap::new(), reporter, memory: None, devices: None }
    }

    /// With what earlier work has left.
    #[must_use]
    pub fn with_memory(mut self, memory: Memory<'a>) -> Self {
        self.memory = Some(memory);
        self
    }

    /// With these values of the environment.
    #[must_use]
    pub fn with_environment(mut self, environment: HashMap<String, String>) -> Self {
        self.environment = environment;
        self
    }

    /// With these devices to compute on, in the place of those that the process sees.
    #[must_use]
    pub fn with_devices(mut self, devices: Devices) -> Self {
        self.devices = Some(devices);
        self
    }

    pub(crate) fn devices(&self) -> Option<&Devices> {
        self.devices.as_ref()
    }

    pub(crate) fn memory(&self) -> Option<&Memory<'a>> {
        self.memory.as_ref()
    }

    /// A folder, made if need be, in which the stage can leave its state: when it is killed, or stopped, the next try of the
    /// same work finds it as it was left; when it succeeds, or its work changes, nobody does.
    pub fn unfinished(&self) -> Result<PathBuf, StageError> {
        let folder = match &self.memory {
            Some(memory) => memory.cache.resume_state_path(&memory.fingerprint),
            None => self.scratch.join("unfinished"),
        };
        std::fs::create_dir_all(&folder).map_err(StageError::io(&folder))?;
        Ok(folder)
    }

    /// The files below an input folder with their digests, as the stage's fingerprint counts them.
    pub fn tree_of(&self, folder: &Path) -> Result<Tree, StageError> {
        if let Some(memory) = &self.memory
            && let Some(artifact) = memory.contents.get(folder)
        {
            return Ok(memory.cache.read_tree(&artifact.digest)?);
        }
        let tree = athanor_cache::Tree::of_folder(folder)?;
        Ok(tree)
    }

    /// The content of an input file, as the stage's fingerprint counts it.
    pub fn digest_of(&self, file: &Path) -> Result<Digest, StageError> {
        if let Some(artifact) = self.memory.as_ref().and_then(|memory| memory.contents.get(file)) {
            return Ok(artifact.digest);
        }
        Ok(Digest::of(&std::fs::read(file).map_err(StageError::io(file))?))
    }

    /// Reports that `done` of `total` `unit`s are finished.
    pub fn progress(&self, done: u64, total: u64, unit: &str) {
        self.reporter.report(StageReport::Progress { done, total, unit: unit.to_owned() });
    }

    /// Reports a figure worth keeping with the result.
    pub fn metric(&self, name: &str, value: f64) {
        self.reporter.report(StageReport::Metric { name: name.to_owned(), value, step: None });
    }

    /// Reports a figure that belongs to an epoch or another step, for curves.
    pub fn metric_at(&self, name: &str, value: f64, step: u64) {
        self.reporter.report(StageReport::Metric { name: name.to_owned(), value, step: Some(step) });
    }

    /// Writes a line to the stage's log, without the secrets of addresses.
    pub fn log(&self, line: impl Into<String>) {
        let line = crate::secrets::mask(&line.into()).into_owned();
        self.reporter.report(StageReport::Log { line });
    }

    /// Whether the stage should stop at the next safe point, by returning [`crate::error::StageError::Interrupted`].
    pub fn should_stop(&self) -> bool {
        self.reporter.should_stop()
    }
}
