//! Evaluation of a stage's expressions at one point of its matrix.

use crate::language::Diagnostic;
use crate::language::expression::Template;
use crate::language::scope::Scope;
use crate::language::shape::{Templated, Typed};

use super::matrix::Point;

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
    Templated::<T>::parse(&node, problems).map(Some).ok_or(Reported)
}

impl Scope {
    /// The scope at a point of a stage.
    pub fn at(&self, point: &Point, many: bool) -> Scope {
        if many { self.clone().with_matrix(point.names()) } else { self.clone() }
    }
}
