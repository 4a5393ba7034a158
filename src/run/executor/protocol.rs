//! The line protocol between a run and its stages: JSON lines, one message a line, over a pipe.
//!
//! A worker reads one [`WorkerRequest`] line from standard input and writes [`StageMessage`] lines to standard output,
//! `started` first and `done` or `failed` last. A `command` stage may write `progress`, `metric` and `message` lines to the file
//! named by `ATHANOR_EVENTS`. Either side ignores fields it does not know; a request of another version is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use athanor_cache::{Artifact, Digest};
use athanor_stages::context::StageReport;
use athanor_stages::ports::{BoundInputs, BoundOutputs};
use serde::{Deserialize, Serialize};

/// Version of the protocol.
pub const PROTOCOL: u32 = 2;

/// Maximum length of a line, in bytes; a longer one is dropped.
pub const MAX_LINE: u64 = 1 << 20;

/// Environment variable that tells a `command` stage where to write progress, metrics and messages.
pub const EVENTS_VARIABLE: &str = "ATHANOR_EVENTS";

/// Environment variable that tells a `command` stage where its state is.
pub const STATE_VARIABLE: &str = "ATHANOR_STATE";

/// Exit status of a `command` stage with state that stopped in good order, before its work was done: `EX_TEMPFAIL`.
pub const STOPPED_STATUS: i32 = 75;

/// Request to a worker. Paths are relative to its working folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerRequest {
    /// [`PROTOCOL`].
    pub protocol: u32,
    /// Name of the kind.
    pub kind: String,
    /// Revision of the kind; a worker of another revision refuses.
    pub revision: u32,
    /// Canonical parameters.
    pub params: serde_json::Value,
    /// Seed of the stage.
    pub seed: u64,
    /// Input files, by port.
    pub inputs: BoundInputs,
    /// Output files, by port.
    pub outputs: BoundOutputs,
    /// Private folder that is removed with the stage.
    #[serde(with = "athanor_cache::any_path")]
    pub scratch: PathBuf,
    /// Root of the cache, absolute: items of earlier work are there.
    #[serde(with = "athanor_cache::any_path")]
    pub cache: PathBuf,
    /// Fingerprint of the work.
    pub fingerprint: Digest,
    /// Artifacts at the paths in `inputs`.
    pub contents: BTreeMap<PathBuf, Artifact>,
    /// Whether the work is to be done again from scratch, whatever is known.
    #[serde(rename = "anew")]
    pub force: bool,
    /// File where the worker lists stored files that it put among the outputs.
    #[serde(with = "athanor_cache::any_path")]
    pub placements: PathBuf,
    /// Whether the CPU may take the place of GPUs that cannot be used.
    #[serde(default)]
    pub cpu_fallback: bool,
    /// Folder for kernels while the stage's GPUs are shared with others, if they are.
    #[serde(default)]
    pub shared_kernels: Option<PathBuf>,
    /// Size of its thread pools.
    pub threads: usize,
}

/// Message of a stage to its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum StageMessage {
    /// Start or end.
    Status(WorkerStatus),
    /// Report in between.
    Report(StageReport),
}

/// Start or end of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WorkerStatus {
    /// Start: the worker understood its request.
    Started {
        /// [`PROTOCOL`].
        protocol: u32,
    },
    /// Success: all outputs are written.
    Done,
    /// Failure.
    Failed {
        /// Cause, as a full sentence.
        message: String,
        /// Remedy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        help: Option<String>,
        /// Whether it stopped because it was asked to.
        #[serde(default)]
        interrupted: bool,
        /// Whether it has changed its approach, so that a retry, in a process of its own, may succeed.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
}

/// Parses a message; `None` for other lines, which a reader skips.
pub fn parse_message(line: &[u8]) -> Option<StageMessage> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_look_as_documented_and_read_back() {
        let cases = [
            (StageMessage::Status(WorkerStatus::Started { protocol: 1 }), r#"{"event":"started","protocol":1}"#),
            (StageMessage::Status(WorkerStatus::Done), r#"{"event":"done"}"#),
            (
                StageMessage::Report(StageReport::Metric { name: "loss".into(), value: 0.5, step: Some(3) }),
                r#"{"event":"metric","name":"loss","value":0.5,"step":3}"#,
            ),
            (
                StageMessage::Report(StageReport::Progress { done: 1, total: 2, unit: "rows".into() }),
                r#"{"event":"progress","done":1,"total":2,"unit":"rows"}"#,
            ),
            (
                StageMessage::Report(StageReport::Message { text: "half of it".into() }),
                r#"{"event":"message","text":"half of it"}"#,
            ),
        ];
        for (message, line) in cases {
            assert_eq!(serde_json::to_string(&message).unwrap(), line);
            assert_eq!(parse_message(line.as_bytes()), Some(message));
        }
    }

    #[test]
    fn what_is_no_message_is_passed_over() {
        for line in ["", "hello", "{}", r#"{"event":"dance"}"#, "{\"event\":", "\u{0}"] {
            assert_eq!(parse_message(line.as_bytes()), None, "{line:?}");
        }
    }
}
