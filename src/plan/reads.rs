//! Paths of the project that a command declares to read in place.

use crate::language::Diagnostic;
use crate::language::Span;
use crate::language::node::{Node, Value};

use super::model::DeclaredRead;
use super::plain_path::plain_path;

/// Reads the evaluated value of `reads`: a list of paths, or a mapping from files to keys of theirs. Each comes with its place.
pub(super) fn declared(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Vec<(DeclaredRead, Span)>> {
    let before = problems.len();
    let mut reads = Vec::new();
    match &node.value {
        Value::Null => {}
        Value::List(items) => {
            for item in items {
                match item.text() {
                    Some(text) => reads.extend(read(text, None, item.span, problems)),
                    None => problems.push(expected("a path in `reads` is text", item)),
                }
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                let keys = match &entry.value.value {
                    Value::Null => None,
                    _ => keys_of(&entry.value, problems),
                };
                reads.extend(read(&entry.key.name, keys, entry.key.span, problems));
            }
        }
        _ => match node.text() {
            Some(text) => reads.extend(read(text, None, node.span, problems)),
            None => problems.push(expected("`reads` is a list of paths", node)),
        },
    }
    (problems.len() == before).then_some(reads)
}

fn expected(rule: &str, node: &Node) -> Diagnostic {
    let message = format!("{rule}, not {}", node.value.noun());
    Diagnostic::new(node.span, message).help("such as `[src/, params.yaml]`, or `{ params.yaml: [train.lr] }`")
}

fn keys_of(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Vec<String>> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if items.is_empty() {
        let message = "no key is listed, so that nothing of the file would count";
        problems
            .push(Diagnostic::new(node.span, message).help("list keys, or count all of it: `reads: [params.yaml]`"));
    }
    let mut keys = Vec::new();
    for item in items {
        match item.text().filter(|key| !key.is_empty()) {
            Some(key) => keys.push(key.to_owned()),
            None => {
                let message = match item.text() {
                    Some(_) => "an empty text is no key".to_owned(),
                    None => format!("a key is text, with dots into mappings, not {}", item.value.noun()),
                };
                problems.push(Diagnostic::new(item.span, message).help("such as `{ params.yaml: [train.lr] }`"));
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    Some(keys)
}

fn read(
    text: &str,
    keys: Option<Vec<String>>,
    span: Span,
    problems: &mut Vec<Diagnostic>,
) -> Option<(DeclaredRead, Span)> {
    let is_project = !text.is_empty() && text.split('/').all(|part| part.is_empty() || part == ".");
    match plain_path(text) {
        Ok(path) => Some((DeclaredRead { path, keys }, span)),
        Err(_) if is_project && !text.starts_with('/') => Some((DeclaredRead { path: ".".to_owned(), keys }, span)),
        Err(reason) => {
            let help = "`reads` declares files and folders of the project; what is outside of it can be an input";
            problems.push(Diagnostic::new(span, format!("`{text}` is {reason}")).help(help));
            None
        }
    }
}
