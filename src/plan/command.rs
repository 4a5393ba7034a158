//! Commands: the outputs they declare and the shell line they run.

use std::collections::HashMap;
use std::fmt::Write as _;

use athanor_stages::ports::OutputPort;

use crate::language::document::Stage;
use crate::language::expression::{Compiled, Template, scalar_text};
use crate::language::node::{Entry, Key, Node, Value};
use crate::language::scope::Scope;
use crate::language::{Diagnostic, Span};

use super::evaluate::Reported;
use super::mentions::{Mentions, mentions};
use super::model::{CommandLine, Input, Resources};
use super::plain_path::plain_path;
use super::shell;

/// Checks the paths of declared outputs and normalises them.
pub(super) fn check_outputs(
    paths: &mut [(&Key, Span, String)],
    problems: &mut Vec<Diagnostic>,
) -> Result<(), Reported> {
    let before = problems.len();
    for (key, span, path) in paths.iter_mut() {
        match plain_path(path) {
            Ok(plain) if plain == "inputs" || plain.starts_with("inputs/") => {
                let message = format!("the output `{}` is under `inputs/`, where the stage's inputs are", key.name);
                problems.push(Diagnostic::new(*span, message));
            }
            Ok(plain) => *path = plain,
            Err(reason) => {
                let message = format!("the output `{}` is {reason}", key.name);
                let help = "an output is a path inside the stage's own folder, such as `figure.png`";
                problems.push(Diagnostic::new(*span, message).help(help));
            }
        }
    }
    if problems.len() == before {
        check_apart(paths.iter().map(|(key, span, path)| (key.name.as_str(), *span, path.as_str())), problems);
    }
    if problems.len() == before { Ok(()) } else { Err(Reported) }
}

/// Checks that no path is another's, or lies inside another.
pub(super) fn check_apart<'a>(
    paths: impl Iterator<Item = (&'a str, Span, &'a str)> + Clone,
    problems: &mut Vec<Diagnostic>,
) {
    let mut known: HashMap<&str, (&str, Span)> = HashMap::new();
    for (name, span, path) in paths.clone() {
        if let Some((other, place)) = known.insert(path, (name, span)) {
            let message = format!("`{name}` and `{other}` have the same path `{path}`");
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

/// The names in `resources`.
const RESOURCES: [&str; 4] = ["cpus", "gpus", "memory", "gpu_memory"];

/// A compiled `run`.
pub(super) struct CommandTemplate<'t, 'e> {
    run: &'t Template<'e>,
}

impl<'t, 'e> CommandTemplate<'t, 'e> {
    /// Takes the compiled `run`.
    pub(super) fn new(run: &'t Template<'e>) -> Self {
        CommandTemplate { run }
    }

    /// The shell line of an instance; `scope` has `vars` and `matrix`.
    pub(super) fn render(
        &self,
        scope: Scope,
        inputs: &[Input],
        outputs: &[OutputPort],
        resources: &Resources,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<CommandLine> {
        let place = Span::default();
        let scope = scope
            .with("inputs", &inputs_node(inputs, place))
            .with(
                "outputs",
                &map(outputs.iter().map(|output| (output.name.as_str(), text(&output.file, place))), place),
            )
            .with("resources", &resources_node(resources, place));
        let line = self.run.interpolate(&scope, problems, &mut shell_words)?;
        if line.trim().is_empty() {
            problems.push(Diagnostic::new(self.run.span, "`run` is empty: there is nothing to run"));
            return None;
        }
        let identity = self.identity(&scope)?;
        let Mentions { files, in_place, modules } = mentions(&line, outputs);
        Some(CommandLine { line, identity, mentions: files, in_place, modules, reads: Vec::new() })
    }

    /// Checks the line of an instance of the stage `keys` that has others: the names of its inputs and outputs
    /// are known, their values are not.
    pub(super) fn check(&self, scope: Scope, keys: &Stage, problems: &mut Vec<Diagnostic>) {
        let inputs = keys.inputs.as_ref().map(|inputs| inputs.names.as_slice()).unwrap_or_default();
        let outputs = keys.outputs.as_ref().map(|outputs| outputs.names.as_slice()).unwrap_or_default();
        let resources = RESOURCES.map(str::to_owned);
        let mut named = scope;
        for (root, names) in [("inputs", inputs), ("outputs", outputs), ("resources", &resources)] {
            let path = |name: &String| vec![root.to_owned(), name.clone()];
            let failed = if keys.unread.contains(&root) {
                vec![vec![root.to_owned()]]
            } else {
                names.iter().map(path).collect()
            };
            let place = Span::default();
            let values = names.iter().map(|name| (name.as_str(), Node { value: Value::Null, span: place }));
            named = named.with(root, &map(values, place)).with_failed(failed);
        }
        self.run.interpolate(&named, problems, &mut shell_words);
    }

    /// The line with expressions that mention `resources` left as they are written, and the other values these use.
    fn identity(&self, scope: &Scope) -> Option<String> {
        let mut chains = Vec::new();
        self.run.visit(&mut |compiled| {
            if compiled.mentions("resources") {
                chains.extend(&compiled.chains);
            }
        });
        // The line was rendered without a mistake just before, so nothing is reported here.
        let mut identity = self.run.interpolate(scope, &mut Vec::new(), &mut |value, compiled, before| {
            if compiled.mentions("resources") {
                Ok(format!("${{{{ {} }}}}", compiled.source))
            } else {
                shell_words(value, compiled, before)
            }
        })?;
        let mut told = Vec::new();
        for chain in chains.into_iter().filter(|chain| chain.path[0] != "resources") {
            let name = chain.path.join(".");
            if let Some(value) = scope.value(chain, Span::default())
                && !told.contains(&name)
            {
                // Writing to a string cannot fail.
                let _ = write!(identity, "\n# {name} = {}", value.to_json());
                told.push(name);
            }
        }
        Some(identity)
    }
}

/// A value as it is written in the shell line that begins with `before`.
fn shell_words(value: &Node, compiled: &Compiled<'_>, before: &str) -> Result<String, Box<Diagnostic>> {
    let words: Option<Vec<String>> = match &value.value {
        Value::List(items) => items.iter().map(|item| scalar_text(&item.value)).collect(),
        other => scalar_text(other).map(|text| vec![text]),
    };
    let Some(words) = words else {
        let message = format!("{} cannot be put into a shell line", value.value.noun());
        let help = "only text, numbers, truth values and lists of them can";
        return Err(Box::new(Diagnostic::new(compiled.span, message).help(help)));
    };
    let list = matches!(value.value, Value::List(_));
    shell::context(before)
        .and_then(|context| shell::write(&words, list, context))
        .map_err(|shell::Unquotable(message, help)| Box::new(Diagnostic::new(compiled.span, message).help(help)))
}

fn inputs_node(inputs: &[Input], place: Span) -> Node {
    let value = |input: &Input| match (input.list, input.files.first()) {
        (true, _) => {
            Node { value: Value::List(input.files.iter().map(|file| text(file, place)).collect()), span: place }
        }
        (false, Some(file)) => text(file, place),
        (false, None) => Node { value: Value::Null, span: place },
    };
    map(inputs.iter().map(|input| (input.port.as_str(), value(input))), place)
}

fn resources_node(resources: &Resources, place: Span) -> Node {
    let size = |size: Option<crate::language::ByteSize>| match size {
        Some(size) => text(&size.to_string(), place),
        None => Node { value: Value::Null, span: place },
    };
    let gpus = resources.gpus.to_string();
    let gpus = gpus.parse::<u64>().map_or_else(
        |_| serde_json::Number::from_f64(f64::from(resources.gpus.share_of_each()) / 1000.0),
        |whole| Some(whole.into()),
    );
    let values = [
        Node { value: resources.cpus.map_or(Value::Null, |cpus| Value::Number(cpus.into())), span: place },
        Node { value: gpus.map_or(Value::Null, Value::Number), span: place },
        size(resources.memory),
        size(resources.gpu_memory),
    ];
    map(RESOURCES.into_iter().zip(values), place)
}

fn map<'a>(entries: impl Iterator<Item = (&'a str, Node)>, place: Span) -> Node {
    let entry = |(name, value): (&str, Node)| Entry { key: Key { name: name.to_owned(), span: place }, value };
    Node { value: Value::Map(entries.map(entry).collect()), span: place }
}

fn text(text: &str, place: Span) -> Node {
    Node { value: Value::Text(text.to_owned()), span: place }
}
