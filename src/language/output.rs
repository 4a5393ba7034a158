//! Outputs as a stage declares them: a path each, or files that belong together.

use serde_json::json;

use super::diagnostic::Diagnostic;
use super::node::{Node, Value};
use super::shape::{Shape, Typed, or_expression, read_keys};
use super::span::Span;

/// Key of the names of files that belong together.
const FILES: &str = "files";

/// An output as it is written: a path, or `{ files: [NAME, …] }`, with or without expressions.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredOutput {
    /// As written.
    pub node: Node,
}

/// An output whose expressions are evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutputFiles {
    /// Path of a file or folder.
    One(String),
    /// Names of files that belong together, each with its place.
    Group(Vec<(String, Span)>),
}

impl OutputFiles {
    /// Reads an evaluated output, reporting every mistake in its form.
    pub(crate) fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<OutputFiles> {
        if node.entries().is_none() {
            let path = String::parse(&node.value).map_err(|message| problems.push(Diagnostic::new(node.span, message)));
            return path.ok().map(OutputFiles::One);
        }
        let before = problems.len();
        let required = [(FILES, "names of files that belong together, such as `[x.bam, x.bam.bai]`")];
        read_keys(node, "an output", &[FILES], &required, problems)?;
        let names = node.get(FILES).map(|files| names(files, problems)).unwrap_or_default();
        (problems.len() == before).then_some(OutputFiles::Group(names))
    }
}

/// The names in a list.
fn names(files: &Node, problems: &mut Vec<Diagnostic>) -> Vec<(String, Span)> {
    let help = "such as `{ files: [x.bam, x.bam.bai] }`";
    let Value::List(items) = &files.value else {
        let message = format!("`files` is a list of names, not {}", files.value.noun());
        problems.push(Diagnostic::new(files.span, message).help(help));
        return Vec::new();
    };
    if items.is_empty() {
        let message = "`files` is empty: an output has at least one file";
        problems.push(Diagnostic::new(files.span, message).help(help));
    }
    let name = |item: &Node| match String::parse(&item.value) {
        Ok(name) => Some((name, item.span)),
        Err(message) => {
            problems.push(Diagnostic::new(item.span, message));
            None
        }
    };
    items.iter().filter_map(name).collect()
}

impl Shape for DeclaredOutput {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        // Where there are expressions, only what they give can be checked.
        if !has_expression(node) {
            OutputFiles::read(node, problems)?;
        }
        Some(DeclaredOutput { node: node.clone() })
    }

    fn schema() -> serde_json::Value {
        let name = String::schema();
        let names = json!({ "type": "array", "items": name, "minItems": 1, "uniqueItems": true });
        let group = json!({
            "type": "object",
            "properties": { FILES: or_expression(names) },
            "required": [FILES],
            "additionalProperties": false,
        });
        json!({ "anyOf": [String::schema(), group] })
    }
}

fn has_expression(node: &Node) -> bool {
    match &node.value {
        Value::Text(text) => text.contains("${{"),
        Value::List(items) => items.iter().any(has_expression),
        Value::Map(entries) => entries.iter().any(|entry| has_expression(&entry.value)),
        _ => false,
    }
}
