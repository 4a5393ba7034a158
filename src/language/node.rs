//! YAML trees with the spans of all keys and values.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_yaml::{Location, Spanned, Tagged};

use super::diagnostic::Diagnostic;
use super::reader_messages::{explained_at, remedy};
use super::span::Span;
use super::tag::{self, Kind};
use super::written_number;

/// Value with its span.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where.
    pub span: Span,
}

/// A YAML value; mappings keep their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// A truth value.
    Bool(bool),
    /// An integer or a finite fraction.
    Number(Number),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping; keys are distinct.
    Map(Vec<Entry>),
}

/// Entry of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Node,
}

/// Key with its span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key's text.
    pub name: String,
    /// Where.
    pub span: Span,
}

impl Value {
    /// Noun for messages.
    pub fn noun(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Number(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// Text, numbers and truth values as text.
    pub fn scalar_text(&self) -> Option<String> {
        match self {
            Value::Text(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }
}

impl Node {
    /// The entries of a mapping.
    pub fn entries(&self) -> Option<&[Entry]> {
        if let Value::Map(entries) = &self.value { Some(entries) } else { None }
    }

    /// Content of a text.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The value of `name` in a mapping.
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.entries()?.iter().find(|entry| entry.key.name == name).map(|entry| &entry.value)
    }

    /// The value as JSON, without spans.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(number) => serde_json::Value::Number(number.clone()),
            Value::Text(text) => serde_json::Value::String(text.clone()),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => {
                entries.iter().map(|entry| (entry.key.name.clone(), entry.value.to_json())).collect()
            }
        }
    }

    /// A tree of `json` in which every span is `span`.
    pub fn from_json(json: serde_json::Value, span: Span) -> Node {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(value),
            serde_json::Value::Number(number) => Value::Number(number),
            serde_json::Value::String(text) => Value::Text(text),
            serde_json::Value::Array(items) => {
                Value::List(items.into_iter().map(|item| Node::from_json(item, span)).collect())
            }
            serde_json::Value::Object(map) => {
                let entry = |(name, value)| Entry { key: Key { name, span }, value: Node::from_json(value, span) };
                Value::Map(map.into_iter().map(entry).collect())
            }
        };
        Node { value, span }
    }
}

/// Reads the bytes of `text` from `base` on as one YAML document; `source` is the text's number in the compilation.
pub fn parse(text: &str, base: usize, source: u32) -> Result<Node, Box<Diagnostic>> {
    if text.len() >= u32::MAX as usize {
        let message = "the file is larger than 4 GiB; a pipeline file cannot be that large";
        return Err(Box::new(Diagnostic::new(Span::new(source, 0..0), message)));
    }
    let text = &text[base..];
    let options = serde_yaml::options! {
        with_snippet: false,
        strict_booleans: true,
        budget: Some(budget(text.len())),
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: REPLAYED + text.len() },
    };
    match serde_yaml::from_str_with_options::<Located<Raw>>(text, options) {
        Ok(raw) => {
            let spans = SpanMap { text, base, source, refused: Cell::default() };
            let node = spans.node(raw);
            spans.refused.take().map_or(Ok(node), Err)
        }
        Err(error) => {
            let spans = SpanMap { text, base, source, refused: Cell::default() };
            let span = error.location().map_or(Span::new(source, base..base), |location| spans.error_span(location));
            let message = error.to_string();
            let range = span.range();
            let written = text.get(range.start - base..range.end - base).unwrap_or_default();
            Err(Box::new(Diagnostic::new(span, explained_at(&message, written)).maybe_help(remedy(&message, written))))
        }
    }
}

/// Number of events that aliases and merges may add to any file.
const REPLAYED: usize = 1_000_000;

/// Limits against files that expand: they grow with the size of the file, so that no file is refused for its length, and no
/// tree is much larger than its text.
fn budget(bytes: usize) -> serde_yaml::Budget {
    let written = |least: usize, share: usize| least.saturating_add(bytes / share);
    let mut budget = serde_yaml::Budget::default();
    // A byte makes two nodes and three events at most: `[?,?]` has two mappings of nothing to nothing.
    budget.max_nodes = REPLAYED.saturating_add(bytes.saturating_mul(3));
    budget.max_events = REPLAYED.saturating_add(bytes.saturating_mul(4));
    budget.max_anchors = written(budget.max_anchors, 2);
    budget.max_aliases = written(budget.max_aliases, 2);
    budget.max_merge_keys = written(budget.max_merge_keys, 2);
    budget.max_recorded_anchor_events = written(budget.max_recorded_anchor_events, 1);
    budget.max_recorded_anchor_bytes = written(budget.max_recorded_anchor_bytes, 1);
    budget.max_total_scalar_bytes = written(budget.max_total_scalar_bytes, 1);
    // One mapping of defaults that a thousand stages merge is no attack; the number of replayed events bounds those.
    budget.enforce_alias_anchor_ratio = false;
    budget
}

/// A tree as the YAML reader gives it.
enum Raw {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Located<Raw>>),
    Map(Vec<(Located<RawKey>, Located<Raw>)>),
    /// A value with a tag that is refused: the tag.
    Tagged(String),
}

/// A key as the YAML reader gives it.
struct RawKey(String);

/// A value and its location. Of the two places that the reader knows only this one is kept: they are most of what a large
/// file takes in memory.
struct Located<T> {
    value: T,
    at: Location,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::deserialize(deserializer)?;
        Ok(Located { value, at: referenced })
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tagged = Tagged::<Untagged>::deserialize(deserializer)?;
        Ok(tag::refused(&tagged, |Untagged(raw)| raw.kind()).map_or(tagged.0.0, Raw::Tagged))
    }
}

/// A value without its tag.
struct Untagged(Raw);

impl<'de> Deserialize<'de> for Untagged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor).map(Untagged)
    }
}

impl<'de> Deserialize<'de> for RawKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tagged = Tagged::<String>::deserialize(deserializer)?;
        match tag::refused(&tagged, |_| Kind::Text) {
            Some(refused) => Err(de::Error::custom(tag::refusal(&refused).0)),
            None => Ok(RawKey(tagged.0)),
        }
    }
}

impl Raw {
    fn kind(&self) -> Kind {
        match self {
            Raw::Null => Kind::Null,
            Raw::Bool(_) => Kind::Bool,
            Raw::Number(number) if number.is_f64() => Kind::Fraction,
            Raw::Number(_) => Kind::Whole,
            Raw::Text(_) | Raw::Tagged(_) => Kind::Text,
            Raw::List(_) => Kind::List,
            Raw::Map(_) => Kind::Map,
        }
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Raw, E> {
        Number::from_i128(value).map(Raw::Number).ok_or_else(|| E::custom("the number has too many digits"))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Raw, E> {
        Number::from_u128(value).map(Raw::Number).ok_or_else(|| E::custom("the number has too many digits"))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Number::from_f64(value).map(Raw::Number).ok_or_else(|| E::custom("infinity and NaN are not values here"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// End of the `[…]` or `{…}` that `line` starts with, if it is one and ends on the line.
fn flow_end(line: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote = None;
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if depth > 0 => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then_some(at + c.len_utf8());
        }
    }
    None
}

/// Maximum number of bytes that are underlined of a collection.
const LONGEST_UNDERLINED: usize = 1_000;

/// Turns the reader's locations into spans.
struct SpanMap<'t> {
    text: &'t str,
    /// Offset of `text` in the text that spans count in.
    base: usize,
    source: u32,
    /// Diagnostic of the first scalar that is refused for the way in which it is written.
    refused: Cell<Option<Box<Diagnostic>>>,
}

impl SpanMap<'_> {
    fn node(&self, raw: Located<Raw>) -> Node {
        let span = self.span(raw.at);
        self.check_written(&raw.value, span);
        let value = match raw.value {
            Raw::Null | Raw::Tagged(_) => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Number(number) => Value::Number(number),
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => Value::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => {
                let entry = |(key, value): (Located<RawKey>, Located<Raw>)| Entry {
                    key: Key { span: self.span(key.at), name: key.value.0 },
                    value: self.node(value),
                };
                Value::Map(entries.into_iter().map(entry).collect())
            }
        };
        Node { value, span }
    }

    /// Looks at how a value is written, unless another one is refused already.
    fn check_written(&self, value: &Raw, span: Span) {
        let range = span.range();
        let (before, rest) = self.text.split_at(range.start - self.base);
        let written = &rest[..range.len()];
        let refusal = match value {
            Raw::Tagged(tag) => Some(tag::refusal(tag)),
            Raw::Number(number) => written_number::refusal(written, Some(number)),
            Raw::Text(text) if text == written && !written_number::is_text_by_mark(before) => {
                written_number::refusal(written, None)
            }
            _ => return,
        };
        let refused = self.refused.take();
        let found = || refusal.map(|(message, help)| Box::new(Diagnostic::new(span, message).help(help)));
        self.refused.set(refused.or_else(found));
    }

    /// The bytes at `location`; of a collection, whose end the reader does not tell, what is on its first line.
    fn span(&self, location: Location) -> Span {
        let start = self.start(location);
        let length = location.span().byte_len().unwrap_or(0) as usize;
        let end = self.floor(start + length);
        let written = self.text[start..end].trim_end();
        if written.len() > 1 || (!written.is_empty() && !matches!(written, "[" | "{")) {
            return self.placed(start..start + written.len());
        }
        // A line that is longer is not read for every collection on it.
        let rest = &self.text[start..self.floor(start + LONGEST_UNDERLINED)];
        let line = rest.lines().next().unwrap_or_default().trim_end();
        self.placed(start..start + flow_end(line).unwrap_or(line.len()))
    }

    fn error_span(&self, location: Location) -> Span {
        let span = self.span(location);
        // Past the end of the text there is nothing to underline but the last character.
        let last = self.text.trim_end().char_indices().next_back().map_or(0, |(at, _)| at);
        if span.range().is_empty() && span.range().start >= self.base + last {
            return self.placed(last..self.text.trim_end().len());
        }
        span
    }

    fn placed(&self, range: std::ops::Range<usize>) -> Span {
        Span::new(self.source, self.base + range.start..self.base + range.end)
    }

    fn start(&self, location: Location) -> usize {
        if let Some(offset) = location.span().byte_offset() {
            return self.floor(offset as usize);
        }
        let line = (location.line() as usize).saturating_sub(1);
        let line_start: usize = self.text.split_inclusive('\n').take(line).map(str::len).sum();
        let column = (location.column() as usize).saturating_sub(1);
        let inside: usize = self.text[line_start..].chars().take(column).map(char::len_utf8).sum();
        self.floor(line_start + inside)
    }

    /// The character boundary at or before `at`.
    fn floor(&self, at: usize) -> usize {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}
