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

/// Filters that make text of their first argument.
const OF_TEXT: [&str; 10] =
    ["capitalize", "e", "escape", "indent", "lower", "replace", "safe", "title", "trim", "upper"];

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
    environment.add_filter("format", |arguments: Rest<ValueOrKwargs>| {
        let words: Vec<EngineValue> = arguments.into_values().iter().map(in_words).collect();
        ENGINE.empty_state().apply_filter("format", &words)
    });
    for name in OF_TEXT {
        environment.add_filter(name, move |_: &State<'_, '_>, arguments: Rest<ValueOrKwargs>| {
            let mut arguments = arguments.into_values();
            if let Some(first) = arguments.first_mut() {
                *first = as_text(first)?;
            }
            ENGINE.empty_state().apply_filter(name, &arguments)
        });
    }
    environment
}

/// The engine's `join`, of text.
fn join(arguments: Rest<ValueOrKwargs>) -> Result<EngineValue, Error> {
    let mut state = ENGINE.empty_state();
    let (named, plain): (Vec<EngineValue>, Vec<EngineValue>) =
        arguments.into_values().into_iter().partition(EngineValue::is_kwargs);
    let named: Option<Kwargs> = named.into_iter().next().map(Kwargs::try_from).transpose()?;
    let mut plain = plain.into_iter();
    let (values, joiner, attribute) = (plain.next().unwrap_or_default(), plain.next(), plain.next());
    let attribute = match (attribute, named) {
        (None, Some(named)) => {
            let attribute = named.get::<Option<EngineValue>>("attribute")?;
            named.assert_all_used()?;
            attribute
        }
        (attribute, _) => attribute,
    };
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

/// A value as text. What is undefined is not, and stays for others to find.
fn as_text(value: &EngineValue) -> Result<EngineValue, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Bytes | ValueKind::Undefined | ValueKind::Invalid => Ok(value.clone()),
        _ => match from_engine_value(value, Span::default()) {
            Ok(node) => Ok(EngineValue::from(written(&node.value))),
            Err(UnsupportedValue::TooLarge) => Err(Error::new(ErrorKind::InvalidOperation, bounds::too_large())),
            // A whole number of more than 64 bits.
            Err(UnsupportedValue::Number | UnsupportedValue::NotYaml) => Ok(EngineValue::from(value.to_string())),
        },
    }
}

/// The value, with words in the place of truth values and of null; those of a mapping, too.
fn in_words(value: &EngineValue) -> EngineValue {
    match value.kind() {
        ValueKind::Bool => EngineValue::from(value.is_true().to_string()),
        ValueKind::None => EngineValue::from("null"),
        ValueKind::Map => {
            let keys = value.try_iter().into_iter().flatten();
            let words = keys.filter_map(|key| Some((key.to_string(), in_words(&value.get_item(&key).ok()?))));
            match value.is_kwargs() {
                true => EngineValue::from(Kwargs::from_iter(words)),
                false => EngineValue::from_pairs(words),
            }
        }
        _ => value.clone(),
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
