//! Promises: results that the remote cache has, and whose bytes may not be here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use athanor_cache::{Artifact, Content, Digest};
use athanor_remote::RemoteResult;

/// Results that count although their bytes are elsewhere.
#[derive(Default)]
pub(super) struct Promises {
    results: HashMap<Digest, Arc<RemoteResult>>,
    /// Results that have an output, by its content.
    by_content: HashMap<Content, Digest>,
    /// Results whose bytes did not come.
    broken: HashSet<Digest>,
}

impl Promises {
    /// Adds a result, which is promised from now on.
    pub(super) fn add(&mut self, result: Arc<RemoteResult>) {
        let fingerprint = result.record.fingerprint;
        for output in &result.record.outputs {
            self.by_content.insert(output.artifact.content(), fingerprint);
        }
        self.results.insert(fingerprint, result);
    }

    /// The promised result that has an artifact.
    pub(super) fn of(&self, artifact: &Artifact) -> Option<Arc<RemoteResult>> {
        let fingerprint = self.by_content.get(&artifact.content())?;
        self.results.get(fingerprint).filter(|_| !self.broken.contains(fingerprint)).cloned()
    }

    /// Whether nothing is promised.
    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Notes that the bytes of a result did not come.
    pub(super) fn is_broken(&mut self, fingerprint: &Digest) {
        self.broken.insert(*fingerprint);
    }

    /// Whether an artifact was promised, and did not come.
    pub(super) fn is_lost(&self, artifact: &Artifact) -> bool {
        self.by_content.get(&artifact.content()).is_some_and(|fingerprint| self.broken.contains(fingerprint))
    }
}
