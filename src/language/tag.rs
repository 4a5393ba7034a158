//! Tags of YAML, such as `!!str`: those of JSON's types are obeyed, and all others are refused, since nothing would be made of them.

use serde_yaml::Tagged;

/// Beginning of the tags of YAML's own types, as the reader gives them.
const TYPES: &str = "tag:yaml.org,2002:";

/// The tag of a value if it is refused: one that has no meaning here, or of another type than the value.
pub(super) fn refused<T>(tagged: &Tagged<T>, kind: impl FnOnce(&T) -> Kind) -> Option<String> {
    let Tagged(value, tag) = tagged;
    let tag = tag.as_deref().filter(|tag| *tag != "!")?;
    let kind = kind(value);
    let fits = match tag.strip_prefix(TYPES) {
        Some("str" | "binary") => kind == Kind::Text,
        Some("int") => kind == Kind::Whole,
        Some("float") => matches!(kind, Kind::Whole | Kind::Fraction),
        Some("bool") => kind == Kind::Bool,
        Some("null") => kind == Kind::Null,
        Some("seq") => kind == Kind::List,
        Some("map") => kind == Kind::Map,
        _ => false,
    };
    (!fits).then(|| tag.to_owned())
}

/// Types of values that tags tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Whole,
    Fraction,
    Text,
    List,
    Map,
}

/// Message and remedy about a refused tag.
pub(super) fn refusal(tag: &str) -> (String, String) {
    let own = tag.strip_prefix(TYPES);
    let shown = own.map_or_else(|| tag.to_owned(), |name| format!("!!{name}"));
    if let Some("str" | "int" | "float" | "bool" | "null" | "seq" | "map" | "binary") = own {
        let message = format!("the tag `{shown}` does not fit its value");
        return (message, "take the tag out, or write a value of that type".to_owned());
    }
    let help = match tag.trim_start_matches('!').to_lowercase().as_str() {
        "include" => "name the file under `include` at the top of the pipeline, or give it by `--vars`",
        "env" | "env_var" => "name the variable under `env_passthrough`, or give its value by `--set`",
        _ => "take it out; texts, numbers, lists and mappings need none",
    };
    (format!("the tag `{shown}` has no meaning here"), help.to_owned())
}
