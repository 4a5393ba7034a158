//! What a running stage may touch beyond its ports: its seed, its threads, a scratch folder, and a way to report.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

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

/// What a running stage may touch.
pub struct StageContext<'a> {
    /// The stage's seed; the only source of randomness.
    pub seed: u64,
    /// Threads the stage may use.
    pub threads: usize,
    /// A private, empty folder that goes away with the stage.
    pub scratch: PathBuf,
    reporter: &'a dyn Reporter,
}

impl<'a> StageContext<'a> {
    /// A context that reports to `reporter`.
    pub fn new(seed: u64, threads: usize, scratch: PathBuf, reporter: &'a dyn Reporter) -> Self {
        StageContext { seed, threads, scratch, reporter }
    }

    /// Reports that `done` of `total` `unit`s are finished.
    pub fn progress(&self, done: u64, total: u64, unit: &str) {
        self.reporter.report(StageReport::Progress { done, total, unit: unit.to_owned() });
    }

    /// Reports a figure worth keeping with the result.
    pub fn metric(&self, name: &str, value: f64) {
        self.reporter.report(StageReport::Metric { name: name.to_owned(), value, step: None });
    }

    /// Writes a line to the stage's log.
    pub fn log(&self, line: impl Into<String>) {
        self.reporter.report(StageReport::Log { line: line.into() });
    }

    /// Whether the stage should stop at the next safe point, by returning [`crate::error::StageError::Interrupted`].
    pub fn should_stop(&self) -> bool {
        self.reporter.should_stop()
    }
}
