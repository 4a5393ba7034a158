//! Outputs of instances, as they pass from one part of a run to the next.

use std::sync::Arc;

use athanor_cache::{Digest, OutputRecord};

/// Outputs of an instance, shared by all that need them.
pub type Outputs = Arc<[OutputRecord]>;

/// Result of an instance that is up to date.
#[derive(Debug, Clone, PartialEq)]
pub struct UpToDate {
    /// Fingerprint of the work.
    pub fingerprint: Digest,
    /// Stored outputs.
    pub outputs: Outputs,
}
