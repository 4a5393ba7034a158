//! The folder on a cluster's nodes in which attempts work.

use crate::language::node::Value;
use crate::language::shape::Typed;

/// Path of a folder on a node, as written: absolute, or beginning with a variable that the node's jobs have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NodeFolder(pub String);

impl Typed for NodeFolder {
    fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) if text.starts_with('/') && !text.contains('$') => Ok(NodeFolder(text.clone())),
            Value::Text(text) if is_variable(text.split('/').next().unwrap_or_default()) => {
                Ok(NodeFolder(text.clone()))
            }
            Value::Text(_) => {
                Err("expected an absolute path, or one that begins with a variable of the nodes, such as \
                                   `$SLURM_TMPDIR`"
                    .to_owned())
            }
            other => Err(format!("expected the path of a folder on the nodes, not {}", other.noun())),
        }
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "pattern": "^(/[^$]*|\\$[A-Za-z_][A-Za-z0-9_]*(/[^$]*)?)$" })
    }
}

/// Whether this is `$NAME`.
fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix('$').unwrap_or_default();
    let is_of_name = |character: char| character == '_' || character.is_ascii_alphanumeric();
    !name.is_empty() && name.chars().all(is_of_name) && !name.starts_with(|first: char| first.is_ascii_digit())
}
