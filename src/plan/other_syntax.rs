//! Warnings of a script's text that looks like an expression of another tool.

use std::collections::BTreeSet;

use crate::language::document::Stage;
use crate::language::expression::without_expressions;
use crate::language::shape::{FieldName, NameRule, Typed};
use crate::language::{Diagnostic, Language, Shell, SourceText, Span};

/// Names that begin such expressions, and what takes their place here.
const ROOTS: [(&str, &str); 9] = [
    ("vars", "vars"),
    ("matrix", "matrix"),
    ("inputs", "inputs"),
    ("input", "inputs"),
    ("outputs", "outputs"),
    ("output", "outputs"),
    ("resources", "resources"),
    ("params", "vars"),
    ("wildcards", "matrix"),
];

/// Warnings about the script of a stage.
pub(super) fn warnings(keys: &Stage, texts: &[SourceText]) -> Vec<Diagnostic> {
    let Some(text) = keys.run.as_ref().and_then(|run| run.node.text()) else { return Vec::new() };
    let span = keys.run.as_ref().map(|run| run.node.span).unwrap_or_default();
    let shell = keys.shell.as_ref().map_or(Ok(Shell::Default), |shell| Shell::parse(&shell.node.value));
    // Elsewhere such a text may be right: in Python `{params.x}` belongs to a formatted text.
    if !shell.is_ok_and(|shell| matches!(shell.language(), Language::Posix | Language::Bash)) || !text.contains('{') {
        return Vec::new();
    }
    let plain = without_expressions(text);
    let mut told = BTreeSet::new();
    let found = plain.match_indices('{').filter_map(|(at, _)| look_alike(&plain, at));
    let new = found.filter(|(written, _)| told.insert(written.clone()));
    new.map(|(written, meant)| {
        let message = format!("`{written}` is no expression: the shell gets it as it is written");
        let help = meant.map_or_else(
            || "an expression is written `${{ inputs.NAME }}`".to_owned(),
            |meant| format!("an expression is written `${{{{ {meant} }}}}`"),
        );
        Diagnostic::warning(place(&written, span, texts), message).help(help)
    })
    .collect()
}

/// The text with the brace at `at` that looks like an expression, and the expression that may be meant.
fn look_alike(text: &str, at: usize) -> Option<(String, Option<String>)> {
    let before = &text[..at];
    let is_double = text[at + 1..].starts_with('{');
    // Of two braces the outer one counts.
    if before.ends_with('{') {
        return None;
    }
    let has_dollar = before.ends_with('$');
    let inside = &text[at + 1 + usize::from(is_double)..];
    let end = inside.find('}')?;
    let (inner, close) = (inside[..end].trim(), if is_double { "}}" } else { "}" });
    inside[end..].starts_with(close).then_some(())?;
    let mut parts = inner.split('.');
    let root = parts.next()?;
    let (_, meant) = ROOTS.into_iter().find(|(known, _)| *known == root)?;
    let fields: Vec<&str> = parts.collect();
    let is_bare = matches!(root, "input" | "output") && !has_dollar && !is_double;
    if !fields.iter().all(|field| FieldName::accepts(field)) || (fields.is_empty() && !is_bare) {
        return None;
    }
    let begin = at - usize::from(has_dollar);
    let written = &text[begin..text.len() - inside.len() + end + close.len()];
    let meant = (!fields.is_empty()).then(|| format!("{meant}.{}", fields.join(".")));
    Some((written.to_owned(), meant))
}

/// The place of `written` in the scalar at `span`; all of it where quoting hides that.
fn place(written: &str, span: Span, texts: &[SourceText]) -> Span {
    let raw = texts.get(span.source as usize).and_then(|text| text.text.get(span.range())).unwrap_or_default();
    raw.find(written).map_or(span, |at| span.part(at..at + written.len()))
}

#[cfg(test)]
mod tests {
    use super::look_alike;

    fn found(text: &str) -> Vec<String> {
        let all = text.match_indices('{').filter_map(|(at, _)| look_alike(text, at));
        all.map(|(written, meant)| format!("{written} -> {}", meant.unwrap_or_default())).collect()
    }

    #[test]
    fn expressions_of_other_tools_are_known_and_shell_is_not() {
        assert_eq!(
            found("cat {input.x} {input} > ${outputs.y}"),
            ["{input.x} -> inputs.x", "{input} -> ", "${outputs.y} -> outputs.y",]
        );
        assert_eq!(
            found("{{ vars.n }} ${vars.a.b} {wildcards.id} {params.lr}"),
            [
                "{{ vars.n }} -> vars.n",
                "${vars.a.b} -> vars.a.b",
                "{wildcards.id} -> matrix.id",
                "{params.lr} -> vars.lr",
            ]
        );
        let shell = "awk '{print $1}' ${input} ${vars} {a,b}.txt {} {vars} {vars.} {input.x {{input}} jq '{input: .x}'";
        assert!(found(shell).is_empty(), "{:?}", found(shell));
    }
}
