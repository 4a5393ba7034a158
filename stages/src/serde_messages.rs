//! Translation of serde's messages about wrong parameters into the words of pipeline files.

use serde_json::Value;

/// A message and the names that would be valid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The problem.
    pub message: String,
    /// Valid values.
    pub candidates: Vec<String>,
}

/// The value that a message is about.
pub(crate) struct MessageSubject<'p> {
    /// The value there.
    pub given: Option<&'p Value>,
    /// Names of the keys that a mapping of this type may have.
    pub keys: &'p dyn Fn(&str) -> Vec<String>,
}

/// Translates a message of serde about `subject`; one of an unknown form stays as it is.
pub(crate) fn translate(message: &str, subject: &MessageSubject<'_>) -> Message {
    let plain = |message: String| Message { message, candidates: Vec::new() };
    for (start, noun) in [("unknown variant ", "value"), ("unknown field ", "key")] {
        if let Some((given, expected)) = message.strip_prefix(start).and_then(|rest| rest.split_once(", expected ")) {
            let candidates = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            return Message { message: format!("unknown {noun} {given}"), candidates };
        }
    }
    for (start, problem) in [("missing field ", "is missing"), ("duplicate field ", "is there twice")] {
        if let Some(name) = message.strip_prefix(start) {
            return plain(format!("the key {name} {problem}"));
        }
    }
    let length = message.strip_prefix("invalid length ").and_then(|rest| rest.split_once(", expected "));
    if let Some((length, expected)) = length {
        return plain(format!("expected {}, and there are {length}", wanted(expected, subject)));
    }
    let mismatch = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((given, expected)) = mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        return plain(format!("expected {}, not {}", wanted(expected, subject), found(given)));
    }
    if message.starts_with("data did not match any variant") {
        return plain(format!("{} has none of the forms that may stand here", given(subject)));
    }
    // Values of several forms say themselves what is expected, and not what they found.
    if message.starts_with("expected ") && subject.given.is_some() && !message.contains(", not ") {
        return plain(format!("{message}, not {}", given(subject)));
    }
    plain(message.to_owned())
}

fn wanted(expected: &str, subject: &MessageSubject<'_>) -> String {
    let size = |start: &str| expected.strip_prefix(start).map(|size| format!("a list of {size}"));
    if let Some(list) = size("an array of length ").or_else(|| size("a tuple of size ")) {
        return list;
    }
    if let Some(name) = expected.strip_prefix("struct ") {
        let keys = (subject.keys)(name.split_whitespace().next().unwrap_or_default());
        let named = if keys.is_empty() { String::new() } else { format!(" with the keys `{}`", keys.join("`, `")) };
        return format!("a mapping{named}");
    }
    let ours = match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" | "string or map" | "variant identifier" => "text",
        "a sequence" => "a list",
        "a map" | "map with a single key" => "a mapping",
        other => other,
    };
    ours.to_owned()
}

fn found(given: &str) -> String {
    match given {
        "null" | "unit value" => "nothing".to_owned(),
        "sequence" => "a list".to_owned(),
        "map" => "a mapping".to_owned(),
        _ => match given.strip_prefix("string ") {
            Some(text) => format!("the text `{}`", text.trim_matches('"')),
            // An integer, a fraction or a truth value stands in backticks after its type.
            None => given.find('`').map_or(given, |at| &given[at..]).to_owned(),
        },
    }
}

/// The value of a subject, in words.
fn given(subject: &MessageSubject<'_>) -> String {
    match subject.given {
        None => "this".to_owned(),
        Some(Value::Null) => "nothing".to_owned(),
        Some(Value::String(text)) => format!("the text `{text}`"),
        Some(Value::Array(_)) => "a list".to_owned(),
        Some(Value::Object(_)) => "a mapping".to_owned(),
        Some(value @ (Value::Bool(_) | Value::Number(_))) => format!("`{value}`"),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Method {
        Mean,
        Maximum,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Part {
        #[expect(dead_code, reason = "only read from JSON")]
        rate: f64,
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged, expecting = "expected `all`, or a number")]
    enum Choice {
        #[expect(dead_code, reason = "only read from JSON")]
        Number(u32),
    }

    #[derive(Debug, Deserialize)]
    #[serde(untagged)]
    enum Silent {
        #[expect(dead_code, reason = "only read from JSON")]
        Number(u32),
    }

    fn translated<T: serde::de::DeserializeOwned + std::fmt::Debug>(json: &str) -> Message {
        let value: Value = serde_json::from_str(json).unwrap();
        let subject = MessageSubject { given: Some(&value), keys: &|name| vec![format!("key of {name}")] };
        translate(&serde_json::from_value::<T>(value.clone()).unwrap_err().to_string(), &subject)
    }

    fn said<T: serde::de::DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        translated::<T>(json).message
    }

    #[test]
    fn wrong_values_are_named_without_the_words_of_a_programming_language() {
        assert_eq!(said::<usize>("\"ten\""), "expected a whole number, at least 0, not the text `ten`");
        assert_eq!(said::<u32>("-1"), "expected a whole number, at least 0, not `-1`");
        assert_eq!(said::<u64>("1.5"), "expected a whole number, at least 0, not `1.5`");
        assert_eq!(said::<f64>("[1]"), "expected a number, not a list");
        assert_eq!(said::<bool>("null"), "expected `true` or `false`, not nothing");
        assert_eq!(said::<Vec<u8>>("{}"), "expected a list, not a mapping");
        assert_eq!(said::<String>("true"), "expected text, not `true`");
        assert_eq!(said::<Method>("3"), "expected text, not `3`");
        assert_eq!(said::<[u8; 2]>("[1]"), "expected a list of 2, and there are 1");
        assert_eq!(said::<(u8, u8)>("[1]"), "expected a list of 2, and there are 1");
        assert_eq!(said::<Part>("3"), "expected a mapping with the keys `key of Part`, not `3`");
        assert_eq!(said::<Part>("{}"), "the key `rate` is missing");
        assert_eq!(said::<Part>(r#"{"rat": 1}"#), "unknown key `rat`");
        assert_eq!(said::<Choice>("-1"), "expected `all`, or a number, not `-1`");
        assert_eq!(said::<Choice>("\"last\""), "expected `all`, or a number, not the text `last`");
        assert_eq!(said::<Silent>("[]"), "a list has none of the forms that may stand here");
    }

    #[test]
    fn an_unknown_choice_brings_the_choices() {
        let candidates = vec!["mean".to_owned(), "maximum".to_owned()];
        assert_eq!(
            translated::<Method>("\"meen\""),
            Message { message: "unknown value `meen`".to_owned(), candidates }
        );
    }
}
