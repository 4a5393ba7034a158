//! Reference of the language as text: prose with what the definitions say put into it.

use std::fmt::Write as _;

use serde_json::Value;

use super::document::{ContainerKeys, Document, IncludedFile, Profile, ResourceKeys, Stage};
use super::schema::OF_COMMANDS;
use super::shape::Shape;

/// The prose, with places for what is generated.
const PROSE: &str = include_str!("reference.md");

/// Expressions, and what they give for `vars: { n: 3, words: [b, a], model: { arch: resnet18 } }`.
const EXPRESSIONS: [(&str, &str); 25] = [
    ("vars.n * 2 + 1", "7"),
    ("vars.n / 2", "1.5"),
    ("vars.n // 2", "1"),
    ("'fold' ~ vars.n", "\"fold3\""),
    ("'large-' ~ (vars.n > 2)", "\"large-true\""),
    ("vars.words[0]", "\"b\""),
    ("vars.model.arch", "\"resnet18\""),
    ("vars.model['arch']", "\"resnet18\""),
    ("vars.words | length", "2"),
    ("vars.words | sort", "[\"a\",\"b\"]"),
    ("vars.words | join(',')", "\"b,a\""),
    ("vars.words + ['c']", "[\"b\",\"a\",\"c\"]"),
    ("vars.words | first", "\"b\""),
    ("vars.words | map('upper') | list", "[\"B\",\"A\"]"),
    ("range(vars.n) | list", "[0,1,2]"),
    ("[1, 2, 3] | sum", "6"),
    ("[3, 1] | max", "3"),
    ("vars.missing | default(0)", "0"),
    ("vars.missing is defined", "false"),
    ("'a' in vars.words", "true"),
    ("'small' if vars.n < 5 else 'large'", "\"small\""),
    ("vars.model | items | list", "[[\"arch\",\"resnet18\"]]"),
    ("'a-b' | replace('-', '_')", "\"a_b\""),
    ("'a b' | split(' ') | list", "[\"a\",\"b\"]"),
    ("'7' | int + 1", "8"),
];

/// The reference, in Markdown.
pub fn reference() -> String {
    let mut text = String::new();
    for line in PROSE.lines() {
        let generated = match line.strip_prefix("{{").and_then(|line| line.strip_suffix("}}")) {
            Some("keys pipeline") => keys(&Document::schema()),
            Some("keys stage") => keys(&Stage::schema()),
            Some("keys container") => keys(&ContainerKeys::schema()),
            Some("keys resources") => keys(&ResourceKeys::schema()),
            Some("keys profile") => keys(&Profile::schema()),
            Some("keys included") => keys(&IncludedFile::schema()),
            Some("expressions") => expressions(),
            _ => {
                let list: Vec<String> = OF_COMMANDS.iter().map(|key| format!("`{key}`")).collect();
                line.replace("{{command keys}}", &list.join(", ")) + "\n"
            }
        };
        text += &generated;
    }
    text
}

/// A table of the keys in the schema of a mapping.
fn keys(schema: &Value) -> String {
    let mut table = "| key | value | meaning |\n| --- | --- | --- |\n".to_owned();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let meaning =
            property["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let needed = if required.contains(&name.as_str()) { "**Required.** " } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(table, "| `{name}` | {} | {needed}{} |", words(property), meaning.replace('|', "\\|"));
    }
    table
}

/// The values that a schema allows, in words.
fn words(schema: &Value) -> String {
    if let Some(value) = schema.get("const") {
        return format!("`{value}`");
    }
    if let Some(values) = schema["enum"].as_array().filter(|values| values.len() <= 8) {
        let values: Vec<String> = values
            .iter()
            .map(|value| format!("`{}`", value.as_str().map_or(value.to_string(), str::to_owned)))
            .collect();
        return values.join(", ");
    }
    if let Some(ways) = schema["anyOf"].as_array() {
        let mut all: Vec<String> = Vec::new();
        for way in ways.iter().filter(|way| !is_expression(way) && way["type"] != "null").map(words) {
            if !all.contains(&way) {
                all.push(way);
            }
        }
        return all.join(" or ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).filter(|one| *one != "null").collect(),
        _ => Vec::new(),
    };
    let words: Vec<String> = types.into_iter().map(|one| type_words(one, schema)).collect();
    if words.is_empty() { "any value".to_owned() } else { words.join(" or ") }
}

fn type_words(name: &str, schema: &Value) -> String {
    match name {
        "string" => "text".to_owned(),
        "integer" => "whole number".to_owned(),
        "boolean" => "`true`, `false`".to_owned(),
        "array" => format!("list of {}", words(&schema["items"])),
        "object" if schema["properties"].is_object() => "mapping".to_owned(),
        "object" => "mapping of names".to_owned(),
        other => other.to_owned(),
    }
}

/// Whether a schema allows text with an expression in it, as most do besides.
fn is_expression(schema: &Value) -> bool {
    schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("\\{\\{"))
}

fn expressions() -> String {
    let mut table = "With `vars: { n: 3, words: [b, a], model: { arch: resnet18 } }`:\n\n".to_owned();
    table += "| expression | gives |\n| --- | --- |\n";
    for (expression, value) in EXPRESSIONS {
        let _ = writeln!(table, "| `{}` | `{value}` |", expression.replace('|', "\\|"));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::{EXPRESSIONS, reference};
    use crate::language::SourceText;
    use crate::language::expression::Engine;
    use crate::language::node;
    use crate::language::scope::Scope;

    #[test]
    fn its_expressions_give_what_it_says() {
        let vars = node::parse("{ n: 3, words: [b, a], model: { arch: resnet18 } }", 0, 0).unwrap();
        let (engine, scope) = (Engine::new(), Scope::default().with("vars", &vars));
        for (expression, expected) in EXPRESSIONS {
            let text = SourceText { name: "test".to_owned(), text: format!("${{{{ {expression} }}}}") };
            let mut problems = Vec::new();
            let yaml = node::Node {
                value: node::Value::Text(text.text.clone()),
                span: crate::language::Span::new(0, 0..text.text.len()),
            };
            let template = engine.template(&yaml, &[text], &["vars"], &mut problems);
            let value = template.evaluate(&scope, &mut problems).map(|value| value.to_json().to_string());
            assert_eq!(value.as_deref(), Some(expected), "{expression}: {problems:?}");
        }
    }

    #[test]
    fn nothing_is_left_to_be_filled_in() {
        assert!(reference().lines().all(|line| !line.starts_with("{{")));
    }
}
