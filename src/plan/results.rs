//! `results`: which outputs the user gets, and under which paths.

use std::borrow::Cow;

use athanor_stages::artifact::ArtifactType;

use crate::escape::is_unprintable;
use crate::language::document::Document;
use crate::language::node::{Key, Node, Value};
use crate::language::{Diagnostic, suggest};

use super::draft::{Draft, Drafting, State};
use super::evaluate::evaluate;
use super::matrix::Point;
use super::model::{ResultEntry, ResultSource};
use super::outputs::check_apart;
use super::plain_path::plain_path;
use super::result_names::{self, LabelledResult};
use super::wiring::{Reader, Wiring};

/// The results of the document.
pub(super) fn results(
    document: &Document,
    drafts: &[Draft<'_, '_>],
    wiring: &mut Wiring<'_, '_, '_>,
    drafting: &Drafting<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<ResultEntry> {
    let mut results = Vec::new();
    let mut paths = Vec::new();
    let nowhere = Point::default();
    for (key, value) in document.results.iter().flat_map(|results| &results.entries) {
        let Some(name) = name(key, drafting, problems) else { continue };
        let path = match plain_path(&name) {
            Ok(path) => path,
            Err(reason) => {
                let message = format!("the result `{name}` is {reason}");
                let help = "a result is a path under the pipeline's folder of results, such as `submission.csv`";
                problems.push(Diagnostic::new(key.span, message).help(help));
                continue;
            }
        };
        paths.push((key.name.as_str(), key.span, path.clone()));
        let template = drafting.engine.template(&value.node, drafting.texts, &["vars"], problems);
        let Ok(Some(text)) = evaluate::<String>(Some(&template), drafting.scope, problems) else { continue };
        let span = value.node.span;
        if !wiring.is_stage(text.trim()) {
            let names: Vec<&str> = drafts.iter().map(|draft| draft.key.name.as_str()).collect();
            let near = wiring.near_stages(&text).first().map(|near| format!("did you mean `{near}`?"));
            let help = near.or_else(|| suggest::listing(names.iter().copied(), "stages"));
            problems.push(Diagnostic::new(span, format!("unknown stage `{}`", text.trim())).maybe_help(help));
            continue;
        }
        let reader = Reader { point: &nowhere, artifact: ArtifactType::Any, free: true, port: &key.name };
        match wiring.find(text.trim(), span, &reader) {
            Ok(found) => {
                let slots = drafts[found.stage].slots.as_deref().unwrap_or_default();
                let (mut sources, mut mistakes) = (Vec::new(), Vec::new());
                for (slot, output) in &found.slots {
                    let slot = &slots[*slot];
                    let free = slot.point.axes.iter().filter(|(axis, _)| !found.held.contains(&axis.to_string()));
                    let label: Vec<String> =
                        free.map(|(axis, value)| format!("{axis}={}", in_file_name(&value.label))).collect();
                    let label = (found.gathered && !label.is_empty()).then(|| label.join(","));
                    let port = slot.outputs.as_deref().and_then(|outputs| outputs.get(*output));
                    let of_axes = label.as_deref().zip(port).map(|(label, port)| LabelledResult { label, port });
                    mistakes.extend(result_names::mistake(&key.name, &path, of_axes, key.span));
                    if let State::Included(instance) = slot.state {
                        sources.push(ResultSource { label, instance, output: *output });
                    }
                }
                // One is enough: the others are of the same kind.
                problems.extend(mistakes.into_iter().next());
                if !sources.is_empty() {
                    results.push(ResultEntry { path, sources, span });
                }
            }
            Err(failure) => problems.extend(failure.map(|problem| *problem)),
        }
    }
    check_apart(paths.iter().map(|(name, span, path)| (*name, *span, path.as_str())), problems);
    results
}

/// The name of a result, in which expressions may stand.
fn name<'k>(key: &'k Key, drafting: &Drafting<'_>, problems: &mut Vec<Diagnostic>) -> Option<Cow<'k, str>> {
    if !key.name.contains("${{") {
        return Some(Cow::Borrowed(&key.name));
    }
    let node = Node { value: Value::Text(key.name.clone()), span: key.span };
    let template = drafting.engine.template(&node, drafting.texts, &["vars"], problems);
    evaluate::<String>(Some(&template), drafting.scope, problems).ok().flatten().map(Cow::Owned)
}

/// A label as part of one file's name: without slashes and characters that are not to be seen, and no two labels alike.
fn in_file_name(label: &str) -> String {
    let mut name = String::with_capacity(label.len());
    for letter in label.chars() {
        if matches!(letter, '%' | '/') || is_unprintable(letter) {
            letter.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| name.push_str(&format!("%{byte:02X}")));
        } else {
            name.push(letter);
        }
    }
    name
}
