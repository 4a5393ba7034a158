//! Facts of how a result was made, for people: why it was made, with what, and where.
//!
//! They are an extension of the record and no annex. Every result has them, so that an annex for them would be one more object for
//! every small stage: to write, to sync, to collect, and to fetch from a remote cache. It would take a third more CPU time
//! (`benches/results/report.md`), while in the record they take some 650 bytes, which an up-to-date check does not read.

use std::sync::OnceLock;

use athanor_cache::{ActionRecord, Cache};
use serde::{Deserialize, Serialize};

use crate::gpu::GpuId;
use crate::run::executor::job::ResourceUse;
use crate::run::inputs::fingerprint::Recipe;
use crate::run::provenance::Provenance;
use crate::run::state::history::Ledger;
use crate::run::status::{Reason, reasons};

/// Name of the extension of records that holds them.
const FACTS: &str = "facts";

/// Changed files of an input that are kept.
const MAX_FILES: usize = 20;

/// Facts of how a result was made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Reasons why it was made.
    pub why: Vec<Reason>,
    /// CPUs that the attempt was given.
    pub cpus: u32,
    /// GPUs that the attempt was given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuId>,
    /// Resources that its processes used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<ResourceUse>,
    /// Node of a cluster on which it was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Warnings of what its stage was given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Program, machine and commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
}

impl Facts {
    /// Facts of a result; those of results of earlier versions are not known.
    pub fn of(record: &ActionRecord) -> Facts {
        let facts = record.extensions.get(FACTS).cloned();
        facts.and_then(|facts| serde_json::from_value(facts).ok()).unwrap_or_default()
    }

    /// Adds them to the extensions of a record.
    pub(crate) fn add_to(&self, extensions: &mut serde_json::Map<String, serde_json::Value>) -> serde_json::Result<()> {
        extensions.insert(FACTS.to_owned(), serde_json::to_value(self)?);
        Ok(())
    }
}

/// Facts that all attempts of a run share.
#[derive(Debug, Default)]
pub struct RunFacts {
    /// Ledger as it was before the run, once something is to be made.
    ledger: OnceLock<Ledger>,
    /// Provenance of its results.
    pub provenance: Option<Provenance>,
}

impl RunFacts {
    /// Facts of a run whose results have this provenance.
    pub fn new(provenance: Option<Provenance>) -> RunFacts {
        RunFacts { ledger: OnceLock::new(), provenance }
    }

    /// Ledger as it was before the run; read when it is first asked for, before anything is started.
    pub fn ledger(&self, read: impl FnOnce() -> Ledger) -> &Ledger {
        self.ledger.get_or_init(read)
    }

    /// Reasons why the instance called `name` is made by `recipe`; only that it is forced, if it is.
    pub(crate) fn why(&self, cache: &Cache, name: &str, recipe: &Recipe, force: bool) -> Vec<Reason> {
        if force {
            return vec![Reason::Forced];
        }
        let Some(ledger) = self.ledger.get() else { return Vec::new() };
        // An earlier record that cannot be read explains nothing.
        let mut why = reasons(cache, ledger, name, recipe).unwrap_or_default();
        for reason in &mut why {
            if let Reason::Input { files, .. } = reason {
                files.truncate(MAX_FILES);
            }
        }
        why
    }
}
