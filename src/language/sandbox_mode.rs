//! Whether a sandbox is on, as pipeline files and settings write it.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::node::Value;
use super::shape::Typed;

/// Whether a stage's process is kept from files that it does not declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxMode {
    /// It is.
    #[default]
    On,
    /// It may read and write as the user may.
    Off,
}

impl SandboxMode {
    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            SandboxMode::On => "on",
            SandboxMode::Off => "off",
        }
    }
}

/// `on` or `off`, which YAML 1.1 took for truth values.
impl Typed for SandboxMode {
    fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::Bool(true) => Ok(SandboxMode::On),
            Value::Bool(false) => Ok(SandboxMode::Off),
            Value::Text(text) if text == SandboxMode::On.name() => Ok(SandboxMode::On),
            Value::Text(text) if text == SandboxMode::Off.name() => Ok(SandboxMode::Off),
            Value::Text(text) => Err(format!("`{text}` is neither `on` nor `off`")),
            other => Err(format!("expected `on` or `off`, not {}", other.noun())),
        }
    }

    fn schema() -> serde_json::Value {
        json!({ "enum": [SandboxMode::On.name(), SandboxMode::Off.name(), true, false] })
    }
}
