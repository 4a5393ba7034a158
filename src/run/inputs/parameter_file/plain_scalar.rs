//! Scalars without quotes, which readers of YAML take for different things: `1e-3` is a number to some and text to PyYAML, `no` a truth value
//! to PyYAML and text to others, `2020-01-01` a date or text. Which reader a program has is not known, so that where readers differ the
//! scalar counts as it is written, and so do tags.

use serde_json::Value;
use serde_yaml::Location;

use super::{Parsed, Placed};

/// Mark before a scalar as it is written, so that no text is taken for one.
const WRITTEN: &str = "\0written ";
/// Mark before a tag.
const TAG: &str = "\0tag ";
/// Words that some readers take for something else than text.
const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];

/// The value of a document of `text`, in which scalars that readers take for different things are as they are written.
pub(super) fn as_written(Placed { value, at }: Placed, text: &str) -> Value {
    let start = start(text, at);
    let value = match value {
        Parsed::Scalar(value) => scalar(value, text, start, at),
        Parsed::List(items) => items.into_iter().map(|item| as_written(item, text)).collect(),
        Parsed::Map(entries) => entries.into_iter().map(|(key, placed)| (key, as_written(placed, text))).collect(),
    };
    match tag_before(&text[..start]) {
        Some(tag) => Value::Array(vec![format!("{TAG}{tag}").into(), value]),
        None => value,
    }
}

fn scalar(value: Value, text: &str, start: usize, at: Location) -> Value {
    let length = at.span().byte_len().unwrap_or(0) as usize;
    let written = text.get(start..start + length).unwrap_or_default().trim_end();
    let is_clear = match &value {
        Value::Number(number) => {
            is_number_to_all(written) && !(written.starts_with('-') && number.as_f64() == Some(0.0))
        }
        Value::Bool(_) => matches!(written, "true" | "false"),
        // Quoted text, and lines of text, are written otherwise than they are read.
        Value::String(read) => read != written || is_text_to_all(written),
        _ => true,
    };
    if is_clear { value } else { Value::String(format!("{WRITTEN}{written}")) }
}

/// Whether every reader takes it for this number: a decimal integer, or a fraction with a dot, and an exponent only with both a dot and a
/// sign.
fn is_number_to_all(written: &str) -> bool {
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = |digits: &str| is_digits(digits) && (digits == "0" || !digits.starts_with('0'));
    let unsigned = written.strip_prefix('-').unwrap_or(written);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    match (mantissa.split_once('.'), exponent) {
        (None, None) => is_whole(mantissa),
        (Some((whole, part)), None) => is_whole(whole) && is_digits(part),
        (Some((whole, part)), Some(exponent)) => {
            is_whole(whole) && is_digits(part) && exponent.strip_prefix(['+', '-']).is_some_and(is_digits)
        }
        (None, Some(_)) => false,
    }
}

/// Whether every reader takes it for text.
fn is_text_to_all(written: &str) -> bool {
    let begins_as_text =
        written.chars().next().is_some_and(|first| first.is_alphabetic() || matches!(first, '/' | '_'));
    begins_as_text && !WORDS.contains(&written.to_lowercase().as_str())
}

/// Longest tag that is looked for, in bytes: a file of many megabytes may be one line.
const LONGEST_TAG: usize = 1_024;

/// The tag that stands last in `before`, the text before a value, if one does.
fn tag_before(before: &str) -> Option<&str> {
    let before = before.trim_end();
    let before = &before[before.ceil_char_boundary(before.len().saturating_sub(LONGEST_TAG))..];
    let line = before.rsplit('\n').next().unwrap_or_default();
    let word = line.rsplit([' ', '\t', '[', '{', ',']).next().unwrap_or_default();
    let is_tag = word.starts_with('!') && !word.ends_with([':', ',', '[', '{', '"', '\'']);
    let is_comment = line.trim_start().starts_with('#') || line.contains(" #");
    (is_tag && !is_comment).then_some(word)
}

/// Whether a tag in `text` is written in full, or with an anchor or a comment between it and its value: [`tag_before`] looks for none
/// there.
pub(super) fn has_far_tags(text: &str) -> bool {
    let mut begin = 0;
    text.split_inclusive('\n').any(|line| {
        let first = begin;
        begin += line.len();
        let comment = line.find(" #");
        let mut tags = line.match_indices('!').map(|(at, _)| at).filter(|at| begins_word(&line[..*at]));
        // A comment before it on its line may as well be in a text.
        tags.any(|at| comment.is_some_and(|comment| comment < at) || is_far_tag(&text[first + at..]))
    })
}

/// Whether a word of YAML begins behind `before`.
fn begins_word(before: &str) -> bool {
    let is_key = before.ends_with("\":") || before.ends_with("':");
    is_key || before.chars().next_back().is_none_or(|c| c.is_whitespace() || "[{,".contains(c))
}

/// Whether the tag at the beginning of `text` is written in full, or has something between it and its value. One that is long is taken
/// for such.
fn is_far_tag(text: &str) -> bool {
    let ends_word = |c: char| c.is_whitespace() || ",]}\"".contains(c);
    match text.char_indices().take(LONGEST_TAG).find(|(_, c)| ends_word(*c)) {
        Some((end, _)) => text.starts_with("!<") || text[end..].trim_start().starts_with(['&', '#']),
        None => text.len() >= LONGEST_TAG || text.starts_with("!<"),
    }
}

/// Offset of the value at `location` in `text`.
fn start(text: &str, location: Location) -> usize {
    let mut at = location.span().byte_offset().map_or(0, |offset| offset as usize).min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
