//! Names of environment variables, and patterns of names.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::diagnostic::Diagnostic;
use super::node::{Node, Value};
use super::shape::{FieldName, NameRule, Shape, Typed};

/// Beginning of the names that are the program's own.
const OWN: &str = "ATHANOR_";

/// Name of an environment variable that a stage may set.
#[derive(Debug, Clone)]
pub(crate) struct VariableName;

impl NameRule for VariableName {
    const NOUN: &'static str =
        "the name of a variable for a stage (letters, digits and `_`, not starting with a digit or `ATHANOR_`)";
    const PATTERN: &'static str = "^(?!ATHANOR_)[A-Za-z_][A-Za-z0-9_]*$";

    fn accepts(name: &str) -> bool {
        FieldName::accepts(name) && !name.starts_with(OWN)
    }
}

/// Pattern of names of environment variables: a name in which `*` stands for any number of characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VariablePattern(String);

impl VariablePattern {
    /// Whether the variable `name` fits.
    pub fn fits(&self, name: &str) -> bool {
        fits(&self.0, name)
    }
}

/// Whether `name` fits `pattern`, in which `*` stands for any number of characters.
pub fn fits(pattern: &str, name: &str) -> bool {
    let Some((begin, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(begin) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else { return false };
        name = &name[at + part.len()..];
    }
    name.ends_with(end)
}

impl Typed for VariablePattern {
    fn parse(value: &Value) -> Result<Self, String> {
        let Value::Text(text) = value else {
            return Err(format!("expected the name of a variable, not {}", value.noun()));
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '*');
        if text.is_empty() || !text.chars().all(is_plain) {
            return Err(format!(
                "`{text}` is not the name of a variable (letters, digits and `_`; `*` stands for any number of them)"
            ));
        }
        Ok(VariablePattern(text.clone()))
    }

    fn schema() -> serde_json::Value {
        json!({ "type": "string", "pattern": "^[A-Za-z0-9_*]+$" })
    }
}

/// A list of values of one shape; one alone may be written without brackets.
#[derive(Debug, Clone)]
pub(crate) struct Listed<T>(pub Vec<T>);

impl<T: Shape> Shape for Listed<T> {
    fn read(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Self> {
        let items = match &node.value {
            Value::Null => &[],
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let read: Vec<Option<T>> = items.iter().map(|item| T::read(item, problems)).collect();
        read.into_iter().collect::<Option<Vec<T>>>().map(Listed)
    }

    fn schema() -> serde_json::Value {
        json!({ "anyOf": [{ "type": "array", "items": T::schema() }, T::schema(), { "type": "null" }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        let cases = [
            ("HF_*", "HF_TOKEN", true),
            ("HF_*", "HF_", true),
            ("HF_*", "XHF_TOKEN", false),
            ("*_KEY", "WANDB_API_KEY", true),
            ("*_KEY", "WANDB_API_KEYS", false),
            ("A*B*C", "AxBxC", true),
            ("A*B*C", "AC", false),
            ("A*A", "A", false),
            ("*", "", true),
            ("LR", "LR", true),
            ("LR", "LRS", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn names_of_the_program_are_not_for_stages() {
        assert!(VariableName::accepts("LR") && !VariableName::accepts("ATHANOR_X") && !VariableName::accepts("1X"));
        assert!(VariablePattern::parse(&Value::Text("A-B".to_owned())).unwrap_err().contains("`A-B` is not the name"));
    }
}
