//! Translation of serde's messages about wrong parameters into the words of pipeline files.

/// A message and the names that would be valid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The problem.
    pub message: String,
    /// Valid values.
    pub candidates: Vec<String>,
}

/// Translates a message of serde; one of an unknown form stays as it is.
pub(crate) fn translate(message: &str) -> Message {
    let plain = |message: String| Message { message, candidates: Vec::new() };
    let unknown = message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "));
    if let Some((given, expected)) = unknown {
        let candidates = expected.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        return Message { message: format!("unknown value {given}"), candidates };
    }
    let mismatch = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    match mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        Some((given, expected)) => plain(format!("expected {}, not {}", wanted(expected), found(given))),
        None => plain(message.to_owned()),
    }
}

fn wanted(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, at least 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "`true` or `false`",
        "a string" => "text",
        "a sequence" => "a list",
        "a map" => "a mapping",
        other => other,
    }
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

    fn said<T: serde::de::DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        let value = serde_json::from_str(json).unwrap();
        translate(&serde_json::from_value::<T>(value).unwrap_err().to_string()).message
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
    }

    #[test]
    fn an_unknown_choice_brings_the_choices() {
        let message = serde_json::from_value::<Method>("meen".into()).unwrap_err().to_string();
        let candidates = vec!["mean".to_owned(), "maximum".to_owned()];
        assert_eq!(translate(&message), Message { message: "unknown value `meen`".to_owned(), candidates });
    }
}
