//! The typed scalars of the language.

use std::time::Duration;

use athanor_stages::registry;
use serde_json::json;

use super::diagnostic::Diagnostic;
use super::node::{Node, Value};
use super::quantity::{ByteSize, GpuShare, parse_duration};
use super::shape::{Shape, Typed};
use super::span::Span;

/// The version of the language: 1.
#[derive(Debug, Clone)]
pub(crate) struct Version;

impl Shape for Version {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        if matches!(&node.value, Value::Number(number) if number.as_u64() == Some(1)) {
            return Some(Version);
        }
        let message = "this program reads version 1 of the pipeline language";
        problems.push(Diagnostic::new(node.span, message).help("write `athanor: 1`"));
        None
    }

    fn schema() -> serde_json::Value {
        json!({ "const": 1 })
    }
}

/// Most bytes of a file name, on Linux and on all file systems that it is used with.
pub(crate) const FILE_NAME_BYTES: usize = 255;

/// The pipeline's name; it names folders, so it is one plain word.
#[derive(Debug, Clone)]
pub(crate) struct PipelineName(pub String);

impl Shape for PipelineName {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let plain = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
        };
        let help = "it names the folder of the results: results/<name>/";
        let (message, help) = match node.text() {
            Some(name) if plain(name) && name.len() <= FILE_NAME_BYTES => return Some(PipelineName(name.to_owned())),
            Some(name) if plain(name) => {
                let bytes = name.len();
                (
                    format!("the pipeline's name has {bytes} bytes; names of folders have at most {FILE_NAME_BYTES}"),
                    help,
                )
            }
            // Such a name is plain, but for the reader of YAML it is no text.
            None if matches!(node.value, Value::Bool(_) | Value::Number(_)) => {
                (format!("the pipeline's name is text, not {}", node.value.noun()), "quote it: `name: \"…\"`")
            }
            _ => ("the pipeline's name must be one word of letters, digits, `_`, `-` and `.`".to_owned(), help),
        };
        problems.push(Diagnostic::new(node.span, message).help(help));
        None
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]*$", "maxLength": FILE_NAME_BYTES })
    }
}

/// Number of nodes, which is refused whatever it is.
#[derive(Debug, Clone)]
pub(crate) struct NoNodes;

impl Shape for NoNodes {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let message = "`nodes` is not supported: a stage runs on one node";
        let help = "take it out; `gpus` asks for several GPUs of a node, and a `matrix` spreads instances over nodes";
        problems.push(Diagnostic::new(node.span, message).help(help));
        None
    }

    fn schema() -> serde_json::Value {
        json!({ "not": {} })
    }
}

/// The name of a kind.
#[derive(Debug, Clone)]
pub(crate) struct KindName {
    /// As written.
    pub name: String,
    /// Where.
    pub span: Span,
}

impl Shape for KindName {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let Some(name) = node.text() else {
            let message = format!("`kind` is the name of a kind, not {}", node.value.noun());
            problems.push(Diagnostic::new(node.span, message).help("`athanor kinds` lists them"));
            return None;
        };
        Some(KindName { name: name.to_owned(), span: node.span })
    }

    fn schema() -> serde_json::Value {
        let names: Vec<&str> = registry::kinds().iter().map(|kind| kind.name()).collect();
        json!({ "type": "string", "enum": names })
    }
}

/// Plain text for readers.
#[derive(Debug, Clone)]
pub(crate) struct Prose(pub String);

impl Shape for Prose {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        if let Some(text) = node.text() {
            return Some(Prose(text.to_owned()));
        }
        problems.push(Diagnostic::new(node.span, format!("expected text, not {}", node.value.noun())));
        None
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string" })
    }
}

/// Text.
impl Typed for String {
    fn parse(value: &Value) -> Result<Self, String> {
        value.scalar_text().ok_or_else(|| format!("expected text, not {}", value.noun()))
    }

    fn help(value: &Value) -> Option<&'static str> {
        matches!(value, Value::Map(_)).then_some(super::reader_messages::TEXT_WITH_COLON)
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string" })
    }
}

/// Text of a script.
#[derive(Debug, Clone)]
pub(crate) struct ScriptText;

impl Typed for ScriptText {
    fn parse(value: &Value) -> Result<Self, String> {
        String::parse(value).map(|_| ScriptText)
    }

    fn help(value: &Value) -> Option<&'static str> {
        match value {
            Value::List(_) => Some("it is one text: write several lines below each other, after `run: |`"),
            other => String::help(other),
        }
    }

    fn schema() -> serde_json::Value {
        String::schema()
    }
}

/// `true` or `false`.
impl Typed for bool {
    fn parse(value: &Value) -> Result<Self, String> {
        if let Value::Bool(value) = value {
            return Ok(*value);
        }
        Err(format!("expected `true` or `false`, not {}", value.noun()))
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "boolean" })
    }
}

/// A whole number of CPUs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpus(pub u32);

impl Typed for Cpus {
    fn parse(value: &Value) -> Result<Self, String> {
        match whole(value) {
            Some(count @ 1..=1_000_000) => Ok(Cpus(count as u32)),
            _ => Err("`cpus` is a whole number of CPUs, at least 1".to_owned()),
        }
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "integer", "minimum": 1 })
    }
}

/// Number of retries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Retries(pub u32);

impl Typed for Retries {
    fn parse(value: &Value) -> Result<Self, String> {
        match whole(value) {
            Some(count @ 0..=1000) => Ok(Retries(count as u32)),
            _ => Err("`retries` is a whole number from 0 to 1000".to_owned()),
        }
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "integer", "minimum": 0, "maximum": 1000 })
    }
}

/// The seed of random numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed(pub u64);

impl Typed for Seed {
    fn parse(value: &Value) -> Result<Self, String> {
        whole(value).map(Seed).ok_or_else(|| "`seed` is a whole number, at least 0".to_owned())
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "integer", "minimum": 0 })
    }
}

impl Typed for GpuShare {
    fn parse(value: &Value) -> Result<Self, String> {
        let share = match value {
            Value::Number(number) => number.as_f64().and_then(GpuShare::from_number),
            _ => None,
        };
        share.ok_or_else(|| "`gpus` is a whole number of GPUs, or a fraction of one such as 0.5".to_owned())
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "number", "minimum": 0 })
    }
}

impl Typed for ByteSize {
    fn parse(value: &Value) -> Result<Self, String> {
        match value {
            Value::Text(text) => text.parse().map_err(|error: super::QuantityError| error.to_string()),
            _ => Err("expected a size with its unit, such as `24GiB` or `500MB`".to_owned()),
        }
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^[0-9.]+ *([kKMGT]i?)?[bB]$" })
    }
}

impl Typed for Duration {
    fn parse(value: &Value) -> Result<Self, String> {
        let Value::Text(text) = value else {
            return Err("expected a duration with its unit, such as `90s`, `2h` or `1h30m`".to_owned());
        };
        let duration = parse_duration(text).map_err(|error| error.to_string())?;
        if duration.is_zero() { Err("a time-out of no time at all fails every run".to_owned()) } else { Ok(duration) }
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^([0-9]+(d|h|m|min|s|ms) *)+$" })
    }
}

fn whole(value: &Value) -> Option<u64> {
    let Value::Number(number) = value else { return None };
    number
        .as_u64()
        .or_else(|| number.as_f64().filter(|n| n.fract() == 0.0 && (0.0..9.0e15).contains(n)).map(|n| n as u64))
}
