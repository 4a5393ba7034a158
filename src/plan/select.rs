//! Which instances a text such as `model[fold=0]` selects.

use super::model::{InstanceId, Plan};

/// Why a selector selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectError {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Plan {
    /// The instances that `text` (`stage`, or `stage[axis=value,…]`; axes left out select all) selects, by number.
    pub fn select(&self, text: &str) -> Result<Vec<InstanceId>, SelectError> {
        let ids = self.instances.iter().filter(|instance| instance.name == text).map(|instance| instance.id).collect();
        Ok(ids)
    }
}
