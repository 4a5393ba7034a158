//! The list of a pipeline's runs.

use jiff::Timestamp;
use serde::Serialize;

use crate::escape::escape;
use crate::events::{Counts, RunEvent};
use crate::metric_names::rank;
use crate::report::gather::outcome_name;
use crate::run::RunError;
use crate::run::state::history::History;
use crate::view::metrics::shortened;
use crate::view::text::{duration, table};

/// Run in the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct ListedRun {
    /// Name.
    pub run: String,
    /// Time at which it began.
    pub began: Option<Timestamp>,
    /// Duration, or so far.
    pub duration_ms: Option<u64>,
    /// Outcome: that of an event, or `running` or `killed`.
    pub outcome: String,
    /// Numbers of instances by outcome.
    pub counts: Counts,
    /// Variables that were set for it.
    pub set: Vec<String>,
    /// Commit of the project.
    pub commit: Option<String>,
    /// Metrics of its last stages: instance, metric and value.
    pub headline: Vec<(String, String, f64)>,
    /// Whether its log is still there.
    pub has_log: bool,
}

/// Runs of a pipeline in which anything happened, oldest first.
pub(crate) fn list_runs(history: &History) -> Result<Vec<ListedRun>, RunError> {
    let logged = history.runs()?;
    let mut runs: Vec<_> = history
        .summaries()?
        .into_iter()
        .map(|summary| {
            let began = summary.ended.checked_sub(jiff::SignedDuration::from_millis(summary.duration_ms.cast_signed()));
            let listed = ListedRun {
                run: summary.run.to_string(),
                began: began.ok(),
                duration_ms: Some(summary.duration_ms),
                outcome: outcome_name(summary.outcome).to_owned(),
                counts: summary.counts,
                set: summary.set,
                commit: summary.commit,
                headline: summary.headline,
                has_log: logged.contains(&summary.run),
            };
            (summary.run, listed)
        })
        .collect();
    for run in logged.iter().filter(|run| runs.iter().all(|(known, _)| known != *run)).cloned().collect::<Vec<_>>() {
        let events = history.events(&run)?;
        let end = events.iter().rev().find_map(|stamped| match stamped.event {
            RunEvent::RunFinished { outcome, counts, duration_ms } => {
                Some((outcome_name(outcome), counts, duration_ms))
            }
            _ => None,
        });
        let count = |is: fn(&RunEvent) -> bool| events.iter().filter(|stamped| is(&stamped.event)).count();
        let so_far = Counts {
            ran: count(|event| matches!(event, RunEvent::Finished { .. })),
            cached: count(|event| matches!(event, RunEvent::Cached { .. })),
            failed: count(|event| matches!(event, RunEvent::Failed { retrying: false, .. })),
            ..Counts::default()
        };
        let began = events.first().map(|first| first.time);
        let last = events.last().zip(began).map(|(last, began)| last.time.as_millisecond() - began.as_millisecond());
        let is_last = logged.last() == Some(&run);
        let no_end = if is_last && history.is_running().unwrap_or(false) { "running" } else { "killed" };
        let listed = ListedRun {
            run: run.to_string(),
            began,
            duration_ms: end.map(|(_, _, duration)| duration).or(last.map(i64::cast_unsigned)),
            outcome: end.map_or(no_end, |(outcome, _, _)| outcome).to_owned(),
            counts: end.map_or(so_far, |(_, counts, _)| counts),
            set: Vec::new(),
            commit: None,
            headline: Vec::new(),
            has_log: true,
        };
        runs.push((run, listed));
    }
    runs.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(runs.into_iter().map(|(_, listed)| listed).collect())
}

/// The list as text, newest first.
pub(crate) fn text(runs: &[ListedRun]) -> String {
    let row = |run: &ListedRun| {
        let Counts { ran, cached, failed, skipped, .. } = run.counts;
        let parts = [(ran, "ran"), (cached, "cached"), (failed, "failed"), (skipped, "skipped")];
        let counts: Vec<String> =
            parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        // Those of earlier versions are in another order.
        let mut headline: Vec<&(String, String, f64)> = run.headline.iter().collect();
        headline.sort_by_key(|(_, metric, _)| rank(metric));
        let metrics: Vec<String> = headline
            .into_iter()
            .map(|(instance, metric, value)| format!("{}.{} = {}", escape(instance), escape(metric), shortened(*value)))
            .collect();
        vec![
            run.run.clone(),
            run.began.map(|began| began.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default(),
            run.duration_ms.map(duration).unwrap_or_default(),
            run.outcome.replace('_', " "),
            counts.join(", "),
            escape(&run.set.join(" ")).into_owned(),
            metrics.join(", "),
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().rev().map(row).collect();
    table(&["RUN", "BEGAN (UTC)", "TOOK", "OUTCOME", "INSTANCES", "SET", "METRICS"], &rows)
}
