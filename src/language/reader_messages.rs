//! Messages of the YAML reader in words for users.

/// Message about a number that is infinite, or none.
const NOT_FINITE: &str = "infinity and NaN are not values in a pipeline";

/// The reader's message about the text `written`.
pub(super) fn explained_at(message: &str, written: &str) -> String {
    let told = explained(message);
    let is_number = written.trim_start_matches(['+', '-']).starts_with(|c: char| c.is_ascii_digit());
    if told == NOT_FINITE && is_number { format!("`{written}` is larger than a number can be") } else { told }
}

/// The reader's message for users: its first line, without position and options.
pub(crate) fn explained(message: &str) -> String {
    let line = message.lines().next().unwrap_or_default();
    let end = line.find(" at line ").unwrap_or(line.len());
    let line = line[..end].trim_end_matches([':', ' ']);
    if let Some(rest) = line.strip_prefix("duplicate mapping key: ") {
        let key = rest.rsplit_once(", set ").map_or(rest, |(key, _)| key);
        return format!("the key `{key}` is there twice");
    }
    if line.starts_with("multiple YAML documents") {
        return "there are several documents, and a pipeline is one: a line `---` begins another".to_owned();
    }
    if line.contains("null") && line.contains("String") {
        return "a key is nothing: `null` and `~` are that unless they are quoted".to_owned();
    }
    if line.starts_with("recursive references") {
        return "an alias (`*…`) lies within the value that it stands for".to_owned();
    }
    // Only keys have to be scalars.
    if line.starts_with("expected string scalar") {
        return "a key is a mapping or a list, and keys are text".to_owned();
    }
    if line.starts_with("the tag `") {
        return line.to_owned();
    }
    if let Some(tag) = line.strip_prefix("unsupported tag ") {
        return format!("the tag {tag} does not fit its value");
    }
    // Without a tag such a scalar is text.
    if line.contains("tagged scalar") || ["invalid i64", "invalid u64", "invalid f64"].contains(&line) {
        return "a tag (`!!…`) does not fit its value, or has no meaning here: take it out".to_owned();
    }
    if line.starts_with("non-finite float") {
        return NOT_FINITE.to_owned();
    }
    if let Some(limit) = line.strip_prefix("budget breached: ") {
        return over_budget(limit.split_whitespace().next().unwrap_or_default());
    }
    format!("this is not valid YAML: {line}")
}

/// Message about the limit that the reader calls by this name.
fn over_budget(limit: &str) -> String {
    match limit {
        "Depth" => "this lies too deep: collections may lie in one another 64 levels deep".to_owned(),
        "Documents" => "these are many documents, and a pipeline is one".to_owned(),
        _ => "aliases make this far larger than its text: what they repeat is read as often as they do".to_owned(),
    }
}

/// Remedy for a text that YAML takes for a mapping.
pub(super) const TEXT_WITH_COLON: &str = "a text with `: ` in it is quoted, or written in the lines after `|`";

/// Remedies for the most frequent mistakes, of which one is in the text `written`.
pub(super) fn remedy(message: &str, written: &str) -> Option<String> {
    if message.contains("did not find expected ','") && written.starts_with("{{") {
        return Some("within `{ }` and `[ ]` an expression is quoted: `\"${{ … }}\"`".to_owned());
    }
    let remedies = [
        ("tabs disallowed", "indent with spaces"),
        ("found a tab", "indent with spaces"),
        ("expected string scalar", "an expression is written `${{ … }}`; a text with braces or brackets is quoted"),
        ("unknown anchor", "`*NAME` stands for a value that `&NAME` marks; a text that begins with `*` is quoted"),
        ("scanning an anchor or alias", "a text that begins with `*` or `&` is quoted: `\"*.txt\"`"),
        ("unexpected character", "a text that begins with `@`, `%` or a backtick is quoted"),
        ("scanning a directive", "a text that begins with `%` is quoted"),
        ("mapping values are not allowed", TEXT_WITH_COLON),
        ("did not find expected ',' or '}'", "a text with `: ` or `, ` in it is quoted"),
        ("block mapping", "the keys of one mapping start in the same column; this line or one before it does not"),
        ("unclosed bracket", "close it, or put the text in quotes"),
        ("unclosed quote", "close it"),
    ];
    remedies.iter().find(|(part, _)| message.contains(part)).map(|(_, help)| (*help).to_owned())
}
