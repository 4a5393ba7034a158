//! Values that a command finds in the file that `ATHANOR_CONTEXT` names.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use crate::language::Span;
use crate::language::expression::Template;
use crate::language::scope::Scope;

/// Environment variable with the path of a JSON file that holds a stage's inputs, outputs and values.
pub(crate) const CONTEXT_VARIABLE: &str = "ATHANOR_CONTEXT";

/// Environment variable with an instance's name. The name is part of the fingerprint of scripts that name the variable.
pub(crate) const STAGE_VARIABLE: &str = "ATHANOR_STAGE";

/// The point of the matrix (`matrix`: values, `labels`: as they print), and those of `vars` that the expressions of `templates`
/// use.
pub(super) fn values_used<'t, 'e: 't>(scope: &Scope, templates: impl Iterator<Item = &'t Template<'e>>) -> Json {
    let mut paths: BTreeSet<Vec<String>> = BTreeSet::new();
    for template in templates {
        template.visit(&mut |compiled| {
            let vars = compiled.chains.iter().filter(|chain| chain.path[0] == "vars");
            paths.extend(vars.map(|chain| up_to_index(&chain.path)));
        });
    }
    let mut vars = Json::Object(Map::new());
    // Shorter paths come first, and hold all that begins with them.
    let mut last: Option<&Vec<String>> = None;
    for path in &paths {
        if last.is_some_and(|last| path.starts_with(last)) {
            continue;
        }
        if let Some(value) = scope.value_at(path, Span::default()) {
            put(&mut vars, &path[1..], value.to_json());
            last = Some(path);
        }
    }
    let (matrix, labels) = scope.matrix();
    json!({ "matrix": matrix, "labels": labels, "vars": vars })
}

/// A path up to an index into a list, which is told as a whole.
fn up_to_index(path: &[String]) -> Vec<String> {
    let end = path.iter().position(|name| name.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(path.len());
    path[..end].to_vec()
}

fn put(into: &mut Json, path: &[String], value: Json) {
    match (into, path) {
        (into, []) => *into = value,
        (Json::Object(map), [name, rest @ ..]) => {
            put(map.entry(name.clone()).or_insert_with(|| Json::Object(Map::new())), rest, value);
        }
        // Nothing lies below a value that is told as a whole.
        _ => {}
    }
}
