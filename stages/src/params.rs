//! Parameters: from an evaluated value to a typed struct, with every problem found and located.

use schemars::{JsonSchema, Schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::serde_messages::{Message, MessageSubject, translate};

/// One problem with the parameters of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamProblem {
    /// Keys and indices from the parameters' root to the offending value; empty for the parameters as a whole.
    pub path: Vec<String>,
    /// Whether the problem is the key rather than its value.
    pub at_key: bool,
    /// The problem.
    pub message: String,
    /// Valid names; the caller chooses the best.
    pub candidates: Vec<String>,
}

impl ParamProblem {
    /// A problem with the value of the parameter `name`.
    pub fn value(name: &str, message: impl Into<String>) -> Self {
        ParamProblem { path: vec![name.to_owned()], at_key: false, message: message.into(), candidates: Vec::new() }
    }
}

/// The parameters of a kind: one struct that yields validation, documentation, JSON Schema and the canonical value that
/// is fingerprinted.
///
/// The canonical value has defaults filled in. So that an upgrade of the program alone reruns nothing, a parameter that
/// is added without a change of the kind's revision must be skipped in serialisation while it has its default value.
pub trait Parameters: Serialize + DeserializeOwned + JsonSchema + Send {
    /// Names of parameters that change how the work is done and not its result, such as the number of files fetched at
    /// once: they are not part of the fingerprint.
    const NOT_IN_FINGERPRINT: &'static [&'static str] = &[];

    /// Checks the rules that types cannot express; one problem a violated rule.
    fn check(&self) -> Vec<ParamProblem> {
        Vec::new()
    }
}

/// The parameters of a kind that has none.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

impl Parameters for NoParams {}

/// Reads `value` (a mapping, or null for no parameters) as `P`, or returns every problem.
pub fn parse<P: Parameters>(value: &Value) -> Result<P, Vec<ParamProblem>> {
    let mut given = match value {
        Value::Null => Map::new(),
        Value::Object(map) => map.clone(),
        other => {
            let message = format!("`params` must be a mapping, not {}", noun(other));
            return Err(vec![ParamProblem { path: Vec::new(), at_key: false, message, candidates: Vec::new() }]);
        }
    };
    let schema = schemars::schema_for!(P);
    let mut problems = take_unknown(&mut given, &schema);
    problems.extend(missing(&given, &schema));
    if problems.iter().any(|problem| !problem.at_key) {
        return Err(problems);
    }
    loop {
        match serde_path_to_error::deserialize::<_, P>(&Value::Object(given.clone())) {
            Ok(params) => {
                // With a value left out, the rules would blame a default.
                if problems.iter().all(|problem| problem.at_key) {
                    problems.extend(params.check());
                }
                return if problems.is_empty() { Ok(params) } else { Err(problems) };
            }
            Err(error) => {
                let path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
                let culprit = path.first().cloned();
                let given_there = at_path(&given, &path);
                let subject = MessageSubject { given: given_there, keys: &|name| keys_of(&schema, name) };
                let Message { message, candidates } = translate(&error.into_inner().to_string(), &subject);
                problems.push(ParamProblem { path, at_key: false, message, candidates });
                // Without the culprit the rest can still be checked, as long as it has a default to fall back on.
                let recovered = culprit.is_some_and(|key| !is_required(&schema, &key) && given.remove(&key).is_some());
                if !recovered {
                    return Err(problems);
                }
            }
        }
    }
}

/// The canonical value of `params` in fingerprints and records.
pub fn canonical<P: Parameters>(params: &P) -> Value {
    serde_json::to_value(params).expect("parameter structs have string keys and no failing serialisers")
}

fn take_unknown(given: &mut Map<String, Value>, schema: &Schema) -> Vec<ParamProblem> {
    let known = property_names(schema);
    let unknown: Vec<String> = given.keys().filter(|key| !known.contains(key)).cloned().collect();
    unknown
        .into_iter()
        .map(|key| {
            given.remove(&key);
            let message = format!("unknown parameter `{key}`");
            ParamProblem { path: vec![key], at_key: true, message, candidates: known.clone() }
        })
        .collect()
}

fn missing(given: &Map<String, Value>, schema: &Schema) -> Vec<ParamProblem> {
    required_names(schema)
        .into_iter()
        .filter(|name| !given.contains_key(name))
        .map(|name| ParamProblem {
            path: Vec::new(),
            at_key: false,
            message: format!("missing parameter `{name}`"),
            candidates: Vec::new(),
        })
        .collect()
}

/// The value at the end of a path of keys and indices.
fn at_path<'v>(given: &'v Map<String, Value>, path: &[String]) -> Option<&'v Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(given.get(first)?, |value, part| match value {
        Value::Object(map) => map.get(part),
        Value::Array(list) => list.get(part.parse::<usize>().ok()?),
        _ => None,
    })
}

/// The keys that a type of the schema's definitions has.
fn keys_of(schema: &Schema, name: &str) -> Vec<String> {
    let keys = schema.pointer(&format!("/$defs/{name}/properties")).and_then(Value::as_object);
    keys.map(|keys| keys.keys().cloned().collect()).unwrap_or_default()
}

fn property_names(schema: &Schema) -> Vec<String> {
    schema.get("properties").and_then(Value::as_object).map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

fn required_names(schema: &Schema) -> Vec<String> {
    let names = schema.get("required").and_then(Value::as_array);
    names.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect()).unwrap_or_default()
}

fn is_required(schema: &Schema, name: &str) -> bool {
    required_names(schema).iter().any(|required| required == name)
}

fn noun(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}
