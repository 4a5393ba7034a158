//! JSON Schema of the language, for editors: derived from the definitions that parse it.

use athanor_stages::kind::{Kind, Ports};
use athanor_stages::ports::{Arity, InputPort};
use athanor_stages::registry;
use serde_json::{Map, Value, json};

use super::document::Document;
use super::shape::{FieldName, NameRule, Shape, or_expression};

/// Keys of stages that only commands have.
pub(super) const OF_COMMANDS: [&str; 11] = [
    "run",
    "shell",
    "reads",
    "outputs",
    "env",
    "env_passthrough",
    "versions",
    "container",
    "sandbox",
    "writes",
    "state",
];

/// The JSON Schema of a pipeline file, with the parameters and ports of every kind.
pub fn schema() -> Value {
    schema_with(registry::kinds())
}

/// As [`schema`], with these kinds.
pub fn schema_with(kinds: &[&dyn Kind]) -> Value {
    let mut schema = Document::schema();
    take_scalars_as_text(&mut schema);
    let mut definitions = Map::new();
    let rules: Vec<Value> = kinds.iter().map(|kind| rule(*kind, &mut definitions)).collect();
    if let Some(stage) = schema.pointer_mut("/properties/stages/additionalProperties").and_then(Value::as_object_mut) {
        stage.insert("allOf".to_owned(), rules.into());
        for (key, value) in [("matrix", matrix()), ("reads", reads())] {
            if let Some(property) = stage.get_mut("properties").and_then(|properties| properties.get_mut(key)) {
                *property = json!({ "description": property["description"], "anyOf": value });
            }
        }
        if let Some(kind) = stage.get_mut("properties").and_then(|properties| properties.get_mut("kind")) {
            let doc = |kind: &&dyn Kind| json!({ "const": kind.name(), "description": kind.doc() });
            *kind = json!({ "description": kind["description"], "oneOf": kinds.iter().map(doc).collect::<Vec<_>>() });
        }
    }
    if let Value::Object(map) = &mut schema {
        map.insert("$schema".to_owned(), "https://json-schema.org/draft/2020-12/schema".into());
        map.insert("title".to_owned(), "Athanor pipeline".into());
        map.insert("$defs".to_owned(), definitions.into());
    }
    schema
}

/// Allows numbers and truth values where a text is, as in `env: { N: 1 }`: they are read as they print. Only a description is text
/// alone.
fn take_scalars_as_text(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    if map.get("type").is_some_and(|name| name == "string") && !map.contains_key("pattern") && !map.contains_key("enum")
    {
        map.insert("type".to_owned(), json!(["string", "number", "boolean"]));
    }
    let properties = map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten();
    properties.filter(|(name, _)| *name != "description").for_each(|(_, value)| take_scalars_as_text(value));
    for word in ["items", "additionalProperties"] {
        map.get_mut(word).into_iter().for_each(take_scalars_as_text);
    }
    map.get_mut("anyOf").and_then(Value::as_array_mut).into_iter().flatten().for_each(take_scalars_as_text);
}

/// Text with an expression in it.
fn expression() -> Value {
    or_expression(json!(false))["anyOf"][1].clone()
}

/// The ways to write a matrix.
fn matrix() -> Value {
    let names = json!({ "pattern": FieldName::PATTERN });
    let point = json!({ "type": "object", "minProperties": 1, "propertyNames": names });
    let points = json!({ "anyOf": [{ "type": "array", "items": { "anyOf": [point, expression()] } }, expression()] });
    let axis = json!({ "anyOf": [
        { "type": "array", "minItems": 1 }, { "type": "object", "minProperties": 1 }, expression(),
    ] });
    json!([{ "type": "null" }, expression(), {
        "type": "object",
        "minProperties": 1,
        "propertyNames": names,
        "properties": { "include": points, "exclude": points },
        "additionalProperties": axis,
    }])
}

/// The ways to write what is read in place.
fn reads() -> Value {
    let text = json!({ "type": "string" });
    let keys = json!({ "anyOf": [{ "type": ["string", "null"] }, { "type": "array", "items": text }] });
    json!([{ "type": ["string", "null"] }, { "type": "array", "items": text }, {
        "type": "object",
        "additionalProperties": keys,
    }])
}

/// Rule for the keys of a stage of this kind, beside those of all stages.
fn rule(kind: &dyn Kind, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    let mut required: Vec<&str> = Vec::new();
    let params = params(kind, definitions);
    if params.get("required").and_then(Value::as_array).is_some_and(|names| !names.is_empty()) {
        required.push("params");
    }
    properties.insert("params".to_owned(), or_expression(params));
    match kind.ports() {
        Ports::Fixed { inputs, .. } => {
            if inputs.iter().any(|port| port.arity != Arity::Optional) {
                required.push("inputs");
            }
            properties.insert("inputs".to_owned(), inputs_schema(&inputs));
            for key in OF_COMMANDS {
                properties.insert(key.to_owned(), json!(false));
            }
        }
        Ports::Declared => {
            required.push("run");
            properties.insert("inputs".to_owned(), json!({ "additionalProperties": input_value() }));
        }
    }
    json!({
        "if": { "properties": { "kind": { "const": kind.name() } }, "required": ["kind"] },
        "then": { "properties": properties, "required": required },
    })
}

fn inputs_schema(ports: &[InputPort]) -> Value {
    let describe = |port: &InputPort| {
        let mut value = input_value();
        value["description"] = format!("{} ({})", port.doc, port.artifact.noun()).into();
        (port.name.clone(), value)
    };
    let required: Vec<&str> =
        ports.iter().filter(|port| port.arity != Arity::Optional).map(|port| port.name.as_str()).collect();
    json!({
        "type": "object",
        "properties": ports.iter().map(describe).collect::<Map<_, _>>(),
        "required": required,
        "additionalProperties": false,
    })
}

/// A stage or path, or several.
fn input_value() -> Value {
    let reads = json!([{ "type": ["string", "null"] }, { "type": "array", "items": { "type": "string" } }]);
    let writable = "Whether the stage gets a private copy that it may write to.";
    json!({ "anyOf": [reads[0], reads[1], {
        "type": "object",
        "properties": {
            "from": { "description": "Source of the input: a stage or a path, or several.", "anyOf": reads },
            "writable": { "description": writable, "default": false, "anyOf": [{ "type": "boolean" }, { "type": "string", "pattern": "\\$\\{\\{" }] },
        },
        "required": ["from"],
        "additionalProperties": false,
    }] })
}

/// The parameters' schema, where expressions may stand for values. Its definitions move to the root under the kind's name.
fn params(kind: &dyn Kind, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = kind.params_schema().to_value();
    if let Value::Object(map) = &mut schema {
        map.remove("$schema");
        map.remove("title");
        if let Some(Value::Object(own)) = map.remove("$defs") {
            for (name, mut definition) in own {
                relax(&mut definition, kind.name());
                definitions.insert(format!("{}.{name}", kind.name()), definition);
            }
        }
    }
    relax(&mut schema, kind.name());
    schema
}

/// Allows an expression for every value inside `schema`, and points its references to where the definitions are now.
fn relax(schema: &mut Value, kind: &str) {
    let Value::Object(map) = schema else { return };
    if let Some(Value::String(reference)) = map.get_mut("$ref")
        && let Some(name) = reference.strip_prefix("#/$defs/")
    {
        *reference = format!("#/$defs/{kind}.{name}");
    }
    for word in ["properties", "patternProperties"] {
        if let Some(Value::Object(properties)) = map.get_mut(word) {
            properties.values_mut().for_each(|value| relax_value(value, kind));
        }
    }
    for word in ["items", "additionalProperties"] {
        if let Some(value @ Value::Object(_)) = map.get_mut(word) {
            relax_value(value, kind);
        }
    }
    for word in ["anyOf", "oneOf", "allOf", "prefixItems"] {
        if let Some(Value::Array(alternatives)) = map.get_mut(word) {
            alternatives.iter_mut().for_each(|alternative| relax(alternative, kind));
        }
    }
}

fn relax_value(value: &mut Value, kind: &str) {
    relax(value, kind);
    let description = value.get("description").cloned();
    let default = value.get("default").cloned();
    let mut relaxed = or_expression(value.take());
    if let Value::Object(map) = &mut relaxed {
        // Editors show what stands at the top of a property's schema.
        map.extend(description.map(|text| ("description".to_owned(), text)));
        map.extend(default.map(|value| ("default".to_owned(), value)));
    }
    *value = relaxed;
}
