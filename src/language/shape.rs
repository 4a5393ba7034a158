//! Shapes: one definition of the values in one place, from which parsing, error messages and JSON Schema are derived.

use std::marker::PhantomData;

use serde_json::json;

use super::diagnostic::Diagnostic;
use super::node::{Key, Node, Value};
use super::span::Span;

/// Shape of a value.
pub(crate) trait Shape: Sized {
    /// Parses a tree, reporting every mistake; `None` when it is not usable.
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self>;
    /// Its JSON Schema.
    fn schema() -> serde_json::Value;
}

/// A scalar with a type, which may be written as an expression.
pub(crate) trait Typed: Sized {
    /// Reads the evaluated value; the error says what is expected instead.
    fn parse(value: &Value) -> Result<Self, String>;
    /// Its JSON Schema, expressions aside.
    fn schema() -> serde_json::Value;
    /// Remedy for a value that cannot be read, where there is one.
    fn help(_: &Value) -> Option<&'static str> {
        None
    }
}

/// Any value, parsed later.
#[derive(Debug, Clone)]
pub(crate) struct Anything(pub Node);

impl Shape for Anything {
    fn read(node: &Node, _: &mut Vec<Diagnostic>) -> Option<Self> {
        Some(Anything(node.clone()))
    }

    fn schema() -> serde_json::Value {
        json!(true)
    }
}

/// A [`Typed`] scalar, or an expression that will give one.
#[derive(Debug, Clone)]
pub(crate) struct Templated<T> {
    /// As written.
    pub node: Node,
    typed: PhantomData<fn() -> T>,
}

impl<T: Typed> Templated<T> {
    /// The typed value of the evaluated `node`.
    pub(crate) fn parse(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<T> {
        let help = T::help(&node.value).map(str::to_owned);
        let problem = |message| Diagnostic::new(node.span, message).maybe_help(help);
        T::parse(&node.value).map_err(|message| problems.push(problem(message))).ok()
    }
}

impl<T: Typed> Shape for Templated<T> {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let expression = node.text().is_some_and(|text| text.contains("${{"));
        if !expression {
            Templated::<T>::parse(node, problems)?;
        }
        Some(Templated { node: node.clone(), typed: PhantomData })
    }

    fn schema() -> serde_json::Value {
        or_expression(T::schema())
    }
}

/// A [`Typed`] scalar as it is written; expressions are not known there.
#[derive(Debug, Clone)]
pub(crate) struct Literal<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub span: Span,
}

impl<T: Typed> Shape for Literal<T> {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        if node.text().is_some_and(|text| text.contains("${{")) {
            let help = "write the value itself";
            problems.push(Diagnostic::new(node.span, "there are no expressions here").help(help));
            return None;
        }
        match T::parse(&node.value) {
            Ok(value) => Some(Literal { value, span: node.span }),
            Err(message) => {
                problems.push(Diagnostic::new(node.span, message));
                None
            }
        }
    }

    fn schema() -> serde_json::Value {
        T::schema()
    }
}

/// `schema`, or text with an expression in it.
pub(crate) fn or_expression(schema: serde_json::Value) -> serde_json::Value {
    json!({ "anyOf": [schema, { "type": "string", "pattern": "\\$\\{\\{" }] })
}

/// Rule for the names in a mapping.
pub(crate) trait NameRule {
    /// Noun for such a name, for messages.
    const NOUN: &'static str;
    /// Regular expression of the names.
    const PATTERN: &'static str;
    /// Whether `name` is one.
    fn accepts(name: &str) -> bool;
}

/// Any name.
#[derive(Debug, Clone)]
pub(crate) struct AnyName;

impl NameRule for AnyName {
    const NOUN: &'static str = "a name";
    const PATTERN: &'static str = "";

    fn accepts(_: &str) -> bool {
        true
    }
}

/// Names of stages.
#[derive(Debug, Clone)]
pub(crate) struct StageName;

impl NameRule for StageName {
    const NOUN: &'static str = "a stage name (letters, digits, `_` and `-`, not starting with a digit or `-`)";
    const PATTERN: &'static str = "^[A-Za-z_][A-Za-z0-9_-]*$";

    fn accepts(name: &str) -> bool {
        leading_name(name, true) == name && !name.is_empty()
    }
}

/// Names that expressions read: axes, inputs, outputs.
#[derive(Debug, Clone)]
pub(crate) struct FieldName;

impl NameRule for FieldName {
    const NOUN: &'static str = "a name (letters, digits and `_`, not starting with a digit)";
    const PATTERN: &'static str = "^[A-Za-z_][A-Za-z0-9_]*$";

    fn accepts(name: &str) -> bool {
        leading_name(name, false) == name && !name.is_empty()
    }
}

/// The longest name that `text` starts with; may be empty.
pub(crate) fn leading_name(text: &str, dashes: bool) -> &str {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || (dashes && c == '-');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c| !inside(c)).unwrap_or(text.len());
    if starts { &text[..end] } else { "" }
}

/// A mapping from names that follow a rule to values of one shape, in the order written.
#[derive(Debug, Clone)]
pub(crate) struct Named<R, T> {
    /// Where.
    pub span: Span,
    /// The entries whose values could be read.
    pub entries: Vec<(Key, T)>,
    /// The names of all entries, also of those that could not be read.
    pub names: Vec<String>,
    rule: PhantomData<fn() -> R>,
}

impl<R: NameRule, T: Shape> Shape for Named<R, T> {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let mut named = Named { span: node.span, entries: Vec::new(), names: Vec::new(), rule: PhantomData };
        if node.value == Value::Null {
            return Some(named);
        }
        let Some(entries) = node.entries() else {
            let message = format!("expected a mapping of names to values, not {}", node.value.noun());
            problems.push(Diagnostic::new(node.span, message).help(with_name(&node.value)));
            return None;
        };
        for entry in entries {
            named.names.push(entry.key.name.clone());
            if !R::accepts(&entry.key.name) {
                let message = format!("`{}` is not {}", entry.key.name, R::NOUN);
                problems.push(Diagnostic::new(entry.key.span, message));
            } else if let Some(value) = T::read(&entry.value, problems) {
                named.entries.push((entry.key.clone(), value));
            }
        }
        Some(named)
    }

    fn schema() -> serde_json::Value {
        if R::PATTERN.is_empty() {
            json!({ "type": ["object", "null"], "additionalProperties": T::schema() })
        } else {
            json!({
                "type": ["object", "null"],
                "propertyNames": { "pattern": R::PATTERN },
                "additionalProperties": T::schema(),
            })
        }
    }
}

/// Remedy for a value that lacks a name: how it is written with one.
fn with_name(value: &Value) -> String {
    let first = match value {
        Value::List(items) => items.first().map_or(&Value::Null, |item| &item.value),
        other => other,
    };
    match first {
        Value::Map(_) => "the name of each is its key: `NAME: { … }`".to_owned(),
        first => match first.scalar_text().as_deref().map(|text| text.split_once('=').unwrap_or(("NAME", text))) {
            Some((name, text)) if text.len() <= LONGEST_EXAMPLE && FieldName::accepts(name) => {
                format!("give it a name, by which it is called elsewhere: `{{ {name}: {text} }}`")
            }
            _ => "give it a name, by which it is called elsewhere: `{ NAME: … }`".to_owned(),
        },
    }
}

/// Length above which a value is not repeated in an example, in bytes.
const LONGEST_EXAMPLE: usize = 60;

/// Entries of a mapping whose keys are `known`; other keys are reported, and missing ones of `required`, which have their
/// documentation.
pub(crate) fn read_keys<'n>(
    node: &'n Node,
    noun: &str,
    known: &[&'static str],
    required: &[(&'static str, &'static str)],
    problems: &mut Vec<Diagnostic>,
) -> Option<&'n [super::node::Entry]> {
    let Some(entries) = node.entries() else {
        let message = format!("{noun} is a mapping, not {}", node.value.noun());
        let help = super::suggest::listing(known.iter().copied(), "its keys");
        problems.push(Diagnostic::new(node.span, message).maybe_help(help));
        return None;
    };
    for entry in entries.iter().filter(|entry| !known.contains(&entry.key.name.as_str())) {
        let help = super::other_tools::remedy(noun, &entry.key.name).map(str::to_owned);
        let help = help.or_else(|| super::suggest::help(&entry.key.name, known.iter().copied(), "keys"));
        let message = format!("unknown key `{}` in {noun}", entry.key.name);
        problems.push(Diagnostic::new(entry.key.span, message).maybe_help(help));
    }
    Some(entries).inspect(|entries| {
        for (missing, doc) in required.iter().filter(|(name, _)| !entries.iter().any(|entry| entry.key.name == *name)) {
            let message = format!("missing key `{missing}` in {noun}");
            problems.push(Diagnostic::new(node.span, message).help(format!("`{missing}`: {}", doc.trim())));
        }
    })
}

/// Declares a mapping with fixed keys: the struct, its reading with all mistakes reported, and its JSON Schema.
///
/// Every field is an `Option`: a missing or unreadable one is `None`, and reported where it matters.
macro_rules! keys {
    (
        $(#[doc = $doc:literal])+ $noun:literal
        pub(crate) struct $name:ident { $($(#[doc = $field_doc:literal])+ $need:ident $field:ident: $shape:ty,)* }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone)]
        #[allow(dead_code, reason = "not every reader asks where a mapping is, or what could not be read")]
        pub(crate) struct $name {
            /// Where.
            pub span: $crate::language::Span,
            /// Keys that are there but could not be read.
            pub unread: Vec<&'static str>,
            $($(#[doc = $field_doc])+ pub $field: Option<$shape>,)*
        }

        impl $crate::language::shape::Shape for $name {
            fn read(
                node: &$crate::language::node::Node,
                problems: &mut Vec<$crate::language::Diagnostic>,
            ) -> Option<Self> {
                let known = [$(stringify!($field)),*];
                let required: Vec<(&'static str, &'static str)> =
                    [$((stringify!($field), stringify!($need) == "required", concat!($($field_doc),+))),*]
                        .into_iter().filter(|(_, required, _)| *required).map(|(name, _, doc)| (name, doc)).collect();
                $crate::language::shape::read_keys(node, $noun, &known, &required, problems)?;
                let mut read = $name {
                    span: node.span,
                    unread: Vec::new(),
                    $($field: node.get(stringify!($field)).and_then(|value| {
                        <$shape as $crate::language::shape::Shape>::read(value, problems)
                    }),)*
                };
                $(if read.$field.is_none() && node.get(stringify!($field)).is_some() {
                    read.unread.push(stringify!($field));
                })*
                Some(read)
            }

            fn schema() -> serde_json::Value {
                let mut properties = serde_json::Map::new();
                let mut required: Vec<serde_json::Value> = Vec::new();
                $(
                    let documentation = concat!($($field_doc, "\n"),+).trim().replace("\n ", "\n");
                    let schema = <$shape as $crate::language::shape::Shape>::schema();
                    properties.insert(
                        stringify!($field).to_owned(),
                        $crate::language::shape::documented(schema, &documentation),
                    );
                    if stringify!($need) == "required" {
                        required.push(stringify!($field).into());
                    }
                )*
                serde_json::json!({
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                })
            }
        }
    };
}
pub(crate) use keys;

/// `schema` with its documentation.
pub(crate) fn documented(schema: serde_json::Value, documentation: &str) -> serde_json::Value {
    match schema {
        serde_json::Value::Object(mut map) => {
            map.insert("description".to_owned(), documentation.into());
            serde_json::Value::Object(map)
        }
        _ => json!({ "description": documentation }),
    }
}
