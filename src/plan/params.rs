//! Parameters: checked by the kind, with its problems put where they are written.

use std::collections::HashMap;
use std::sync::Arc;

use athanor_stages::kind::Kind;
use athanor_stages::params::ParamProblem;
use athanor_stages::ports::OutputPort;

use crate::language::node::{Entry, Key, Node, Value};
use crate::language::{Diagnostic, Span, suggest};

/// Checks the parameters of the instances of one stage; instances with the same parameters are checked once.
pub(super) struct ParamCheck {
    kind: &'static dyn Kind,
    /// The stage's name, where missing parameters are reported when there is no `params`.
    span: Span,
    known: HashMap<String, Result<Checked, Vec<ParamProblem>>>,
}

/// Parameters that are right.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    /// Their canonical value.
    pub params: serde_json::Value,
    /// The outputs that they give; `None` where the stage names its own.
    pub outputs: Option<Arc<[OutputPort]>>,
}

impl ParamCheck {
    /// Checks for `kind`.
    pub(super) fn new(kind: &'static dyn Kind, span: Span) -> Self {
        ParamCheck { kind, span, known: HashMap::new() }
    }

    /// Checks `params` and completes them.
    pub(super) fn check(&mut self, params: Option<&Node>, problems: &mut Vec<Diagnostic>) -> Option<Checked> {
        let json = params.map_or(serde_json::Value::Null, Node::to_json);
        let kind = self.kind;
        let checked = self.known.entry(json.to_string()).or_insert_with(|| {
            let params = kind.check_params(&json)?;
            let outputs = kind.outputs(&params).map(Arc::from);
            Ok(Checked { params, outputs })
        });
        match checked {
            Ok(checked) => Some(checked.clone()),
            Err(found) => {
                let nothing = Node { value: Value::Null, span: self.span };
                let params = params.unwrap_or(&nothing);
                problems.extend(found.iter().map(|problem| place(problem, self.kind, params, self.span)));
                None
            }
        }
    }

    /// Reports keys that are no parameters, where a mistake in a value hides what the values are.
    pub(super) fn check_names(&self, keys: &[&Key], problems: &mut Vec<Diagnostic>) {
        let entry = |key: &&Key| Entry { key: (*key).clone(), value: Node { value: Value::Null, span: key.span } };
        let params = Node { value: Value::Map(keys.iter().map(entry).collect()), span: Span::default() };
        let found = self.kind.check_params(&params.to_json()).err().unwrap_or_default();
        let names = found.iter().filter(|problem| problem.at_key);
        problems.extend(names.map(|problem| place(problem, self.kind, &params, Span::default())));
    }
}

/// The problem at the key or value it is about.
fn place(problem: &ParamProblem, kind: &dyn Kind, params: &Node, stage: Span) -> Diagnostic {
    let mut node = params;
    let mut span = if problem.path.is_empty() { stage } else { params.span };
    for (depth, name) in problem.path.iter().enumerate() {
        let name = name.trim_start_matches('[').trim_end_matches(']');
        match &node.value {
            Value::Map(entries) => {
                let Some(entry) = entries.iter().find(|entry| entry.key.name == name) else { break };
                let last = depth + 1 == problem.path.len();
                span = if last && problem.at_key { entry.key.span } else { entry.value.span };
                node = &entry.value;
            }
            Value::List(items) => {
                let Some(item) = name.parse::<usize>().ok().and_then(|index| items.get(index)) else { break };
                span = item.span;
                node = item;
            }
            _ => break,
        }
    }
    let candidates = problem.candidates.iter().map(String::as_str);
    let help = match problem.path.last() {
        None => Some(format!("`athanor kinds {}` describes the parameters", kind.name())),
        Some(key) if problem.at_key && kind.name() == "command" => {
            Some(format!("{} takes none: a script has values written into it, `${{{{ vars.{key} }}}}`", kind.name()))
        }
        Some(key) if problem.at_key => suggest::help(key, candidates, "parameters"),
        Some(_) => suggest::help(node.text().unwrap_or_default(), candidates, "values"),
    };
    Diagnostic::new(span, problem.message.clone()).maybe_help(help)
}
