//! `vars`: included files, profiles, `--vars` and `--set` merged, and the expressions in them evaluated in the order they depend on each other.

use std::collections::HashMap;

use crate::language::document::{Document, IncludedFile};
use crate::language::expression::Engine;
use crate::language::node::{self, Entry, Key, Node, Value};
use crate::language::scope::Scope;
use crate::language::shape::{AnyName, Anything, Named};
use crate::language::{Diagnostic, SourceText, Span, suggest};

use super::set;

/// The evaluated `vars`, and the paths (from `vars` on) that have no value because of a mistake.
pub(super) struct Vars {
    /// A mapping.
    pub value: Node,
    /// Paths without a value.
    pub failed: Vec<Vec<String>>,
}

/// Text of `--set`, `--profile` or `--vars`: its number among the texts, and itself.
pub(super) type Argument<'a> = (u32, &'a str);

/// Layers that `vars` are merged from, lowest first.
pub(super) struct Layers<'a> {
    /// Files that the pipeline file includes.
    pub included: &'a [IncludedFile],
    /// The pipeline file.
    pub document: &'a Document,
    /// The chosen profiles.
    pub profiles: &'a [Argument<'a>],
    /// Files of `--vars`.
    pub files: &'a [Argument<'a>],
    /// Settings of `--set`.
    pub settings: &'a [Argument<'a>],
}

/// Merges the layers.
pub(super) fn merge(layers: &Layers<'_>, problems: &mut Vec<Diagnostic>) -> Node {
    let Layers { included, document, profiles, files, settings } = layers;
    let span = document.vars.as_ref().map_or(document.span, |vars| vars.span);
    let mut merged = Node { value: Value::Map(Vec::new()), span };
    let own = included.iter().filter_map(|file| file.vars.as_ref()).chain(&document.vars);
    own.for_each(|vars| overlay(&mut merged, &entries_of(vars)));
    let known: Vec<String> = merged.entries().unwrap_or_default().iter().map(|entry| entry.key.name.clone()).collect();
    for (_, profile) in document.profiles.iter().flat_map(|profiles| &profiles.entries) {
        let keys = profile.vars.iter().flat_map(|vars| &vars.entries).map(|(key, _)| key);
        problems.extend(strangers(keys, &known, "this profile"));
    }
    for (source, name) in *profiles {
        let declared = document.profiles.iter().flat_map(|profiles| &profiles.entries);
        match declared.clone().find(|(key, _)| key.name == *name) {
            Some((_, profile)) => {
                profile.vars.iter().for_each(|vars| overlay(&mut merged, &entries_of(vars)));
            }
            None => {
                let names = declared.map(|(key, _)| key.name.as_str());
                let help =
                    suggest::help(name, names, "profiles").unwrap_or_else(|| "there are no `profiles`".to_owned());
                let span = Span::new(*source, 0..name.len());
                problems.push(Diagnostic::new(span, format!("unknown profile `{name}`")).help(help));
            }
        }
    }
    for (source, text) in *files {
        match of_file(text, *source) {
            Ok(entries) => {
                problems.extend(strangers(entries.iter().map(|entry| &entry.key), &known, "this file"));
                overlay(&mut merged, &entries);
            }
            Err(problem) => problems.push(*problem),
        }
    }
    for (source, text) in *settings {
        if let Err(problem) = set::apply(&mut merged, text, *source) {
            problems.push(*problem);
        }
    }
    merged
}

fn entries_of(vars: &Named<AnyName, Anything>) -> Vec<Entry> {
    vars.entries.iter().map(|(key, value)| Entry { key: key.clone(), value: value.0.clone() }).collect()
}

/// The variables in a file of `--vars`.
fn of_file(text: &str, source: u32) -> Result<Vec<Entry>, Box<Diagnostic>> {
    let Node { value, span } = node::parse(text, 0, source)?;
    match value {
        Value::Map(entries) => Ok(entries),
        Value::Null => Ok(Vec::new()),
        other => {
            let message = format!("a file of variables is a mapping of their names to values, not {}", other.noun());
            Err(Box::new(Diagnostic::new(span, message)))
        }
    }
}

/// Mistakes about names that are not among the variables.
fn strangers<'k>(keys: impl Iterator<Item = &'k Key>, known: &[String], whose: &str) -> Vec<Diagnostic> {
    let stranger = |key: &Key| {
        let help = suggest::help(&key.name, known.iter().map(String::as_str), "vars");
        let message = format!("{whose} changes `{}`, which is not in `vars`", key.name);
        Diagnostic::new(key.span, message).maybe_help(help)
    };
    keys.filter(|key| !known.contains(&key.name)).map(stranger).collect()
}

/// Puts `changes` into the mapping `base`: mappings are merged, anything else is replaced.
fn overlay(base: &mut Node, changes: &[Entry]) {
    let Value::Map(entries) = &mut base.value else { return };
    for change in changes {
        match entries.iter_mut().find(|entry| entry.key.name == change.key.name) {
            Some(entry) => match (&entry.value.value, &change.value.value) {
                (Value::Map(_), Value::Map(deeper)) => overlay(&mut entry.value, deeper),
                _ => entry.value = change.value.clone(),
            },
            None => entries.push(change.clone()),
        }
    }
}

/// Evaluates the expressions in the merged `vars`.
pub(super) fn evaluate(merged: &Node, engine: &Engine, texts: &[SourceText], problems: &mut Vec<Diagnostic>) -> Vars {
    let mut resolver = Resolver { merged, engine, texts, problems, done: HashMap::new(), open: Vec::new() };
    let mut path = Vec::new();
    let value = resolver.subtree(merged, &mut path).unwrap_or_else(|| resolver.without_failed(merged, &mut Vec::new()));
    let failed = resolver.done.iter().filter(|(_, value)| value.is_none());
    let failed =
        failed.map(|(path, _)| std::iter::once("vars".to_owned()).chain(path.iter().cloned()).collect()).collect();
    Vars { value, failed }
}

struct Resolver<'a> {
    merged: &'a Node,
    engine: &'a Engine,
    texts: &'a [SourceText],
    problems: &'a mut Vec<Diagnostic>,
    /// Values of the scalars with expressions, by path; `None` where one failed.
    done: HashMap<Vec<String>, Option<Node>>,
    /// The scalars being evaluated, outermost first.
    open: Vec<Vec<String>>,
}

impl Resolver<'_> {
    /// Maximum depth of references between variables.
    const DEEPEST: usize = 64;

    fn subtree(&mut self, node: &Node, path: &mut Vec<String>) -> Option<Node> {
        let span = node.span;
        let value = match &node.value {
            Value::Text(text) if text.contains("${{") => return self.scalar(node, path),
            Value::List(items) => {
                let evaluate = |(index, item): (usize, &Node)| self.below(item, path, index.to_string());
                let items: Vec<_> = items.iter().enumerate().map(evaluate).collect();
                Value::List(items.into_iter().collect::<Option<_>>()?)
            }
            Value::Map(entries) => {
                let evaluate = |entry: &Entry| {
                    let value = self.below(&entry.value, path, entry.key.name.clone())?;
                    Some(Entry { key: entry.key.clone(), value })
                };
                let entries: Vec<_> = entries.iter().map(evaluate).collect();
                Value::Map(entries.into_iter().collect::<Option<_>>()?)
            }
            other => other.clone(),
        };
        Some(Node { value, span })
    }

    fn below(&mut self, node: &Node, path: &mut Vec<String>, name: String) -> Option<Node> {
        path.push(name);
        let value = self.subtree(node, path);
        path.pop();
        value
    }

    fn scalar(&mut self, node: &Node, path: &[String]) -> Option<Node> {
        if let Some(value) = self.done.get(path) {
            return value.clone();
        }
        if let Some(first) = self.open.iter().position(|open| open == path) {
            let circle = self.open[first..].iter().map(Vec::as_slice).chain([path]);
            let circle: Vec<String> = circle.map(|path| format!("`vars.{}`", path.join("."))).collect();
            let message = format!("these variables need each other: {}", circle.join(" → "));
            self.problems.push(Diagnostic::new(node.span, message).help("give one of them a value of its own"));
            return None;
        }
        if self.open.len() >= Self::DEEPEST {
            let message = format!("variables refer to each other more than {} deep", Self::DEEPEST);
            self.problems.push(Diagnostic::new(node.span, message));
            return None;
        }
        self.open.push(path.to_vec());
        let value = self.expression(node);
        self.open.pop();
        self.done.insert(path.to_vec(), value.clone());
        value
    }

    /// Evaluates a scalar after everything it reads.
    fn expression(&mut self, node: &Node) -> Option<Node> {
        let before = self.problems.len();
        let template = self.engine.template(node, self.texts, &["vars"], self.problems);
        let mut chains = Vec::new();
        template.visit(&mut |compiled| chains.extend(compiled.chains.iter().map(|chain| (chain, compiled))));
        let mut context = Node { value: Value::Map(Vec::new()), span: node.span };
        let mut complete = self.problems.len() == before;
        for (chain, compiled) in chains.into_iter().filter(|(chain, _)| chain.path[0] == "vars") {
            let (depth, reached) = walk(self.merged, &chain.path[1..]);
            let missing = matches!(reached.value, Value::Map(_)) && depth + 1 < chain.path.len();
            let mut path = chain.path[1..=depth].to_vec();
            if missing && chain.may_be_missing_after(depth + 1) {
                let nothing = Node { value: Value::Map(Vec::new()), span: reached.span };
                ensure(&mut context, &path, nothing);
                continue;
            }
            if missing {
                let names = reached.entries().unwrap_or_default().iter().map(|entry| entry.key.name.as_str());
                self.problems.push(compiled.unknown_name(chain, depth + 1, names, None));
                complete = false;
                continue;
            }
            match self.subtree(reached, &mut path) {
                Some(value) => insert(&mut context, &path, value),
                None => complete = false,
            }
        }
        if !complete {
            return None;
        }
        template.evaluate(&Scope::default().with("vars", &context), self.problems)
    }

    /// The tree without the scalars that failed.
    fn without_failed(&self, node: &Node, path: &mut Vec<String>) -> Node {
        let Value::Map(entries) = &node.value else { return node.clone() };
        let mut kept = Vec::new();
        for entry in entries {
            path.push(entry.key.name.clone());
            match self.done.get(path.as_slice()) {
                Some(Some(value)) => kept.push(Entry { key: entry.key.clone(), value: value.clone() }),
                Some(None) => {}
                None => kept.push(Entry { key: entry.key.clone(), value: self.without_failed(&entry.value, path) }),
            }
            path.pop();
        }
        Node { value: Value::Map(kept), span: node.span }
    }
}

/// Follows `path` from `root` through mappings as far as it exists: how many steps, and the node there.
fn walk<'n>(root: &'n Node, path: &[String]) -> (usize, &'n Node) {
    let mut node = root;
    for (depth, name) in path.iter().enumerate() {
        let Some(next) = node.get(name) else { return (depth, node) };
        node = next;
    }
    (path.len(), node)
}

/// Puts `value` at `path` if nothing is there.
fn ensure(root: &mut Node, path: &[String], value: Node) {
    if walk(root, path).0 < path.len() {
        insert(root, path, value);
    }
}

/// Puts `value` at `path`, making the mappings on the way.
fn insert(root: &mut Node, path: &[String], value: Node) {
    let Some((last, parents)) = path.split_last() else {
        *root = value;
        return;
    };
    let mut node = root;
    for name in parents {
        let span = node.span;
        let fresh =
            || Entry { key: Key { name: name.clone(), span }, value: Node { value: Value::Map(Vec::new()), span } };
        let Value::Map(entries) = &mut node.value else { return };
        let at = entries.iter().position(|entry| entry.key.name == *name).unwrap_or_else(|| {
            entries.push(fresh());
            entries.len() - 1
        });
        node = &mut entries[at].value;
    }
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| entry.key.name != *last);
        entries.push(Entry { key: Key { name: last.clone(), span: value.span }, value });
    }
}
