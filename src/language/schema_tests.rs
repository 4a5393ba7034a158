//! Pipelines against the JSON Schema, by as much of a validator as the schema needs.

use std::path::Path;

use serde_json::{Value, json};

use super::node;
use super::schema::schema;
use super::shape::{FieldName, NameRule, StageName};

/// Whether a text fits one of the schema's patterns.
fn fits(pattern: &str, text: &str) -> bool {
    let words = |text: &str, extra: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
    match pattern {
        r"\$\{\{" => text.contains("${{"),
        r"\{0\}" => text.contains("{0}"),
        r"^\d+$" => !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()),
        pattern if pattern == FieldName::PATTERN => FieldName::accepts(text),
        pattern if pattern == StageName::PATTERN => StageName::accepts(text),
        "^(?!ATHANOR_)[A-Za-z_][A-Za-z0-9_]*$" => FieldName::accepts(text) && !text.starts_with("ATHANOR_"),
        "^[A-Za-z0-9_*]+$" => words(text, "_*"),
        "^[A-Za-z0-9_][A-Za-z0-9_.-]*$" => words(text, "_.-") && !text.starts_with(['.', '-']),
        "^([0-9]+(d|h|m|min|s|ms) *)+$" => super::quantity::parse_duration(text).is_ok(),
        "^[0-9.]+ *([kKMGT]i?)?[bB]$" => text.parse::<super::ByteSize>().is_ok(),
        other => panic!("a new pattern: {other}"),
    }
}

struct Validator {
    root: Value,
}

impl Validator {
    fn accepts(&self, schema: &Value, value: &Value) -> bool {
        let Value::Object(rules) = schema else { return schema != &json!(false) };
        rules.iter().all(|(word, rule)| self.holds(rules, word, rule, value))
    }

    fn holds(&self, rules: &serde_json::Map<String, Value>, word: &str, rule: &Value, value: &Value) -> bool {
        let each = |schemas: &Value| schemas.as_array().unwrap().iter().filter(|one| self.accepts(one, value)).count();
        let (object, list, text) = (value.as_object(), value.as_array(), value.as_str());
        match word {
            "$ref" => self.accepts(self.root.pointer(rule.as_str().unwrap().trim_start_matches('#')).unwrap(), value),
            "type" => {
                let names = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                names.iter().any(|name| is_of_type(name.as_str().unwrap(), value))
            }
            "const" => rule == value,
            "enum" => rule.as_array().unwrap().contains(value),
            "pattern" => text.is_none_or(|text| fits(rule.as_str().unwrap(), text)),
            "maxLength" => text.is_none_or(|text| text.chars().count() as u64 <= rule.as_u64().unwrap()),
            "minimum" => value.as_f64().is_none_or(|number| number >= rule.as_f64().unwrap()),
            "exclusiveMinimum" => value.as_f64().is_none_or(|number| number > rule.as_f64().unwrap()),
            "exclusiveMaximum" => value.as_f64().is_none_or(|number| number < rule.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= rule.as_f64().unwrap()),
            "minItems" => list.is_none_or(|list| list.len() as u64 >= rule.as_u64().unwrap()),
            "maxItems" => list.is_none_or(|list| list.len() as u64 <= rule.as_u64().unwrap()),
            "minProperties" => object.is_none_or(|map| map.len() as u64 >= rule.as_u64().unwrap()),
            "anyOf" => each(rule) > 0,
            "oneOf" => each(rule) == 1,
            "allOf" => each(rule) == rule.as_array().unwrap().len(),
            "not" => !self.accepts(rule, value),
            "then" => !self.accepts(&rules["if"], value) || self.accepts(rule, value),
            "required" => object
                .is_none_or(|map| rule.as_array().unwrap().iter().all(|name| map.contains_key(name.as_str().unwrap()))),
            "properties" => object.is_none_or(|map| {
                rule.as_object()
                    .unwrap()
                    .iter()
                    .all(|(name, rule)| map.get(name).is_none_or(|value| self.accepts(rule, value)))
            }),
            "propertyNames" => object.is_none_or(|map| map.keys().all(|name| self.accepts(rule, &json!(name)))),
            "patternProperties" => object.is_none_or(|map| {
                let rules = rule.as_object().unwrap();
                rules.iter().all(|(pattern, rule)| {
                    map.iter().filter(|(name, _)| fits(pattern, name)).all(|(_, value)| self.accepts(rule, value))
                })
            }),
            "additionalProperties" => object.is_none_or(|map| {
                let names = |word: &str| rules.get(word).and_then(Value::as_object);
                let is_known = |name: &str| {
                    names("properties").is_some_and(|known| known.contains_key(name))
                        || names("patternProperties")
                            .is_some_and(|known| known.keys().any(|pattern| fits(pattern, name)))
                };
                map.iter().filter(|(name, _)| !is_known(name)).all(|(_, value)| self.accepts(rule, value))
            }),
            "items" => list.is_none_or(|list| {
                let before = rules.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                list.iter().skip(before).all(|item| self.accepts(rule, item))
            }),
            "prefixItems" => list.is_none_or(|list| {
                rule.as_array().unwrap().iter().zip(list).all(|(rule, item)| self.accepts(rule, item))
            }),
            "if" | "title" | "description" | "default" | "format" | "uniqueItems" | "examples" | "$schema"
            | "$defs" => true,
            other => panic!("a new word: {other}"),
        }
    }
}

fn is_of_type(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("a new type: {other}"),
    }
}

fn accepts(text: &str) -> bool {
    let validator = Validator { root: schema() };
    validator.accepts(&validator.root, &node::parse(text, 0, 0).unwrap().to_json())
}

#[test]
fn shipped_pipelines_fit_the_schema() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(accepts(&std::fs::read_to_string(&path).unwrap()), "{}", path.display());
        count += 1;
    }
    assert!(count >= 7, "{count}");
    assert!(accepts(include_str!("../cli/init.yaml")));
}

#[test]
fn the_schema_takes_and_refuses_what_the_reader_does() {
    let stage = |more: &str| {
        format!("athanor: 1\nname: p\nstages: {{ a: {{ kind: command, run: x, outputs: {{ o: o }}, {more} }} }}")
    };
    let taken = [
        "env: { N: 1, T: true, F: 0.5, X: '${{ vars.x }}' }",
        "versions: [3, x]",
        "matrix: '${{ vars.m }}'",
        "matrix: { x: [1, [2]] }",
        "matrix: { m: { a: 1 }, include: [{ m: a, n: 1 }] }",
        "matrix: { x: '${{ vars.x }}', exclude: [{ x: 1 }] }",
        "reads: src/",
        "reads: [src/, a]",
        "reads: { p.yaml: [a.b], q.yaml: c, r.yaml: }",
        "when: '${{ vars.x }}'",
    ];
    let refused = [
        "env: { N: [1] }",
        "env: { N: }",
        "description: 5",
        "matrix: [1]",
        "matrix: {}",
        "matrix: { x: 5 }",
        "matrix: { x: [] }",
        "matrix: { x y: [1] }",
        "matrix: { x: [1], include: { x: 1 } }",
        "matrix: { x: [1], exclude: [{}] }",
        "reads: 5",
        "reads: [5]",
        "reads: { p.yaml: [5] }",
        "nope: 1",
        "when: 1",
    ];
    for more in taken {
        assert!(accepts(&stage(more)), "{more}");
    }
    for more in refused {
        assert!(!accepts(&stage(more)), "{more}");
    }
    let params = |params: &str| {
        format!("athanor: 1\nname: p\nstages: {{ a: {{ kind: rows, inputs: {{ table: t.csv }}, params: {params} }} }}")
    };
    assert!(accepts(&params("'${{ {vars.end: 5} }}'")) && accepts(&params("{ first: 5 }")));
    assert!(!accepts(&params("{ frist: 5 }")) && !accepts(&params("5")));
}
