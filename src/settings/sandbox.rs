//! Settings of the sandbox: whether there is one, and what all stages may read and write besides.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::language::node::{Node, Value};
use crate::language::shape::{Literal, Shape, Typed, keys};
use crate::language::{Diagnostic, SandboxMode, Span};

use super::folder::folder;

keys! {
    /// Settings of the sandbox.
    "`sandbox`"
    pub(crate) struct SandboxKeys {
        /// Whether commands are kept from files that they do not declare: `on` or `off`; `on` if left out.
        optional mode: Literal<SandboxMode>,
        /// Paths that every command may read besides: one, or a list. `~` is the home folder; a relative path starts in the
        /// project folder.
        optional reads: Literal<PathList>,
        /// Paths that every command may write to besides: one, or a list. `~` is the home folder; a relative path starts in the
        /// project folder.
        optional writes: Literal<PathList>,
    }
}

/// Whether there is a sandbox, or a mapping of its settings.
#[derive(Debug, Clone)]
pub(crate) struct SandboxSetting(pub SandboxKeys);

impl Shape for SandboxSetting {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Value::Map(_) = &node.value {
            return SandboxKeys::read(node, problems).map(SandboxSetting);
        }
        let mode = Some(Literal::read(node, problems)?);
        Some(SandboxSetting(SandboxKeys { span: node.span, unread: Vec::new(), mode, reads: None, writes: None }))
    }

    fn schema() -> Json {
        json!({ "anyOf": [SandboxMode::schema(), SandboxKeys::schema()] })
    }
}

/// Paths as they are written.
#[derive(Debug, Clone)]
pub(crate) struct PathList(Vec<String>);

impl Typed for PathList {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = |value: &Value| match value {
            Value::Text(text) => Ok(text.clone()),
            other => Err(format!("expected a path or a list of paths, not {}", other.noun())),
        };
        match value {
            Value::List(items) => items.iter().map(|item| text(&item.value)).collect::<Result<_, _>>().map(PathList),
            one => Ok(PathList(vec![text(one)?])),
        }
    }

    fn schema() -> Json {
        let path = json!({ "type": "string", "minLength": 1 });
        json!({ "anyOf": [path, { "type": "array", "items": path }] })
    }
}

impl PathList {
    /// The paths that these texts stand for; `~` at the start of one is `home`.
    pub(super) fn paths(&self, home: Option<&Path>) -> Result<Vec<PathBuf>, String> {
        self.0.iter().map(|written| path(written.as_ref(), home)).collect()
    }
}

/// The paths in a variable, with `:` between them.
pub(super) fn paths(value: &OsStr, home: Option<&Path>) -> Result<Vec<PathBuf>, String> {
    std::env::split_paths(value).filter(|part| !part.as_os_str().is_empty()).map(|part| path(&part, home)).collect()
}

fn path(written: &Path, home: Option<&Path>) -> Result<PathBuf, String> {
    folder(written, home).map_err(|message| message.replace("the path of a folder", "a path"))
}

/// The paths of a setting that is written at `span`; a mistake is reported there.
pub(super) fn read(
    written: &PathList,
    span: Span,
    home: Option<&Path>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<PathBuf>> {
    written.paths(home).map_err(|message| problems.push(Diagnostic::new(span, message))).ok()
}

/// Paths in one line; `none` if there are none.
pub(super) fn shown(paths: &[PathBuf]) -> String {
    let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(":") }
}
