//! Paths of folders as users write them.

use std::path::{Component, Path, PathBuf};

use crate::language::node::Value;
use crate::language::shape::Typed;

/// A folder's path, as written.
#[derive(Debug, Clone)]
pub(super) struct PathText(pub String);

impl Typed for PathText {
    fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => Ok(PathText(text.clone())),
            other => Err(format!("expected a path, not {}", other.noun())),
        }
    }

    fn schema() -> serde_json::Value {
        serde_json::json!({ "type": "string", "minLength": 1 })
    }
}

/// The folder that `written` stands for; `~` at its start is `home`. The error says what is wrong with it.
pub(super) fn folder(written: &Path, home: Option<&Path>) -> Result<PathBuf, String> {
    if written.as_os_str().is_empty() {
        return Err("expected the path of a folder, not an empty text".to_owned());
    }
    if written.as_os_str().as_encoded_bytes().contains(&0) {
        return Err("a path has no NUL character in it".to_owned());
    }
    let mut parts = written.components();
    let Some(Component::Normal(first)) = parts.next() else { return Ok(written.to_owned()) };
    if first == "~" {
        let home = home.ok_or("`~` stands for the home folder, and the variable `HOME` does not say where that is")?;
        return Ok(home.join(parts.as_path()));
    }
    if first.as_encoded_bytes().starts_with(b"~") {
        let first = first.display();
        return Err(format!("`{first}` is not expanded: write the path of that home folder, or `./{first}`"));
    }
    if first.as_encoded_bytes().starts_with(b"$") {
        let first = first.display();
        return Err(format!("`{first}` is not expanded: write the path, with `~` for the home folder, or `./{first}`"));
    }
    Ok(written.to_owned())
}
