//! The list of a pipeline's runs.

use jiff::Timestamp;
use serde::Serialize;
use textwrap::core::display_width;

use crate::escape::escape;
use crate::events::{Counts, RunEvent};
use crate::metric_names::rank;
use crate::report::gather::outcome_name;
use crate::run::RunError;
use crate::run::state::history::History;
use crate::view::columns::Columns;
use crate::view::metrics::shortened;
use crate::view::text::{GAP, duration};

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

/// The list as text, newest first. Where lines have a `width`, what does not fit gives way: variables where none was set, the
/// time, which the name has as well, numbers of instances, metrics that tell less, and at last all metrics; variables lose their
/// middle.
pub(crate) fn text(runs: &[ListedRun], width: Option<usize>) -> String {
    let rows = runs.iter().rev().map(row).collect();
    let mut columns = Columns::new(&["RUN", "BEGAN (UTC)", "TOOK", "OUTCOME", "INSTANCES", SET], rows);
    let metrics = |room| runs.iter().rev().map(move |run| metrics(run, room));
    let Some(width) = width else {
        columns.push("METRICS", metrics(None));
        return columns.text();
    };
    if runs.iter().all(|run| run.set.is_empty()) {
        columns.leave_out(SET);
    }
    let beside = width.saturating_sub(GAP + LEAST_METRICS);
    columns.leave_out_until(beside, &["BEGAN (UTC)", "INSTANCES", "TOOK"]);
    columns.cut_to(beside, SET);
    let room = width.saturating_sub(columns.width() + GAP);
    let cells: Vec<String> = metrics(Some(room)).collect();
    let longest = cells.iter().map(|cell| display_width(cell)).max().unwrap_or(0);
    if longest <= room {
        columns.push("METRICS", cells.into_iter());
    } else {
        columns.cut_to(width, SET);
        columns.leave_out_until(width, &[SET]);
    }
    columns.text()
}

const SET: &str = "SET";
/// Characters of metrics for which there is always room.
const LEAST_METRICS: usize = 22;

fn row(run: &ListedRun) -> Vec<String> {
    let Counts { ran, cached, failed, skipped, .. } = run.counts;
    let parts = [(ran, "ran"), (cached, "cached"), (failed, "failed"), (skipped, "skipped")];
    let counts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    vec![
        run.run.clone(),
        run.began.map(|began| began.strftime("%Y-%m-%d %H:%M").to_string()).unwrap_or_default(),
        run.duration_ms.map(duration).unwrap_or_default(),
        run.outcome.replace('_', " "),
        counts.join(", "),
        escape(&run.set.join(" ")).into_owned(),
    ]
}

/// Metrics of a run, the most telling first: all of them, or those that fit into `width`, without their instances where not even one
/// fits with its own.
fn metrics(run: &ListedRun, width: Option<usize>) -> String {
    // Those of earlier versions are in another order.
    let mut headline: Vec<&(String, String, f64)> = run.headline.iter().collect();
    headline.sort_by_key(|(_, metric, _)| rank(metric));
    let mut shown: Vec<String> = headline
        .iter()
        .map(|(instance, metric, value)| format!("{}.{} = {}", escape(instance), escape(metric), shortened(*value)))
        .collect();
    let Some(width) = width else { return shown.join(", ") };
    let length = |text: &str| text.chars().count();
    if shown.first().is_some_and(|first| length(first) > width) {
        let alone = headline.iter().map(|(_, metric, value)| format!("{} = {}", escape(metric), shortened(*value)));
        shown = alone.collect();
    }
    let mut out = String::new();
    for text in shown {
        if out.is_empty() {
            out = text;
        } else if length(&out) + 2 + length(&text) <= width {
            out += &format!(", {text}");
        } else {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_what_fits() {
        let metric = |name: &str, value: f64| ("model[arch=resnet18]".to_owned(), name.to_owned(), value);
        let run = ListedRun {
            run: "000170-20261130-205356".to_owned(),
            began: Some(Timestamp::from_second(0).unwrap()),
            duration_ms: Some(13_600),
            outcome: "up_to_date".to_owned(),
            counts: Counts { ran: 1, cached: 3, ..Counts::default() },
            set: Vec::new(),
            commit: None,
            headline: vec![metric("f1_0", 0.25), metric("macro_f1", 0.5), metric("loss", 1.5)],
            has_log: true,
        };
        let wide = text(std::slice::from_ref(&run), None);
        assert!(wide.contains("SET  METRICS") && wide.contains("1970-01-01 00:00"), "{wide}");
        assert!(
            wide.ends_with(
                "macro_f1 = 0.5000, model[arch=resnet18].loss = 1.500, model[arch=resnet18].f1_0 = 0.2500\n"
            )
        );
        insta::assert_snapshot!(text(std::slice::from_ref(&run), Some(120)), @r"
        RUN                     BEGAN (UTC)       TOOK    OUTCOME     INSTANCES        METRICS
        000170-20261130-205356  1970-01-01 00:00  13.6 s  up to date  1 ran, 3 cached  model[arch=resnet18].macro_f1 = 0.5000
        ");
        insta::assert_snapshot!(text(std::slice::from_ref(&run), Some(40)), @r"
        RUN                     OUTCOME
        000170-20261130-205356  up to date
        ");
        let set = ListedRun {
            set: vec!["models.large.learning_rate=0.0001".to_owned(), "epochs=30".to_owned()],
            ..run.clone()
        };
        for width in [40, 60, 80, 100] {
            let shown = text(&[run.clone(), set.clone()], Some(width));
            assert!(shown.lines().all(|line| line.chars().count() <= width), "{width}: {shown}");
        }
        insta::assert_snapshot!(text(&[set], Some(80)), @r"
        RUN                     OUTCOME     SET                   METRICS
        000170-20261130-205356  up to date  models.lar…epochs=30  macro_f1 = 0.5000
        ");
        insta::assert_snapshot!(text(&[run], Some(80)), @r"
        RUN                     TOOK    OUTCOME     METRICS
        000170-20261130-205356  13.6 s  up to date  macro_f1 = 0.5000, loss = 1.500
        ");
    }
}
