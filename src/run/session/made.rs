//! The latest result of an instance as it was made: what it cost, and where.

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
        let Facts { used, node, .. } = Facts::of(&record);
        let on = record.extensions.remove(COMPUTED_ON);
        let computed_on = on.and_then(|on| serde_json::from_value(on).ok());
        Ok(Some(Made { duration_ms: record.duration_ms, used, node, computed_on }))
    }
}
