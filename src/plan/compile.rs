//! From the pipeline's text to the plan.

use std::sync::Arc;

use crate::language::{Diagnostics, SourceText};

use super::model::Plan;

/// What the command line changes in the pipeline's `vars`.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Names of profiles, applied in this order.
    pub profiles: Vec<String>,
    /// `NAME=VALUE` settings, applied after the profiles.
    pub set: Vec<String>,
}

/// Compiles a pipeline, or says everything that is wrong with it.
pub fn compile(source: &SourceText, overrides: &Overrides) -> Result<Plan, Diagnostics> {
    let named =
        |(index, text): (usize, &String)| SourceText { name: format!("--set #{}", index + 1), text: text.clone() };
    let texts: Arc<[SourceText]> =
        std::iter::once(source.clone()).chain(overrides.set.iter().enumerate().map(named)).collect();
    Err(Diagnostics::new(texts))
}
