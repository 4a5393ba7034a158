//! Parameters: checked by the kind, with its problems put where they are written.

use std::collections::HashMap;
use std::sync::Arc;

use athanor_stages::kind::Kind;
use athanor_stages::params::ParamProblem;
use athanor_stages::ports::OutputPort;

use crate::language::node::{Node, Value};
use crate::language::{Diagnostic, Span, suggest};

/// Checks the parameters of the instances of one stage; instances with the same parameters are checked once.
pub struct ParamCheck {
    kind: &'static dyn Kind,
    /// The stage's name, where missing parameters are reported when there is no `params`.
    span: Span,
    known: HashMap<String, Result<Checked, Vec<ParamProblem>>>,
}

/// Parameters that are right.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Their canonical value.
    pub params: serde_json::Value,
    /// The outputs that they give; `None` where the stage names its own.
    pub outputs: Option<Arc<[OutputPort]>>,
}

impl ParamCheck {
    /// Checks for `kind`.
    pub fn new(kind: &'static dyn Kind, span: Span) -> Self {
        ParamCheck { kind, span, known: HashMap::new() }
    }

    /// What `params` come to.
    pub fn check(&mut self, params: Option<&Node>, problems: &mut Vec<Diagnostic>) -> Option<Checked> {
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
                problems.extend(found.iter().map(|problem| place(problem, params.unwrap_or(&nothing), self.span)));
                None
            }
        }
    }
}

/// The problem at the key or value it is about.
fn place(problem: &ParamProblem, params: &Node, stage: Span) -> Diagnostic {
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
    let last = problem.path.last().map_or("", String::as_str);
    let candidates = problem.candidates.iter().map(String::as_str);
    Diagnostic::new(span, problem.message.clone()).maybe_help(suggest::help(last, candidates, "parameters"))
}
