//! Outputs that commands declare: checked paths, as ports.

use std::collections::HashMap;
use std::sync::Arc;

use athanor_stages::artifact::ArtifactType;
use athanor_stages::ports::OutputPort;

use crate::language::expression::Template;
use crate::language::node::Key;
use crate::language::output::OutputFiles;
use crate::language::scope::Scope;
use crate::language::{Diagnostic, Span};

use super::plain_path::plain_path;

/// The outputs that a stage names itself; of a dropped one only the names matter, so without a scope nothing is evaluated.
pub(super) fn declared(
    templates: &[(&Key, Template<'_>)],
    scope: Option<&Scope>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Arc<[OutputPort]>> {
    let Some(scope) = scope else {
        return Some(templates.iter().map(|(key, _)| port(key, Vec::new(), false)).collect());
    };
    let mut written = Vec::with_capacity(templates.len());
    for (key, template) in templates {
        written.push((*key, template.span, OutputFiles::read(&template.evaluate(scope, problems)?, problems)?));
    }
    let before = problems.len();
    let mut paths: Vec<(&str, Span, String)> = Vec::new();
    let mut ports = Vec::with_capacity(written.len());
    for (key, span, files) in written {
        let (names, is_group) = match files {
            OutputFiles::One(path) => (vec![(path, span)], false),
            OutputFiles::Group(names) => (names, true),
        };
        let plain: Vec<(String, Span)> = names
            .into_iter()
            .filter_map(|(path, span)| Some((checked(key, &path, span, is_group, problems)?, span)))
            .collect();
        paths.extend(plain.iter().map(|(path, span)| (key.name.as_str(), *span, path.clone())));
        ports.push(port(key, plain.into_iter().map(|(path, _)| path).collect(), is_group));
    }
    if problems.len() == before {
        check_apart(paths.iter().map(|(name, span, path)| (*name, *span, path.as_str())), problems);
    }
    (problems.len() == before).then(|| ports.into())
}

/// The port of an output that consists of `files`.
fn port(key: &Key, files: Vec<String>, is_group: bool) -> OutputPort {
    OutputPort {
        name: key.name.clone(),
        artifact: ArtifactType::Any,
        file: files.first().cloned().unwrap_or_default(),
        optional: false,
        doc: String::new(),
        group: if is_group { files } else { Vec::new() },
    }
}

/// The path of an output, or of a file of it, without needless parts.
fn checked(key: &Key, path: &str, span: Span, is_group: bool, problems: &mut Vec<Diagnostic>) -> Option<String> {
    let subject = match is_group {
        true => format!("the file `{path}` of the output `{}`", key.name),
        false => format!("the output `{}`", key.name),
    };
    let beside = "files that belong together lie side by side in the stage's own folder: name them without folders, \
                  such as `[x.bam, x.bam.bai]`";
    let problem = match plain_path(path) {
        Ok(plain) if plain == "inputs" || plain.starts_with("inputs/") => {
            Diagnostic::new(span, format!("{subject} is under `inputs/`, where the stage's inputs are"))
        }
        Ok(plain) if is_group && plain.contains('/') => {
            Diagnostic::new(span, format!("{subject} is in a folder")).help(beside)
        }
        Ok(plain) => return Some(plain),
        Err(reason) if is_group => Diagnostic::new(span, format!("{subject} is {reason}")).help(beside),
        Err(reason) => Diagnostic::new(span, format!("{subject} is {reason}"))
            .help("an output is a path inside the stage's own folder, such as `figure.png`"),
    };
    problems.push(problem);
    None
}

/// Checks that no path is another's, or lies inside another. Each has the name of what it belongs to.
pub(super) fn check_apart<'a>(
    paths: impl Iterator<Item = (&'a str, Span, &'a str)> + Clone,
    problems: &mut Vec<Diagnostic>,
) {
    let mut known: HashMap<&str, (&str, Span)> = HashMap::new();
    for (name, span, path) in paths.clone() {
        if let Some((other, place)) = known.insert(path, (name, span)) {
            let message = match other == name {
                true => format!("`{name}` has the file `{path}` twice"),
                false => format!("`{name}` and `{other}` have the same path `{path}`"),
            };
            problems.push(Diagnostic::new(span, message).also(place, "the other"));
        }
    }
    for (name, span, path) in paths {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        if let Some((other, place)) = parents.filter_map(|parent| known.get(parent)).next() {
            let message = format!("`{name}` lies inside `{other}`");
            problems.push(Diagnostic::new(span, message).also(*place, "the other").help("give each a path of its own"));
        }
    }
}
