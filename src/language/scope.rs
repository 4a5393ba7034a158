//! Scopes: the names that expressions may use; and conversion of values between YAML and the expression engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::Value as EngineValue;
use minijinja::value::ValueKind;
use serde_json::Number;

use super::bounds::MAX_ENTRIES;
use super::node::{Entry, Key, Node, Value};
use super::scan::Chain;
use super::span::Span;

/// Names that an expression may use, with their values.
#[derive(Clone, Default)]
pub struct Scope {
    names: BTreeMap<&'static str, EngineValue>,
    /// Paths without a value because of a reported mistake; expressions that read them fail without another report.
    failed: Arc<Vec<Vec<String>>>,
}

/// `matrix` in expressions that read fields of a point: where an axis goes over a mapping, `matrix.axis` alone is the key and
/// `matrix.axis.field` reads the key's value. As long as `matrix`, so that positions stay right.
pub(super) const FIELDS: &str = "Matrix";

impl Scope {
    /// Adds `name` with the value of `node`.
    pub fn with(self, name: &'static str, node: &Node) -> Self {
        self.with_value(name, to_engine_value(node))
    }

    /// Adds `name` with a value that is already in the engine's form.
    pub fn with_value(mut self, name: &'static str, value: EngineValue) -> Self {
        self.names.insert(name, value);
        self
    }

    /// Adds paths that have no value because of a mistake that was reported.
    pub fn with_failed(mut self, failed: Vec<Vec<String>>) -> Self {
        Arc::make_mut(&mut self.failed).extend(failed);
        self
    }

    /// Whether a chain reads what could not be made.
    pub(super) fn is_failed(&self, chain: &Chain) -> bool {
        self.failed.iter().any(|path| path.iter().zip(&chain.path).all(|(failed, read)| failed == read))
    }

    /// Adds `matrix`: each axis with what it prints as and what its fields are read from.
    pub fn with_matrix<'n>(self, axes: impl IntoIterator<Item = (&'n str, EngineValue, EngineValue)>) -> Self {
        let mut plain = Vec::new();
        let mut fields = Vec::new();
        for (axis, value, field) in axes {
            plain.push((axis.to_owned(), value));
            fields.push((axis.to_owned(), field));
        }
        self.with_value("matrix", EngineValue::from_pairs(plain)).with_value(FIELDS, EngineValue::from_pairs(fields))
    }

    /// Value of all names, in the engine's form.
    pub(super) fn live(&self) -> EngineValue {
        EngineValue::from_pairs(self.names.iter().map(|(name, value)| ((*name).to_owned(), value.clone())))
    }

    /// Value that `chain` reads, if it is known without evaluating.
    pub fn value(&self, chain: &Chain, place: Span) -> Option<Node> {
        self.resolve(&chain.path).ok().and_then(|live| from_engine_value(&live, place).ok())
    }

    /// Value at `path`, if there is one.
    pub(crate) fn value_at(&self, path: &[String], place: Span) -> Option<Node> {
        self.resolve(path).ok().and_then(|live| from_engine_value(&live, place).ok())
    }

    /// The values of the axes of `matrix`, and the labels that they print as, both as mappings of JSON.
    pub(crate) fn matrix(&self) -> (serde_json::Value, serde_json::Value) {
        let json = |name: &str| {
            let live = self.names.get(name).and_then(|live| from_engine_value(live, Span::default()).ok());
            live.map_or_else(|| serde_json::json!({}), |node| node.to_json())
        };
        (json(FIELDS), json("matrix"))
    }

    /// The value behind `matrix.axis`, where that is a key of the mapping that the axis goes over.
    pub(crate) fn value_of_key(&self, axis: &str) -> Option<Node> {
        let read = |root: &str| self.names.get(root).and_then(|all| all.get_item(&EngineValue::from(axis)).ok());
        let (key, value) = (read("matrix")?, read(FIELDS)?);
        if value.is_undefined() || key == value { None } else { from_engine_value(&value, Span::default()).ok() }
    }

    /// Whether there is a mapping at `path`.
    pub(super) fn is_mapping(&self, path: &[String]) -> bool {
        self.resolve(path).is_ok_and(|value| value.kind() == ValueKind::Map)
    }

    /// Message about the list at `path`, called `name`, if there is one: it has no fields.
    pub(super) fn about_list(&self, path: &[String], name: &str) -> Option<String> {
        let value = self.resolve(path).ok().filter(|value| value.kind() == ValueKind::Seq)?;
        Some(match value.len()? {
            0 => format!("`{name}` is an empty list"),
            length => {
                format!("`{name}` is a list: `{name}[0]` is its first element, `{name}[{}]` its last", length - 1)
            }
        })
    }

    /// The value at the end of `path`, or how much of it exists and which names could follow.
    pub(super) fn resolve(&self, path: &[String]) -> Result<EngineValue, (usize, Vec<String>)> {
        let root = if path.len() > 1 && path[0] == "matrix" { FIELDS } else { path[0].as_str() };
        let mut value = self.names.get(root).cloned().ok_or_else(|| (0, Vec::new()))?;
        for (depth, name) in path.iter().enumerate().skip(1) {
            let index = name.parse::<usize>().ok().filter(|_| value.kind() == ValueKind::Seq);
            let key = index.map_or_else(|| EngineValue::from(name.as_str()), EngineValue::from);
            let field = value.get_item(&key).ok().filter(|field| !field.is_undefined());
            value = field.ok_or_else(|| (depth, keys(&value)))?;
        }
        Ok(value)
    }
}

fn keys(value: &EngineValue) -> Vec<String> {
    if value.kind() != ValueKind::Map {
        return Vec::new();
    }
    value.try_iter().map(|keys| keys.map(|key| key.to_string()).collect()).unwrap_or_default()
}

/// Converts a tree into a value of the engine.
pub fn to_engine_value(node: &Node) -> EngineValue {
    match &node.value {
        Value::Null => EngineValue::from(()),
        Value::Bool(value) => EngineValue::from(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => EngineValue::from(signed),
            (None, Some(unsigned)) => EngineValue::from(unsigned),
            (None, None) => EngineValue::from(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::Text(text) => EngineValue::from(text.as_str()),
        Value::List(items) => EngineValue::from(items.iter().map(to_engine_value).collect::<Vec<_>>()),
        Value::Map(entries) => {
            EngineValue::from_pairs(entries.iter().map(|entry| (entry.key.name.clone(), to_engine_value(&entry.value))))
        }
    }
}

/// Converts a value of the engine into a tree in which every span is `span`.
pub(super) fn from_engine_value(live: &EngineValue, span: Span) -> Result<Node, UnsupportedValue> {
    node(live, span, &mut MAX_ENTRIES.clone())
}

/// Reason why a value of the engine is not one of YAML's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UnsupportedValue {
    /// Type that YAML does not have.
    NotYaml,
    /// Number that is larger than those of a pipeline, or none at all.
    Number,
    /// Too many entries.
    TooLarge,
}

/// Converts a value; `left` is the number of entries that are still allowed.
fn node(live: &EngineValue, span: Span, left: &mut usize) -> Result<Node, UnsupportedValue> {
    *left = left.checked_sub(1).ok_or(UnsupportedValue::TooLarge)?;
    let value = match live.kind() {
        ValueKind::None => Value::Null,
        ValueKind::Bool => Value::Bool(live.is_true()),
        ValueKind::Number => Value::Number(number(live).ok_or(UnsupportedValue::Number)?),
        ValueKind::String => Value::Text(live.as_str().ok_or(UnsupportedValue::NotYaml)?.to_owned()),
        ValueKind::Seq | ValueKind::Iterable => {
            let items = live.try_iter().map_err(|_| UnsupportedValue::NotYaml)?;
            Value::List(items.map(|item| node(&item, span, left)).collect::<Result<_, _>>()?)
        }
        ValueKind::Map => {
            let entry = |key: EngineValue| {
                let value = node(&live.get_item(&key).map_err(|_| UnsupportedValue::NotYaml)?, span, left)?;
                Ok(Entry { key: Key { name: key_name(&key), span }, value })
            };
            let keys = live.try_iter().map_err(|_| UnsupportedValue::NotYaml)?;
            Value::Map(keys.map(entry).collect::<Result<_, _>>()?)
        }
        _ => return Err(UnsupportedValue::NotYaml),
    };
    Ok(Node { value, span })
}

/// A key, as YAML writes it.
fn key_name(key: &EngineValue) -> String {
    match key.kind() {
        ValueKind::Bool => key.is_true().to_string(),
        ValueKind::None => "null".to_owned(),
        _ => key.to_string(),
    }
}

fn number(live: &EngineValue) -> Option<Number> {
    if !live.is_integer() {
        return f64::try_from(live.clone()).ok().and_then(Number::from_f64);
    }
    let signed = i64::try_from(live.clone()).ok().map(Number::from);
    signed.or_else(|| u64::try_from(live.clone()).ok().map(Number::from))
}
