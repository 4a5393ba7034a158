//! Values as literals of Python, for scripts of `shell: python`.

use crate::language::node::{Node, Value};

/// Construct in which the end of a piece of Python is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    /// Code, where a literal may stand, or a comment.
    Code,
    /// A text in quotes.
    Quoted,
    /// Right behind the prefix of a text, such as `f`, with which a value would be read otherwise.
    Prefixed,
}

/// Construct at the end of `before`, the beginning of a script.
pub(super) fn context(before: &str) -> Context {
    let bytes = before.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'#' => match before[at..].find('\n') {
                Some(end) => at += end,
                None => return Context::Code,
            },
            quote @ (b'"' | b'\'') => {
                let is_long = bytes[at..].starts_with(&[quote; 3]);
                match text_end(bytes, at + if is_long { 3 } else { 1 }, quote, is_long) {
                    Some(end) => at = end,
                    None => return Context::Quoted,
                }
            }
            _ => {}
        }
        at += 1;
    }
    let rest = before.trim_end_matches(|c: char| c.is_alphanumeric() || c == '_');
    let word = &before[rest.len()..];
    let is_prefix = (1..=2).contains(&word.len()) && word.chars().all(|c| "rRbBuUfFtT".contains(c));
    if is_prefix { Context::Prefixed } else { Context::Code }
}

/// Last byte of the text whose inside begins at `from`; a backslash takes the next byte with it in raw texts, too.
fn text_end(bytes: &[u8], from: usize, quote: u8, is_long: bool) -> Option<usize> {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            // The line is not Python; the text does not go on behind it.
            b'\n' if !is_long => return Some(at),
            byte if byte == quote && !is_long => return Some(at),
            byte if byte == quote && bytes[at..].starts_with(&[quote; 3]) => return Some(at + 2),
            _ => {}
        }
        at += 1;
    }
    None
}

/// A value as a literal, on one line.
pub(super) fn literal(value: &Node) -> String {
    match &value.value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        // Operators behind it would bind more tightly than its sign.
        Value::Number(number) if number.to_string().starts_with('-') => format!("({number})"),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Map(entries) => {
            let entry = |entry: &crate::language::node::Entry| {
                format!("{}: {}", quoted(&entry.key.name), literal(&entry.value))
            };
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                quoted.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// Texts of a script in quotes, without their quotes: among them are the paths that it opens.
pub(super) fn texts(script: &str) -> Vec<&str> {
    let bytes = script.as_bytes();
    let mut texts = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'#' => at += script[at..].find('\n').unwrap_or(script.len() - at),
            quote @ (b'"' | b'\'') => {
                let is_long = bytes[at..].starts_with(&[quote; 3]);
                let from = at + if is_long { 3 } else { 1 };
                let Some(end) = text_end(bytes, from, quote, is_long) else { break };
                let close = if is_long { end - 2 } else { end };
                texts.extend(script.get(from..close));
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    texts
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;
    use crate::language::Span;

    fn node(value: Value) -> Node {
        Node { value, span: Span::default() }
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let scalar = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-9_000_000..9_000_000).prop_map(|number: i32| Value::from(f64::from(number) / 8.0)),
            "[ -~'\"\\\\\\n\\r\\t\u{0}\u{1b}\u{85}\u{2028}é日😀${}#]{0,16}".prop_map(Value::from),
        ];
        scalar.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z'\\\\ \n]{0,4}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn tree(value: &serde_json::Value) -> Node {
        use crate::language::node::{Entry, Key};
        let entry = |(name, value): (&String, &serde_json::Value)| Entry {
            key: Key { name: name.clone(), span: Span::default() },
            value: tree(value),
        };
        node(match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => Value::Number(number.clone()),
            serde_json::Value::String(text) => Value::Text(text.clone()),
            serde_json::Value::Array(items) => Value::List(items.iter().map(tree).collect()),
            serde_json::Value::Object(map) => Value::Map(map.iter().map(entry).collect()),
        })
    }

    /// The value as Python reads it; `None` where there is no Python.
    fn read_back(script: &str) -> Option<serde_json::Value> {
        let output =
            Command::new("python3").args(["-c", &format!("import json\nprint(json.dumps({script}))")]).output();
        let output = output.ok()?;
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        Some(serde_json::from_slice(&output.stdout).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn python_reads_back_the_very_values(values in prop::collection::vec(value(), 12)) {
            let all = serde_json::Value::Array(values);
            let written = literal(&tree(&all));
            prop_assert!(!written.contains('\n'));
            if let Some(read) = read_back(&written) {
                prop_assert_eq!(read, all);
            }
        }

        #[test]
        fn no_script_is_too_strange(before in "[a '\"#\\\\\nrf(é]{0,24}") {
            let _ = (context(&before), texts(&before));
        }
    }

    #[test]
    fn signs_bind_tightly() {
        let minus = literal(&node(Value::Number((-2).into())));
        assert_eq!(read_back(&format!("{minus} ** 2")).unwrap_or_else(|| 4.into()), 4);
    }

    #[test]
    fn texts_are_told_from_code() {
        for before in
            ["x = ", "# it's ", "'a' + ", "'''a'b''' + ", "r'\\'' + ", "f(\"it's\", ", "'open\n", "''", "f ", "# f"]
        {
            assert_eq!(context(before), Context::Code, "{before}");
        }
        for before in ["x = f", "r", "(Rb"] {
            assert_eq!(context(before), Context::Prefixed, "{before}");
        }
        for before in ["'", "\"it's ", "'''a' \"", "f'", "x = \"\"\"\n# "] {
            assert_eq!(context(before), Context::Quoted, "{before}");
        }
        assert_eq!(texts("f('a.csv', \"b\\\"\") # 'c'\n'''d'''"), ["a.csv", "b\\\"", "d"]);
    }
}
