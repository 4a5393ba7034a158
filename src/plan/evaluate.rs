//! Evaluation of a stage's expressions at one point of its matrix.

use crate::language::Diagnostic;
use crate::language::expression::Template;
use crate::language::scope::Scope;
use crate::language::shape::Typed;

use super::matrix::Point;
use super::shown_values;

/// A mistake that has been reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reported;

/// The typed value of a template; `None` where there is no template.
pub(super) fn evaluate<T: Typed>(
    template: Option<&Template<'_>>,
    scope: &Scope,
    problems: &mut Vec<Diagnostic>,
) -> Result<Option<T>, Reported> {
    let Some(template) = template else { return Ok(None) };
    let node = template.evaluate(scope, problems).ok_or(Reported)?;
    T::parse(&node.value).map(Some).map_err(|message| {
        let problem = Diagnostic::new(node.span, message);
        problems.push(shown_values::with_value(problem, &node.value, template, scope));
        Reported
    })
}

impl Scope {
    /// The scope at a point of a stage.
    pub fn at(&self, point: &Point, many: bool) -> Scope {
        if many { self.clone().with_matrix(point.names()) } else { self.clone() }
    }
}
