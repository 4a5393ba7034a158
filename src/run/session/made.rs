//! The latest result of an instance as it was made: what it cost, and where.

use std::collections::BTreeMap;

use athanor_cache::Digest;
use athanor_stages::context::ComputesOn;

use crate::run::attempts::attempt::COMPUTED_ON;
use crate::run::attempts::facts::Facts;
use crate::run::executor::job::ResourceUse;

use super::{RunError, Session};

/// Costs of a result, and where it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Made {
    /// Duration of the work.
    pub duration_ms: u64,
    /// Resources that its processes used, where it is known.
    pub used: Option<ResourceUse>,
    /// Node of a cluster on which it was made.
    pub node: Option<String>,
    /// Warnings of what its stage was given.
    pub warnings: Vec<String>,
    /// Device, instruction set and precision, of kinds that report them.
    pub computed_on: Option<ComputesOn>,
}

impl Session<'_> {
    /// How the latest result of the instance was made; `None` if there is no result.
    pub fn made(&self, instance: &str) -> Result<Option<Made>, RunError> {
        let ledger = self.ledger()?;
        let Some(fingerprint) = ledger.instances.get(instance).and_then(|entry| entry.fingerprint) else {
            return Ok(None);
        };
        let Some(mut record) = self.project.cache.read_record(&fingerprint)? else { return Ok(None) };
        let Facts { used, node, warnings, .. } = Facts::of(&record);
        let on = record.extensions.remove(COMPUTED_ON);
        let computed_on = on.and_then(|on| serde_json::from_value(on).ok());
        Ok(Some(Made { duration_ms: record.duration_ms, used, node, warnings, computed_on }))
    }

    /// Warnings of the wanted instances that have these results, by instance, of kinds that warn.
    pub fn warnings(&self, results: &[Option<Digest>]) -> Result<BTreeMap<String, Vec<String>>, RunError> {
        let mut warnings = BTreeMap::new();
        for id in &self.wanted {
            let instance = &self.plan.instances[id.index()];
            let Some(fingerprint) = results[id.index()].filter(|_| instance.kind.warns()) else { continue };
            let record = self.project.cache.read_record(&fingerprint)?;
            let of_it = record.map(|record| Facts::of(&record).warnings).unwrap_or_default();
            if !of_it.is_empty() {
                warnings.insert(instance.name.clone(), of_it);
            }
        }
        Ok(warnings)
    }
}
