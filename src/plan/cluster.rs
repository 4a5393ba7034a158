//! Options of a stage's jobs on a cluster: the keys `resources.time` and `slurm`.

use std::time::Duration;

use crate::language::Diagnostic;
use crate::language::document::Stage;
use crate::language::expression::Template;
use crate::language::scope::Scope;

use super::evaluate::{Reported, evaluate};
use super::model::ClusterOptions;

/// The expressions of these keys.
#[derive(Default)]
pub(super) struct ClusterTemplates<'e> {
    /// Time limit.
    pub time: Option<Template<'e>>,
    /// Partition.
    pub partition: Option<Template<'e>>,
    /// Account.
    pub account: Option<Template<'e>>,
    /// Quality of service.
    pub qos: Option<Template<'e>>,
}

/// The options of the stage `keys` at one point.
pub(super) fn cluster_options(
    templates: &ClusterTemplates<'_>,
    keys: &Stage,
    scope: &Scope,
    problems: &mut Vec<Diagnostic>,
) -> Result<ClusterOptions, Reported> {
    let time = evaluate::<Duration>(templates.time.as_ref(), scope, problems);
    let mut text = |template: &Option<Template<'_>>| evaluate::<String>(template.as_ref(), scope, problems);
    let (partition, account, qos) = (text(&templates.partition), text(&templates.account), text(&templates.qos));
    let extra = keys.slurm.as_ref().and_then(|slurm| slurm.extra.as_ref());
    let extra = extra.map(|list| list.0.iter().map(|option| option.value.clone()).collect());
    Ok(ClusterOptions { time: time?, partition: partition?, account: account?, qos: qos?, extra })
}
