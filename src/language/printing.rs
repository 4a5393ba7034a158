//! Values of expressions as text, in YAML's words: `true` and `null`, where the engine would write Python's.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use athanor_stages::expression_tree::walk;
use minijinja::machinery::ast::{BinOpKind, Expr};
use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value as EngineValue};

use super::node::Value;
use super::scope::{UnsupportedValue, from_engine_value};
use super::{bounds, span::Span};

/// Filters that make text of their first arguments, and of how many.
const OF_TEXT: [(&str, usize); 12] = [
    ("capitalize", 1),
    ("e", 1),
    ("escape", 1),
    ("indent", 1),
    ("lines", 1),
    ("lower", 1),
    ("replace", 3),
    ("safe", 1),
    ("split", 1),
    ("title", 1),
    ("trim", 1),
    ("upper", 1),
];

/// The engine's own filters.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(strict);

/// An environment whose filters write values as YAML does.
pub(super) static FILTERS: LazyLock<Environment<'static>> = LazyLock::new(environment);

fn strict() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
}

/// A new environment whose filters write values as YAML does.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = strict();
    environment.add_filter("string", |value: EngineValue| as_text(&value));
    environment.add_filter("join", join);
    environment.add_filter("format", format);
    for (name, count) in OF_TEXT {
        environment.add_filter(name, move |_: &State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
            let mut arguments = arguments.into_values();
            for argument in arguments.iter_mut().take(count).filter(|argument| !argument.is_kwargs()) {
                *argument = as_text(argument)?;
            }
            ENGINE.empty_state().apply_filter(name, &arguments)
        });
    }
    environment
}

/// The engine's `join`, of text.
fn join(
    values: EngineValue,
    joiner: Option<EngineValue>,
    attribute: Option<EngineValue>,
    named: Kwargs,
) -> Result<EngineValue, Error> {
    let mut state = ENGINE.empty_state();
    let joiner = joiner.map_or_else(|| named.get::<Option<EngineValue>>("d"), |joiner| Ok(Some(joiner)))?;
    let attribute =
        attribute.map_or_else(|| named.get::<Option<EngineValue>>("attribute"), |attribute| Ok(Some(attribute)))?;
    named.assert_all_used()?;
    let joiner = joiner.map(|joiner| as_text(&joiner)).transpose()?;
    let values = match attribute {
        Some(name) => state.apply_filter("map", &[values, Kwargs::from_iter([("attribute", name)]).into()])?,
        None => values,
    };
    let texts = match values.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            EngineValue::from(values.try_iter()?.map(|item| as_text(&item)).collect::<Result<Vec<_>, _>>()?)
        }
        _ => values,
    };
    state.apply_filter("join", &[&[texts][..], joiner.as_slice()].concat())
}

/// The engine's `format`, in which `%s` writes values as YAML does.
fn format(arguments: Rest<ValueOrKwargs>) -> Result<EngineValue, Error> {
    let arguments = arguments.into_values();
    let apply = |arguments: &[EngineValue]| ENGINE.empty_state().apply_filter("format", arguments);
    // All at once, for the engine's messages about the template.
    let whole = apply(&arguments)?;
    let Some((template, values)) = arguments.split_first() else { return Ok(whole) };
    let like_template = |text: &str| match template.is_safe() {
        true => EngineValue::from_safe_string(text.to_owned()),
        false => EngineValue::from(text),
    };
    let mut rest = template.as_str().unwrap_or_default();
    let mut text = String::new();
    let mut positional = values.iter();
    while let Some(Placeholder { key, end }) = placeholder(rest) {
        let (piece, after) = rest.split_at(end);
        let value = match key {
            Some(key) => values.first().map(|mapping| mapping.get_attr(key)).transpose()?,
            None => positional.next().cloned(),
        };
        // Whole numbers are written alike, and keep their sign and zeros.
        let value = match value {
            Some(value) if piece.ends_with('s') && !value.is_integer() => Some(as_text(&value)?),
            value => value,
        };
        let value = match key {
            Some(key) => value.map(|value| EngineValue::from_pairs([(key.to_owned(), value)])),
            None => value,
        };
        text += apply(&[&[like_template(piece)][..], value.as_slice()].concat())?.as_str().unwrap_or_default();
        rest = after;
    }
    text += apply(&[like_template(rest)])?.as_str().unwrap_or_default();
    Ok(like_template(&text))
}

/// A place in a template of `format` for a value.
struct Placeholder<'t> {
    /// Name of the value; without one it is the next.
    key: Option<&'t str>,
    /// Where it ends in the template.
    end: usize,
}

/// The first placeholder of a template that the engine has read.
fn placeholder(template: &str) -> Option<Placeholder<'_>> {
    let mut start = template.find('%')?;
    while template[start..].starts_with("%%") {
        start += 2 + template[start + 2..].find('%')?;
    }
    let key = template[start..].strip_prefix("%(").and_then(|rest| rest.split_once(')')).map(|(key, _)| key);
    let conversion = start + key.map_or(1, |key| "%()".len() + key.len());
    let is_type = |c: char| c.is_ascii_alphabetic() && !matches!(c, 'h' | 'l' | 'L');
    Some(Placeholder { key, end: conversion + template[conversion..].find(is_type)? + 1 })
}

/// A value as text.
fn as_text(value: &EngineValue) -> Result<EngineValue, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Bytes | ValueKind::Invalid => Ok(value.clone()),
        ValueKind::Undefined => Err(ErrorKind::UndefinedError.into()),
        _ => match from_engine_value(value, Span::default()) {
            Ok(node) => Ok(EngineValue::from(written(&node.value))),
            Err(UnsupportedValue::TooLarge) => Err(Error::new(ErrorKind::InvalidOperation, bounds::too_large())),
            // A whole number of more than 64 bits.
            Err(UnsupportedValue::Number | UnsupportedValue::NotYaml) => Ok(EngineValue::from(value.to_string())),
        },
    }
}

/// A value as YAML writes it in one line.
fn written(value: &Value) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let inner = |value: &Value| if let Value::Text(text) = value { quoted(text) } else { written(value) };
    match value {
        Value::Null => "null".to_owned(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(|item| inner(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entry = |(name, value): (&str, &Value)| format!("{}: {}", quoted(name), inner(value));
            let entries = entries.iter().map(|entry| (entry.key.name.as_str(), &entry.value.value));
            format!("{{{}}}", entries.map(entry).collect::<Vec<_>>().join(", "))
        }
        Value::Text(_) | Value::Number(_) | Value::Bool(_) => value.scalar_text().unwrap_or_default(),
    }
}

/// The expression `source`, whose tree is `tree`, with text on both sides of each `~`: the engine lets nobody say how it writes values
/// there.
pub(super) fn with_texts_joined(source: &str, tree: &Expr<'_>) -> String {
    let mut places: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    walk(tree, &mut |part| {
        for operand in operands_to_write(source, part) {
            places.entry(operand.start).or_default().1 += 1;
            places.entry(operand.end).or_default().0 += 1;
        }
    });
    let mut text = String::with_capacity(source.len());
    let mut at = 0;
    for (place, (closing, opening)) in places {
        text.push_str(source.get(at..place).unwrap_or_default());
        (0..closing).for_each(|_| text.push_str(")|string "));
        (0..opening).for_each(|_| text.push('('));
        at = place;
    }
    text.push_str(source.get(at..).unwrap_or_default());
    text
}

/// Operands of a `~` that may be no text. Spans of operands are of no use for this: those of filters begin at the filter, and brackets
/// around an operand are outside of its span.
fn operands_to_write(source: &str, part: &Expr<'_>) -> Vec<Range<usize>> {
    let Expr::BinOp(operation) = part else { return Vec::new() };
    if !matches!(operation.op, BinOpKind::Concat) {
        return Vec::new();
    }
    let whole = operation.span();
    let (start, end) = (whole.start_offset as usize, whole.end_offset as usize);
    let left_end = operation.left.span().end_offset as usize;
    // Nothing but brackets that close is between the two.
    let Some(operator) = source.get(left_end..end).and_then(|rest| rest.find('~')).map(|at| left_end + at) else {
        return Vec::new();
    };
    let is_text = |operand: &Expr<'_>| match operand {
        Expr::Const(constant) => constant.value.as_str().is_some(),
        Expr::BinOp(operation) => matches!(operation.op, BinOpKind::Concat),
        _ => false,
    };
    let operands = [(&operation.left, start..operator), (&operation.right, operator + 1..end)];
    operands.into_iter().filter(|(operand, _)| !is_text(operand)).map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests {
    use minijinja::machinery::parse_expr;

    use super::*;

    #[test]
    fn each_side_of_a_tilde_becomes_text() {
        let joined = |source: &str| with_texts_joined(source, &parse_expr(source).unwrap());
        for (source, expected) in [
            ("a + b", "a + b"),
            ("'~' ~ 'b'", "'~' ~ 'b'"),
            ("'a'~b", "'a'~(b)|string "),
            ("1 + a|upper ~ b.c * 2 - 3", "1 + (a|upper )|string ~( b.c * 2)|string  - 3"),
            ("(a if b else 'c~') ~ -d[1] ~ 'e'", "((a if b else 'c~') )|string ~( -d[1])|string  ~ 'e'"),
            ("(a ~ ('b' ~ c)) ~ d is odd", "((a )|string ~ ('b' ~( c)|string )) ~( d is odd)|string "),
            ("x(a ~ b)if c", "x((a )|string ~( b)|string )if c"),
        ] {
            assert_eq!(joined(source), expected);
            parse_expr(&joined(source)).unwrap();
        }
    }
}
