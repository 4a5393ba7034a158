//! Parameter files of other tools, as values: YAML, JSON and TOML, with the liberties that those tools take.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_yaml::{Location, Spanned};

use crate::language::reader_messages::explained;

mod plain_scalar;

/// Mark before the text of a number that JSON does not have, so that no text is taken for one.
const NUMBER: &str = "\0number ";
/// Numbers that Python writes into JSON.
const PYTHON_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
/// Floating-point numbers from here on are farther than 1 from each other, so that whole numbers lose digits.
const ROUNDED: f64 = 9_007_199_254_740_992.0;

/// The documents in the text of a file with this extension. An error is the end of a sentence that begins with the file.
pub(super) fn documents(extension: &str, text: &str) -> Result<Vec<Value>, String> {
    match extension {
        "json" => json(text).map(|value| vec![value]),
        "toml" => toml(text).map(|value| vec![value]).map_err(|error| {
            let at = error.span().map(|span| position(text, span.start)).unwrap_or_default();
            format!("is no valid TOML{at}: {}", error.message())
        }),
        "yaml" | "yml" => yaml(text),
        _ => Err("is no YAML, JSON or TOML file, and keys can be read of those only".to_owned()),
    }
}

/// Whether there is a number in it that may have been written with more digits, or a zero with a sign, which digests of values leave out.
pub(super) fn is_rounded(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64() && number.as_f64().is_some_and(says_less),
        Value::Array(items) => items.iter().any(is_rounded),
        Value::Object(entries) => entries.values().any(is_rounded),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

fn says_less(number: f64) -> bool {
    number.abs() >= ROUNDED || (number == 0.0 && number.is_sign_negative())
}

/// Whether a file has something in it whose meaning for single values is not looked into, so that all of the file counts: directives of
/// YAML, and tags that do not stand right before their value.
pub(super) fn has_unclear_syntax(extension: &str, text: &str) -> bool {
    matches!(extension, "yaml" | "yml")
        && (text.lines().any(|line| line.starts_with('%')) || plain_scalar::has_far_tags(text))
}

fn toml(text: &str) -> Result<Value, toml::de::Error> {
    let mut value: Value = toml::from_str(text)?;
    if has_null(&value) {
        name_numbers(&mut value, &toml::from_str(text)?);
    }
    Ok(value)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(has_null),
        Value::Object(entries) => entries.values().any(has_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Writes infinity and NaN, which JSON lacks, as marked texts, by the same value in TOML's own form.
fn name_numbers(value: &mut Value, read: &toml::Value) {
    match (value, read) {
        (value, toml::Value::Float(number)) if value.is_null() => *value = named_number(number),
        (Value::Array(items), toml::Value::Array(read)) => {
            for (item, read) in items.iter_mut().zip(read) {
                name_numbers(item, read);
            }
        }
        (Value::Object(entries), toml::Value::Table(read)) => {
            for (name, value) in entries {
                if let Some(read) = read.get(name) {
                    name_numbers(value, read);
                }
            }
        }
        _ => {}
    }
}

fn yaml(text: &str) -> Result<Vec<Value>, String> {
    // Its own tool takes the last of two keys of one name.
    let options = serde_yaml::options! {
        with_snippet: false,
        // Else `n`, `y` and `on` are no names of keys. As values they count as they are written.
        strict_booleans: true,
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::LastWins,
        non_finite_float_policy: serde_yaml::NonFiniteFloatPolicy::PassThrough,
    };
    let documents = serde_yaml::from_multiple_with_options::<Placed>(text, options).map_err(|error| {
        let at =
            error.location().map(|at| format!(" (line {}, column {})", at.line(), at.column())).unwrap_or_default();
        format!("cannot be read{at}: {}", explained(&error.to_string()))
    })?;
    Ok(documents.into_iter().map(|document| plain_scalar::as_written(document, text)).collect())
}

fn json(text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).or_else(|error| {
        let with_texts = with_texts_for_numbers(text);
        serde_json::from_str(&with_texts)
            .map_err(|_| format!("is no valid JSON (line {}, column {})", error.line(), error.column()))
    })
}

/// JSON in which `NaN` and the like, which Python writes, are marked texts.
fn with_texts_for_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match PYTHON_NUMBERS.iter().find(|number| rest.starts_with(**number)) {
            Some(number) => {
                out += &Value::String(format!("{NUMBER}{number}")).to_string();
                rest = &rest[number.len()..];
                continue;
            }
            None if c == '"' => string_end(rest),
            None => c.len_utf8(),
        };
        out += &rest[..length];
        rest = &rest[length..];
    }
    out
}

/// Length of the JSON string that `text` begins with.
fn string_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The place in `text`, as the end of a phrase.
fn position(text: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    format!(" (line {}, column {})", before.matches('\n').count() + 1, line.chars().count() + 1)
}

/// A YAML value, with where each value in it is written.
struct Placed {
    value: Parsed,
    at: Location,
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, defined, .. } = Spanned::deserialize(deserializer)?;
        Ok(Placed { value, at: defined })
    }
}

/// A YAML value; numbers that JSON lacks are marked texts.
enum Parsed {
    Scalar(Value),
    List(Vec<Placed>),
    /// Keys that are no text are written as JSON.
    Map(Vec<(String, Placed)>),
}

impl Parsed {
    /// The value in the form of JSON, however it is written.
    fn plain(self) -> Value {
        match self {
            Parsed::Scalar(value) => value,
            Parsed::List(items) => items.into_iter().map(|item| item.value.plain()).collect(),
            Parsed::Map(entries) => entries.into_iter().map(|(key, placed)| (key, placed.value.plain())).collect(),
        }
    }
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ParsedVisitor)
    }
}

fn named_number(number: impl fmt::Display) -> Value {
    Value::String(format!("{NUMBER}{number}"))
}

struct ParsedVisitor;

impl<'de> Visitor<'de> for ParsedVisitor {
    type Value = Parsed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parsed, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(value.into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(Number::from_i128(value).map_or_else(|| named_number(value), Value::Number)))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(Number::from_u128(value).map_or_else(|| named_number(value), Value::Number)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(Number::from_f64(value).map_or_else(|| named_number(value), Value::Number)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(Value::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Parsed, E> {
        Ok(Parsed::Scalar(Value::String(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parsed, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Parsed::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        let mut entries: Vec<(String, Placed)> = Vec::new();
        while let Some((key, value)) = map.next_entry::<Parsed, Placed>()? {
            let key = match key.plain() {
                Value::String(text) => text,
                other => other.to_string(),
            };
            entries.push((key, value));
        }
        Ok(Parsed::Map(entries))
    }
}
