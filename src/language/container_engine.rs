//! Engine that runs containers, as pipeline files write it.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::node::Value;
use super::shape::Typed;
use super::suggest;

/// Engine that runs the container of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContainerEngine {
    /// Podman.
    Podman,
    /// Docker.
    Docker,
    /// Apptainer, whose images are files.
    Apptainer,
}

impl ContainerEngine {
    /// All of them.
    pub const ALL: [ContainerEngine; 3] =
        [ContainerEngine::Podman, ContainerEngine::Docker, ContainerEngine::Apptainer];

    /// Its name, which is that of its program, too.
    pub const fn name(self) -> &'static str {
        match self {
            ContainerEngine::Podman => "podman",
            ContainerEngine::Docker => "docker",
            ContainerEngine::Apptainer => "apptainer",
        }
    }
}

impl Typed for ContainerEngine {
    fn parse(value: &Value) -> Result<Self, String> {
        let Value::Text(text) = value else {
            return Err(format!("expected `podman`, `docker` or `apptainer`, not {}", value.noun()));
        };
        let found = ContainerEngine::ALL.into_iter().find(|engine| engine.name() == text);
        found.ok_or_else(|| {
            let near = suggest::nearest(text, ContainerEngine::ALL.map(ContainerEngine::name));
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            format!("`{text}` is none of `podman`, `docker` and `apptainer`{near}")
        })
    }

    fn schema() -> serde_json::Value {
        json!({ "enum": ContainerEngine::ALL.map(ContainerEngine::name) })
    }
}
