//! Commands: the script they run.

use std::fmt::Write as _;

use athanor_stages::ports::OutputPort;

use crate::language::document::Stage;
use crate::language::expression::{Around, Compiled, Render, Template};
use crate::language::node::{Entry, Key, Node, Value};
use crate::language::scope::Scope;
use crate::language::shape::Literal;
use crate::language::{Diagnostic, Language, Shell, Span};

use super::context::{CONTEXT_VARIABLE, values_used};
use super::mentions::{Mentions, mentions};
use super::model::{CommandLine, EnvVariable, Input, Resources};
use super::{python, shell, shell_scan};

/// A line of the identity of texts that mention `resources`. These are known by their sources, which stay when expressions write
/// values in another way, as this version does.
const WRITES_VALUES: &str = "\n# true, false, null and numbers in text as in YAML";

/// The names in `resources`.
const RESOURCES: [&str; 4] = ["cpus", "gpus", "memory", "gpu_memory"];

/// A compiled `run`.
pub(super) struct CommandTemplate<'t, 'e> {
    run: &'t Template<'e>,
    /// Variables that it sets.
    env: &'t [(&'t Key, Template<'e>)],
    /// The stage's keys.
    keys: &'t Stage,
    /// Further expressions of the stage, whose values [`CONTEXT_VARIABLE`] tells.
    others: Vec<&'t Template<'e>>,
}

impl<'t, 'e> CommandTemplate<'t, 'e> {
    /// Takes the compiled `run` and `env`, and the other templates of the stage `keys`.
    pub(super) fn new(
        run: &'t Template<'e>,
        env: &'t [(&'t Key, Template<'e>)],
        others: Vec<&'t Template<'e>>,
        keys: &'t Stage,
    ) -> Self {
        CommandTemplate { run, env, keys, others }
    }

    /// The script of an instance for `shell`; `scope` has `vars` and `matrix`.
    pub(super) fn render(
        &self,
        scope: Scope,
        shell: Shell,
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
        let language = shell.language();
        let (line, identity) = with_identity(self.run, &scope, problems, &mut written(language))?;
        if line.trim().is_empty() {
            problems.push(Diagnostic::new(self.run.span, "`run` is empty: there is nothing to run"));
            return None;
        }
        if line.contains('\0') {
            let message = "the script has a NUL character in it, which no shell can read";
            problems.push(
                Diagnostic::new(self.run.span, message)
                    .help("take it out of the text, or of the value that is put there"),
            );
            return None;
        }
        let identity = Some(identity).filter(|identity| *identity != line);
        let env = self.env(&scope, problems)?;
        let Mentions { mut files, in_place, modules } = mentions(&line, language, outputs);
        files.extend(shell.words().into_iter().flat_map(|word| mentions(&word, Language::Unknown, outputs).files));
        let tells = language == Language::Unknown || line.contains(CONTEXT_VARIABLE);
        let templates = std::iter::once(self.run).chain(self.env.iter().map(|(_, value)| value));
        let context = tells.then(|| values_used(&scope, templates.chain(self.others.iter().copied())));
        let Stage { env_passthrough, versions, .. } = self.keys;
        let passed = env_passthrough.iter().flat_map(|list| &list.0).map(|name| name.value.clone()).collect();
        let versions = version_commands(versions.iter().flat_map(|list| &list.0), problems)?;
        Some(CommandLine {
            line,
            identity,
            mentions: files,
            in_place,
            modules,
            reads: Vec::new(),
            shell,
            context,
            env,
            env_passthrough: passed,
            versions,
            container: None,
        })
    }

    /// The variables that an instance sets, by name.
    fn env(&self, scope: &Scope, problems: &mut Vec<Diagnostic>) -> Option<Vec<EnvVariable>> {
        let mut plain = |value: &Node, compiled: &Compiled<'_>, _: Around<'_>| {
            let noun = value.value.noun();
            value.value.scalar_text().ok_or_else(|| {
                let help = match value.value {
                    Value::List(_) => "write a list as one text: `${{ … | join(' ') }}`",
                    _ => "name one of its values, or write all of it as JSON: `${{ … | tojson }}`",
                };
                Box::new(Diagnostic::new(compiled.span, format!("{noun} cannot be put into a variable")).help(help))
            })
        };
        let mut env = Vec::with_capacity(self.env.len());
        for (key, template) in self.env {
            let (value, identity) = with_identity(template, scope, problems, &mut plain)?;
            if value.contains('\0') {
                let help = "take it out of the text, or of the value that is put there";
                problems.push(Diagnostic::new(template.span, "a variable cannot hold a NUL character").help(help));
                return None;
            }
            env.push(EnvVariable { name: key.name.clone(), value, identity });
        }
        env.sort_by(|left, right| left.name.cmp(&right.name));
        Some(env)
    }

    /// Checks the script of an instance that has other mistakes: the names of its inputs and outputs are known, their values
    /// are not.
    pub(super) fn check(&self, scope: Scope, shell: &Shell, problems: &mut Vec<Diagnostic>) {
        let keys = self.keys;
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
        self.run.interpolate(&named, problems, &mut written(shell.language()));
        self.env(&named, problems);
    }
}

/// A text, and the same with expressions that mention `resources` left as they are written, and the other values these use.
fn with_identity(
    template: &Template<'_>,
    scope: &Scope,
    problems: &mut Vec<Diagnostic>,
    render: &mut Render<'_>,
) -> Option<(String, String)> {
    let mut written = Vec::new();
    let text = template.interpolate(scope, problems, &mut |value, compiled, around| {
        let value = render(value, compiled, around)?;
        written.push(value.clone());
        Ok(value)
    })?;
    let mut chains = Vec::new();
    template.visit(&mut |compiled| {
        if compiled.mentions("resources") {
            chains.extend(&compiled.chains);
        }
    });
    // Values stand in it as in the text, since an expression that is left in it may have quotes in it. The text was rendered
    // without a mistake just before, so nothing is reported here.
    let mut written = written.into_iter();
    let mut identity = template.interpolate(scope, &mut Vec::new(), &mut |_, compiled, _| {
        let value = written.next().unwrap_or_default();
        if compiled.mentions("resources") { Ok(format!("${{{{ {} }}}}", compiled.source)) } else { Ok(value) }
    })?;
    if !chains.is_empty() {
        identity += WRITES_VALUES;
    }
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
    Some((text, identity))
}

/// Formatter of values in a script of `language`.
fn written(language: Language) -> impl FnMut(&Node, &Compiled<'_>, Around<'_>) -> Result<String, Box<Diagnostic>> {
    move |value, compiled, around| match language {
        Language::Posix => shell_words(value, compiled, around, false),
        Language::Bash => shell_words(value, compiled, around, true),
        Language::Python => python_literal(value, compiled, around.before),
        Language::Unknown => {
            let message = "an expression cannot stand in `run` here: how this shell writes values is not known";
            let help = format!(
                "pass the value by `env: {{ NAME: \"${{{{ … }}}}\" }}`, or read it from the JSON file that `{CONTEXT_VARIABLE}` names"
            );
            Err(Box::new(Diagnostic::new(compiled.span, message).help(help)))
        }
    }
}

/// A value as it is written in a shell script, between what is around it.
fn shell_words(
    value: &Node,
    compiled: &Compiled<'_>,
    around: Around<'_>,
    escapes: bool,
) -> Result<String, Box<Diagnostic>> {
    let words: Option<Vec<String>> = match &value.value {
        Value::List(items) => items.iter().map(|item| item.value.scalar_text()).collect(),
        other => other.scalar_text().map(|text| vec![text]),
    };
    let Some(words) = words else {
        let message = format!("{} cannot be put into a shell line", value.value.noun());
        let help = match value.value {
            Value::Null => "write `\"\"` for an empty text; after `#` all is a comment, unless it is in quotes",
            _ => "only text, numbers, truth values and lists of them can",
        };
        return Err(Box::new(Diagnostic::new(compiled.span, message).help(help)));
    };
    let list = matches!(value.value, Value::List(_));
    shell_scan::place(around.before, escapes)
        .and_then(|place| shell::write(&words, list, &place, around.after))
        .map_err(|shell_scan::Unquotable(message, help)| Box::new(Diagnostic::new(compiled.span, message).help(help)))
}

/// Version commands as they are asked, unless one of them cannot be.
fn version_commands<'v>(
    written: impl Iterator<Item = &'v Literal<String>>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<String>> {
    let mut commands = Vec::new();
    for command in written {
        let (message, help) = match command.value.as_str() {
            text if text.contains('\0') => ("a version command cannot hold a NUL character", "take it out of the text"),
            text if text.trim().is_empty() => ("a version command is empty", "write one, such as `python --version`"),
            text => {
                commands.push(text.to_owned());
                continue;
            }
        };
        problems.push(Diagnostic::new(command.span, message).help(help));
        return None;
    }
    Some(commands)
}

/// A value as it is written in the Python script that begins with `before`.
fn python_literal(value: &Node, compiled: &Compiled<'_>, before: &str) -> Result<String, Box<Diagnostic>> {
    let (message, help) = match python::context(before) {
        python::Context::Code => return Ok(python::literal(value)),
        python::Context::Quoted => (
            "a value cannot stand inside a quoted text of Python",
            "take the quotes away: the value is written as a literal, a text with quotes of its own",
        ),
        python::Context::Prefixed => (
            "a value cannot stand right behind a letter that says how a text is read",
            "take the letter away: the value is written as a literal, a text with quotes of its own",
        ),
    };
    Err(Box::new(Diagnostic::new(compiled.span, message).help(help)))
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
