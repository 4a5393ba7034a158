//! Mistakes in evaluated values: they show the value, which the text does not.

use crate::language::expression::Template;
use crate::language::node::{Node, Value};
use crate::language::scope::Scope;
use crate::language::{Diagnostic, SourceText};

/// Length of a value above which only its beginning is shown, in characters.
const LONGEST: usize = 60;

/// The mistake about the value of `template`, with the value if that was evaluated.
pub(super) fn with_value(problem: Diagnostic, value: &Value, template: &Template<'_>, scope: &Scope) -> Diagnostic {
    if template.is_constant() {
        return problem;
    }
    let mut expressions = Vec::new();
    template.visit(&mut |compiled| expressions.push(compiled.source.as_str()));
    let problem = showing(problem, value);
    match expressions[..] {
        [expression] => with_help(problem, expression, scope),
        _ => problem,
    }
}

/// The mistakes about values in the evaluated `params`, with the values that are written as expressions.
pub(super) fn with_values(problems: &mut [Diagnostic], params: &Node, texts: &[SourceText], scope: &Scope) {
    for problem in problems {
        let span = problem.span();
        let text = texts.get(span.source as usize).and_then(|text| text.text.get(span.range())).unwrap_or_default();
        let Some(open) = text.find("${{") else { continue };
        let Some(node) = scalar_at(params, problem) else { continue };
        let expression = text[open + 3..].split("}}").next().unwrap_or_default().trim();
        *problem = with_help(showing(problem.clone(), &node.value), expression, scope);
    }
}

/// The scalar or list below `node` that a mistake lies at.
fn scalar_at<'n>(node: &'n Node, problem: &Diagnostic) -> Option<&'n Node> {
    match &node.value {
        Value::Map(entries) => entries.iter().find_map(|entry| scalar_at(&entry.value, problem)),
        _ if node.span == problem.span() => Some(node),
        Value::List(items) => items.iter().find_map(|item| scalar_at(item, problem)),
        _ => None,
    }
}

fn showing(mut problem: Diagnostic, value: &Value) -> Diagnostic {
    let plain = value
        .scalar_text()
        .unwrap_or_else(|| Node { value: value.clone(), span: problem.span() }.to_json().to_string());
    if *value == Value::Null || problem.message.contains(&format!("`{plain}`")) {
        return problem;
    }
    let clipped: String = plain.chars().take(LONGEST).collect();
    let more = if clipped.len() < plain.len() { "…" } else { "" };
    problem.message += &format!("; the value is `{clipped}{more}`");
    problem
}

/// Adds what an axis over a mapping gives, if the expression is such an axis.
fn with_help(problem: Diagnostic, expression: &str, scope: &Scope) -> Diagnostic {
    let axis = expression.strip_prefix("matrix.").map(str::trim);
    let Some((axis, value)) = axis.and_then(|axis| Some((axis, scope.value_of_key(axis)?))) else { return problem };
    let help = match &value.value {
        Value::Map(entries) => {
            let names: Vec<String> =
                entries.iter().take(8).map(|entry| format!("`matrix.{axis}.{}`", entry.key.name)).collect();
            format!(
                "`matrix.{axis}` is a key of the mapping that the axis goes over; its values are {}",
                names.join(", ")
            )
        }
        other => {
            let value = other.scalar_text().unwrap_or_else(|| value.to_json().to_string());
            format!(
                "`matrix.{axis}` is a key of the mapping that the axis goes over, and its value is `{value}`: `vars.MAPPING[matrix.{axis}]`"
            )
        }
    };
    let help = problem.help.as_ref().map_or_else(|| help.clone(), |known| format!("{known}; {help}"));
    problem.help(help)
}
