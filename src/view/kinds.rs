//! The stage kinds as documentation.

use athanor_stages::kind::{Kind, Ports};
use athanor_stages::ports::Arity;
use serde_json::Value;

use crate::view::text::table;

/// Every kind with its first sentence.
pub(crate) fn list(kinds: &[&dyn Kind]) -> String {
    let rows: Vec<Vec<String>> =
        kinds.iter().map(|kind| vec![kind.name().to_owned(), first_sentence(kind.doc())]).collect();
    table(&["KIND", "WHAT IT DOES"], &rows)
}

fn first_sentence(doc: &str) -> String {
    let line = doc.lines().next().unwrap_or_default();
    line.split_once(". ").map_or_else(|| line.to_owned(), |(first, _)| format!("{first}."))
}

/// Documentation of a kind, its parameters, inputs and outputs.
pub(crate) fn describe(kind: &dyn Kind) -> String {
    let mut text = format!("{} (revision {})\n\n{}\n", kind.name(), kind.revision(), kind.doc());
    if kind.uses_all_cpus() {
        text += "\nIt is given all CPUs of the run, unless `resources.cpus` says how many.\n";
    }
    text += &parameters(&kind.params_schema().to_value());
    match kind.ports() {
        Ports::Declared => {
            text +=
                "\nInputs and outputs: as the stage declares, each a file, a folder, or files that belong together.\n";
        }
        Ports::Fixed { inputs, outputs, outputs_vary } => {
            text += "\nInputs\n";
            for port in inputs {
                let number = match port.arity {
                    Arity::One => String::new(),
                    Arity::Optional => ", optional".to_owned(),
                    Arity::Many => ", one or more".to_owned(),
                };
                text += &entry(&port.name, &format!("{}{number}", port.artifact.noun()), &port.doc);
            }
            text += if outputs_vary { "\nOutputs, as the parameters decide\n" } else { "\nOutputs\n" };
            for port in outputs {
                let may = if port.optional { ", not always written" } else { "" };
                text += &entry(&port.name, &format!("{}{may}: {}", port.artifact.noun(), port.file), &port.doc);
            }
        }
    }
    text
}

fn parameters(schema: &Value) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object).filter(|map| !map.is_empty()) else {
        return "\nParameters: none.\n".to_owned();
    };
    let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut text = "\nParameters\n".to_owned();
    for (name, property) in properties {
        let presence = match property.get("default") {
            Some(default) => format!(", default {}", short(default)),
            None if required.contains(&Value::from(name.as_str())) => ", required".to_owned(),
            None => ", optional".to_owned(),
        };
        let doc = property.get("description").and_then(Value::as_str).unwrap_or_default();
        text += &entry(name, &format!("{}{presence}", type_of(property, schema)), doc);
    }
    text
}

fn type_of(property: &Value, root: &Value) -> String {
    let reference = property.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    if let Some(target) = reference.and_then(|path| root.pointer(path)) {
        return type_of(target, root);
    }
    if let Some(names) = property.get("enum").and_then(Value::as_array) {
        return names.iter().map(short).collect::<Vec<_>>().join(" or ");
    }
    for union in ["oneOf", "anyOf"] {
        if let Some(options) = property.get(union).and_then(Value::as_array) {
            return options.iter().map(|option| type_of(option, root)).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(value) = property.get("const") {
        return short(value);
    }
    match property.get("type") {
        Some(Value::String(name)) if name == "array" => {
            format!("list of {}", property.get("items").map_or("anything".to_owned(), |items| type_of(items, root)))
        }
        Some(Value::String(name)) => name.clone(),
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "anything".to_owned(),
    }
}

fn short(value: &Value) -> String {
    const LIMIT: usize = 60;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if text.chars().count() <= LIMIT { text } else { text.chars().take(LIMIT).chain(['…']).collect() }
}

fn entry(name: &str, what: &str, doc: &str) -> String {
    let doc: String = doc.lines().map(|line| format!("      {line}\n")).collect();
    format!("  {name}: {what}\n{doc}")
}
