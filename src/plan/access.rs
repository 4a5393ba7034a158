//! Access of a command to files besides its own folder: the keys `sandbox` and `writes`.

use crate::language::expression::Template;
use crate::language::node::{Node, Value};
use crate::language::scope::Scope;
use crate::language::{Diagnostic, SandboxMode};

use super::evaluate::{Reported, evaluate};
use super::model::StageAccess;

/// The access of a stage at one point.
pub(super) fn access(
    sandbox: Option<&Template<'_>>,
    writes: Option<&Template<'_>>,
    scope: &Scope,
    problems: &mut Vec<Diagnostic>,
) -> Result<StageAccess, Reported> {
    let sandbox = evaluate::<SandboxMode>(sandbox, scope, problems);
    let writes = match writes {
        Some(template) => {
            template.evaluate(scope, problems).ok_or(Reported).and_then(|value| paths(&value, "writes", problems))
        }
        None => Ok(Vec::new()),
    };
    Ok(StageAccess { sandbox: sandbox?, writes: writes? })
}

/// The paths in the value of `key`: one, or a list.
fn paths(value: &Node, key: &str, problems: &mut Vec<Diagnostic>) -> Result<Vec<String>, Reported> {
    let items = match &value.value {
        Value::Null => &[],
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(value),
    };
    let before = problems.len();
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        match item.value.scalar_text() {
            Some(path) if path.is_empty() || path.contains('\0') => {
                problems.push(Diagnostic::new(item.span, format!("`{key}` names an empty path, or one with a NUL")));
            }
            Some(path) => match misread(&path) {
                Some(help) => {
                    let message = format!("`{key}` names `{path}`, which is no path of a file or folder");
                    problems.push(Diagnostic::new(item.span, message).help(help));
                }
                None => found.push(path),
            },
            None => {
                let message = format!("`{key}` is a path or a list of paths, not {}", item.value.noun());
                problems.push(Diagnostic::new(item.span, message).help(format!("write `{key}: [PATH, …]`")));
            }
        }
    }
    if problems.len() == before { Ok(found) } else { Err(Reported) }
}

/// Remedy for a path that was meant as something else: as a folder of that name it would be made without a word.
fn misread(path: &str) -> Option<&'static str> {
    if path.contains("://") {
        return Some("an address is not written to as a file: the network is open to every command");
    }
    if path.starts_with('$') || path.contains("${") {
        return Some("variables of a shell are not read here: write `~` for the home folder, or the path itself");
    }
    (path.starts_with('~') && path != "~" && !path.starts_with("~/"))
        .then_some("write the path of that user's folder, or `./~…`")
}
