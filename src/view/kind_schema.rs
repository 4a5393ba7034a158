//! The JSON Schema of a kind's parameters, in words: types, ranges, defaults, values with their meaning, fields, examples.

use serde_json::{Map, Value};

/// Characters of a default before it is cut.
const LONGEST_DEFAULT: usize = 60;
/// Depth of fields within fields that are shown.
const DEEPEST: usize = 3;

/// A parameter, or a field of one, in words.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name.
    pub name: String,
    /// Type, range and default.
    pub kind: String,
    /// Documentation.
    pub doc: String,
    /// Its values that have a meaning of their own.
    pub values: Vec<EntryValue>,
    /// Examples, as they are written.
    pub examples: Vec<String>,
    /// Fields of a mapping.
    pub fields: Vec<Entry>,
}

/// Value of a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EntryValue {
    /// The value, as it is written.
    pub value: String,
    /// Its meaning.
    pub meaning: String,
}

/// The parameters in a schema.
pub(crate) fn entries(schema: &Value) -> Vec<Entry> {
    Reader { root: schema }.entries(schema, 0)
}

struct Reader<'s> {
    root: &'s Value,
}

impl Reader<'_> {
    fn entries(&self, schema: &Value, depth: usize) -> Vec<Entry> {
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        let properties = properties.into_iter().flatten();
        properties.map(|(name, property)| self.entry(name, property, &required, depth)).collect()
    }

    fn entry(&self, name: &str, property: &Value, required: &[Value], depth: usize) -> Entry {
        let presence = match property.get("default") {
            Some(Value::Null) => "optional".to_owned(),
            Some(default) => format!("default {}", written(default)),
            None if required.iter().any(|required| required == name) => "required".to_owned(),
            None => "optional".to_owned(),
        };
        let mut values = Vec::new();
        self.values(property, &mut values);
        let fields = match self.alternatives(property).into_iter().find(|target| target.get("properties").is_some()) {
            Some(target) if depth < DEEPEST => self.entries(target, depth + 1),
            _ => Vec::new(),
        };
        let examples = property.get("examples").and_then(Value::as_array).into_iter().flatten();
        Entry {
            name: name.to_owned(),
            kind: format!("{}, {presence}", self.kind(property)),
            doc: text(property, "description"),
            values,
            examples: examples.map(example).collect(),
            fields,
        }
    }

    /// The schema that a reference points to, or the schema itself.
    fn resolved<'v>(&'v self, schema: &'v Value) -> &'v Value {
        let path = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
        path.and_then(|path| self.root.pointer(path)).unwrap_or(schema)
    }

    /// The alternatives of a schema, without null.
    fn alternatives<'v>(&'v self, schema: &'v Value) -> Vec<&'v Value> {
        let schema = self.resolved(schema);
        for union in ["oneOf", "anyOf"] {
            if let Some(options) = schema.get(union).and_then(Value::as_array) {
                return options
                    .iter()
                    .filter(|option| !is_null(option))
                    .flat_map(|one| self.alternatives(one))
                    .collect();
            }
        }
        vec![schema]
    }

    /// Type and range in words.
    fn kind(&self, schema: &Value) -> String {
        let mut words: Vec<String> = Vec::new();
        for option in self.alternatives(schema) {
            let word = self.kind_of_one(option);
            if !words.contains(&word) {
                words.push(word);
            }
        }
        let mut kind = words.join(" or ");
        // A choice among values that stands beside a property's own range, as of an optional number.
        if self.resolved(schema).get("type").is_none() || words.len() > 1 {
            kind += &range(schema);
        }
        kind
    }

    fn kind_of_one(&self, schema: &Value) -> String {
        if let Some(names) = schema.get("enum").and_then(Value::as_array) {
            return names.iter().filter(|name| !name.is_null()).map(written).collect::<Vec<_>>().join(" or ");
        }
        if let Some(value) = schema.get("const") {
            return written(value);
        }
        let names: Vec<&str> = match schema.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => {
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
            }
            _ => return "anything".to_owned(),
        };
        names.iter().map(|name| self.word(name, schema)).collect::<Vec<_>>().join(" or ") + &range(schema)
    }

    fn word(&self, name: &str, schema: &Value) -> String {
        match name {
            "string" => "text".to_owned(),
            "boolean" => "true or false".to_owned(),
            "array" => self.list(schema),
            "object" => match schema.get("additionalProperties").filter(|values| values.is_object()) {
                Some(values) => format!("mapping of names to {}", self.kind(values)),
                None => "mapping".to_owned(),
            },
            other => other.to_owned(),
        }
    }

    fn list(&self, schema: &Value) -> String {
        if let Some(items) = schema.get("prefixItems").and_then(Value::as_array) {
            return format!("[{}]", items.iter().map(|item| self.kind(item)).collect::<Vec<_>>().join(", "));
        }
        format!("list of {}", schema.get("items").map_or("anything".to_owned(), |items| self.kind(items)))
    }

    /// The values that have a meaning of their own.
    fn values(&self, schema: &Value, values: &mut Vec<EntryValue>) {
        let resolved = self.resolved(schema);
        if let Some(items) = resolved.get("items") {
            return self.values(items, values);
        }
        for union in ["oneOf", "anyOf"] {
            let Some(options) = resolved.get(union).and_then(Value::as_array) else { continue };
            let several = options.iter().filter(|option| !is_null(option)).count() > 1;
            for option in options.iter().filter(|option| !is_null(option)) {
                let doc = text(option, "description");
                if option.get("const").is_some() || (several && option.get("$ref").is_none() && !doc.is_empty()) {
                    let meaning = doc.split_whitespace().collect::<Vec<_>>().join(" ");
                    values.push(EntryValue { value: self.kind(option), meaning });
                } else {
                    self.values(option, values);
                }
            }
        }
    }
}

fn is_null(schema: &Value) -> bool {
    schema.get("type").is_some_and(|name| name == "null")
}

fn text(schema: &Value, key: &str) -> String {
    schema.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Range of a number, or of the length of a list, as the end of a phrase.
fn range(schema: &Value) -> String {
    let number = |key: &str| schema.get(key).filter(|value| value.is_number()).map(plain);
    let least = number("minimum").map(|least| (least, true)).or(number("exclusiveMinimum").map(|least| (least, false)));
    let most = number("maximum").map(|most| (most, true)).or(number("exclusiveMaximum").map(|most| (most, false)));
    // The range of a type says nothing about what is meant.
    let of_type = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => ("0", "255"),
        Some("uint16") => ("0", "65535"),
        Some(name) if name.starts_with("uint") => ("0", ""),
        _ => ("", ""),
    };
    let least = least.filter(|(least, _)| least != of_type.0);
    let most = most.filter(|(most, _)| most != of_type.1);
    match (least, most) {
        (None, None) => String::new(),
        (Some((least, true)), None) => format!(", at least {least}"),
        (Some((least, false)), None) => format!(", above {least}"),
        (None, Some((most, true))) => format!(", at most {most}"),
        (None, Some((most, false))) => format!(", below {most}"),
        (Some((least, least_is_in)), Some((most, most_is_in))) => {
            let from = if least_is_in { format!("from {least}") } else { format!("above {least}") };
            let to = if most_is_in { format!("to {most}") } else { format!("to below {most}") };
            format!(", {from} {to}")
        }
    }
}

/// A number without a fraction that says nothing.
fn plain(value: &Value) -> String {
    let text = value.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// An example as a pipeline file has it, whole.
fn example(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(example).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {}", example(value))).collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// A value as a pipeline file has it, cut if it is long.
fn written(value: &Value) -> String {
    let text = match value {
        Value::String(text) if !text.is_empty() && text.trim().len() == text.len() => text.clone(),
        Value::Array(items) => return list(items),
        Value::Object(map) => return mapping(map),
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST_DEFAULT {
        text
    } else {
        text.chars().take(LONGEST_DEFAULT).chain(['…']).collect()
    }
}

fn mapping(map: &Map<String, Value>) -> String {
    let entries: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {}", written(value))).collect();
    format!("{{ {} }}", entries.join(", "))
}

fn list(items: &[Value]) -> String {
    let words: Vec<String> = items.iter().map(written).collect();
    let (mut shown, mut length) = (Vec::new(), 0);
    for word in &words {
        length += word.chars().count() + 2;
        if length > LONGEST_DEFAULT {
            break;
        }
        shown.push(word.as_str());
    }
    let cut = if shown.len() < words.len() { format!(", … ({} in all)", words.len()) } else { String::new() };
    format!("[{}{cut}]", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(property: Value) -> Entry {
        let schema = json!({
            "properties": { "p": property },
            "$defs": {
                "Mode": { "oneOf": [
                    { "const": "a", "description": "First." }, { "const": "b", "description": "Second." },
                ] },
                "Rule": { "type": "object", "required": ["share"], "properties": {
                    "share": { "type": "number", "exclusiveMinimum": 0.0, "maximum": 1.0, "description": "Share." },
                } },
            },
        });
        entries(&schema).remove(0)
    }

    #[test]
    fn ranges_are_told_and_those_of_types_are_not() {
        let kind = |property: Value| entry(property).kind;
        assert_eq!(kind(json!({ "type": "integer", "format": "uint", "minimum": 0 })), "integer, optional");
        assert_eq!(kind(json!({ "type": "integer", "format": "uint", "minimum": 2 })), "integer, at least 2, optional");
        let quality = json!({ "type": "integer", "format": "uint8", "minimum": 1, "maximum": 100, "default": 85 });
        assert_eq!(kind(quality), "integer, from 1 to 100, default 85");
        let dropout = json!({ "type": "number", "minimum": 0.0, "exclusiveMaximum": 1.0, "default": 0.5 });
        assert_eq!(kind(dropout), "number, from 0 to below 1, default 0.5");
        let nullable = json!({ "type": ["integer", "null"], "format": "uint", "minimum": 1, "default": null });
        assert_eq!(kind(nullable), "integer, at least 1, optional");
    }

    #[test]
    fn values_and_fields_have_their_meaning() {
        let mode = entry(json!({ "anyOf": [{ "$ref": "#/$defs/Mode" }, { "type": "null" }], "default": null }));
        assert_eq!(mode.kind, "a or b, optional");
        let value = |value: &str, meaning: &str| EntryValue { value: value.to_owned(), meaning: meaning.to_owned() };
        assert_eq!(mode.values, [value("a", "First."), value("b", "Second.")]);
        let several = entry(json!({ "type": "array", "items": { "$ref": "#/$defs/Mode" }, "default": ["a"] }));
        assert_eq!((several.kind.as_str(), several.values.len()), ("list of a or b, default [a]", 2));
        let union = entry(json!({ "anyOf": [
            { "description": "By name.", "$ref": "#/$defs/Mode" },
            { "description": "Pairs.", "type": "array", "items": { "prefixItems": [{ "type": "integer" }, { "type": "number" }], "type": "array" } },
        ], "examples": [[[1, 0.5]]] }));
        assert_eq!(union.kind, "a or b or list of [integer, number], optional");
        assert_eq!(union.values[2], value("list of [integer, number]", "Pairs."));
        assert_eq!(union.examples, ["[[1, 0.5]]"]);
        let rule = entry(json!({ "anyOf": [{ "$ref": "#/$defs/Rule" }, { "type": "null" }], "default": null }));
        assert_eq!((rule.kind.as_str(), rule.fields.len()), ("mapping, optional", 1));
        assert_eq!(rule.fields[0].kind, "number, above 0 to 1, required");
    }

    #[test]
    fn defaults_are_written_as_in_a_file_and_cut_between_values() {
        let of = |default: Value| entry(json!({ "type": "string", "default": default })).kind;
        assert_eq!(of(json!("Id")), "text, default Id");
        assert_eq!(of(json!(" ")), "text, default \" \"");
        assert_eq!(of(json!({ "red": 12, "blue": "x" })), "text, default { red: 12, blue: x }");
        let many: Vec<String> = (0..28).map(|number| format!("class number {number}")).collect();
        assert_eq!(of(json!(many)), "text, default [class number 0, class number 1, class number 2, … (28 in all)]");
    }
}
