//! A report in Markdown: a summary for a pull request, or for the page of a job of CI.

use crate::escape::escape;
use crate::report::data::{HeadlineMetric, InstanceState, ReportData};
use crate::view::metrics::shortened;
use crate::view::text::duration;

/// Rows of a table that are shown.
const MAX_ROWS: usize = 40;
/// Failures that are shown.
const MAX_FAILURES: usize = 5;

/// States in the order in which they are counted, with their names.
const STATES: [(InstanceState, &str); 7] = [
    (InstanceState::Done, "made in this run"),
    (InstanceState::Cached, "from the cache"),
    (InstanceState::Failed, "failed"),
    (InstanceState::Running, "running"),
    (InstanceState::Waiting, "not made yet"),
    (InstanceState::Skipped, "skipped"),
    (InstanceState::Interrupted, "interrupted"),
];

/// The summary.
pub(crate) fn markdown(data: &ReportData) -> String {
    let mut out = format!("## {}\n\n", cell(&data.pipeline));
    if let Some(run) = &data.run {
        let mut facts = vec![format!("run `{}`", code(&run.id)), run.outcome.replace('_', " ")];
        facts.extend(run.duration_ms.map(duration));
        facts.extend(run.commit.as_ref().map(|commit| format!("commit `{}`", code(commit))));
        out += &format!("{}\n\n", facts.join(", "));
        if !run.set.is_empty() {
            out += &format!("Set: `{}`\n\n", code(&run.set.join(" ")));
        }
    }
    let counts = STATES.iter().filter_map(|(state, name)| {
        let count = data.instances.state.iter().filter(|known| *known == state).count();
        (count > 0).then(|| format!("{count} {name}"))
    });
    out += &format!("{}\n", counts.collect::<Vec<_>>().join(", "));
    out += &metrics(data);
    out += &changes(data);
    out += &warnings(data);
    out += &failures(data);
    out
}

fn warnings(data: &ReportData) -> String {
    let shown = data.warnings.iter().take(MAX_ROWS);
    let lines: String =
        shown.map(|warning| format!("- warning: {}: {}\n", cell(&warning.instance), cell(&warning.text))).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}{}", more(data.warnings.len())) }
}

fn metrics(data: &ReportData) -> String {
    if data.metric_changes.is_empty() && data.headline.is_empty() {
        return String::new();
    }
    let show = |value: Option<f64>| value.map(shortened).unwrap_or_default();
    if data.other.is_none() {
        let rows = data.headline.iter().map(|metric| vec![who(metric), cell(&metric.metric), shortened(metric.value)]);
        return table(&["instance", "metric", "value"], rows.collect());
    }
    let unchanged = data.headline.iter().filter(|metric| metric.before == Some(metric.value));
    let unchanged = unchanged.map(|metric| {
        vec![who(metric), cell(&metric.metric), shortened(metric.value), shortened(metric.value), String::new()]
    });
    let changed = data.metric_changes.iter().map(|change| {
        let difference = change.before.zip(change.now).map(|(before, now)| {
            let sign = if now >= before { "+" } else { "−" };
            format!("{sign}{}", shortened((now - before).abs()))
        });
        vec![
            cell(&change.instance),
            cell(&change.metric),
            show(change.before),
            show(change.now),
            difference.unwrap_or_default(),
        ]
    });
    table(&["instance", "metric", "before", "now", "difference"], changed.chain(unchanged).collect())
}

/// Instance of a headline metric, and of how many it is the best.
fn who(metric: &HeadlineMetric) -> String {
    let instance = cell(&metric.instance);
    if metric.best_of > 1 { format!("{instance}, the best of {}", metric.best_of) } else { instance }
}

fn changes(data: &ReportData) -> String {
    let Some(other) = &data.other else { return String::new() };
    if data.changes.is_empty() {
        return format!("\nNothing that was declared differs from run `{}`.\n", code(&other.id));
    }
    // Instances of which the same is said stand together, in their order.
    let mut alike: Vec<(&[String], Vec<String>)> = Vec::new();
    for change in &data.changes {
        match alike.iter_mut().find(|(what, _)| *what == change.what) {
            Some((_, instances)) => instances.push(cell(&change.instance)),
            None => alike.push((&change.what, vec![cell(&change.instance)])),
        }
    }
    let groups: String = alike
        .iter()
        .take(MAX_ROWS)
        .map(|(what, instances)| {
            format!("\n**{}**\n\n{}", instances.join(", "), what.iter().map(|text| item(text)).collect::<String>())
        })
        .collect();
    format!(
        "\n<details><summary>Differences from run <code>{}</code></summary>\n{groups}{}\n</details>\n",
        cell(&other.id),
        more(alike.len())
    )
}

/// A text as an item of a list, the lines that follow its first one as the difference that they are.
fn item(text: &str) -> String {
    let mut lines = text.lines();
    let first = cell(lines.next().unwrap_or_default());
    let rest: Vec<&str> = lines.collect();
    if rest.is_empty() {
        return format!("- {first}\n");
    }
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let margin = rest.iter().filter(|line| !line.trim().is_empty()).map(indent).min().unwrap_or(0);
    let rest: Vec<&str> = rest.into_iter().map(|line| line.get(margin..).unwrap_or_default()).collect();
    format!("- {first}\n\n{}", fenced("diff", &rest.join("\n")))
}

/// A block of code in a fence that is longer than any in it.
fn fenced(language: &str, text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}{language}\n{text}\n{fence}\n")
}

/// How many of a list are left out.
fn more(count: usize) -> String {
    if count > MAX_ROWS { format!("\n… and {} more\n", count - MAX_ROWS) } else { String::new() }
}

fn failures(data: &ReportData) -> String {
    let mut out = String::new();
    for failure in data.failures.iter().filter(|failure| !failure.retrying).take(MAX_FAILURES) {
        out += &format!("\n### {} failed\n\n{}\n", cell(&failure.instance), cell(&failure.cause));
        if !failure.log.is_empty() {
            out += &format!("\n{}", fenced("text", &failure.log.join("\n")));
        }
    }
    out
}

fn table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let count = rows.len();
    let mut out = format!("\n| {} |\n|{}\n", header.join(" | "), " --- |".repeat(header.len()));
    out.extend(rows.iter().take(MAX_ROWS).map(|row| line(row)));
    out + &more(count)
}

/// Text in a line of Markdown: nothing in it is markup.
fn cell(text: &str) -> String {
    let mut out = String::new();
    for c in escape(text).chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' | '@' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

/// Text between backquotes.
fn code(text: &str) -> String {
    escape(text).replace('`', "'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::{FailureData, InstanceChange, MetricChange, RunData};

    #[test]
    fn a_summary_names_metrics_and_failures_and_nothing_in_it_is_markup() {
        let mut data = ReportData { pipeline: "p|<b>".to_owned(), ..ReportData::default() };
        data.run = Some(RunData { id: "000002-x".to_owned(), outcome: "failed".to_owned(), ..RunData::default() });
        data.other = Some(RunData { id: "000001-x".to_owned(), ..RunData::default() });
        data.instances.state = vec![InstanceState::Done, InstanceState::Failed];
        data.headline = vec![HeadlineMetric {
            instance: "report".to_owned(),
            metric: "macro_f1".to_owned(),
            value: 0.75,
            before: Some(0.5),
            best_of: 1,
        }];
        data.metric_changes = vec![MetricChange {
            instance: "report".to_owned(),
            metric: "macro_f1".to_owned(),
            before: Some(0.5),
            now: Some(0.75),
        }];
        data.failures = vec![FailureData {
            instance: "model[fold=0]".to_owned(),
            attempt: 1,
            cause: "It ended with exit status 3.".to_owned(),
            help: None,
            log: vec!["```".to_owned()],
            retrying: false,
        }];
        insta::assert_snapshot!(markdown(&data), @r"
        ## p\|&lt;b&gt;

        run `000002-x`, failed

        1 made in this run, 1 failed

        | instance | metric | before | now | difference |
        | --- | --- | --- | --- | --- |
        | report | macro\_f1 | 0.5000 | 0.7500 | +0.2500 |

        Nothing that was declared differs from run `000001-x`.

        ### model\[fold=0\] failed

        It ended with exit status 3.

        ````text
        ```
        ````
        ");
    }

    #[test]
    fn differences_are_told_once_and_line_by_line() {
        let mut data = ReportData { pipeline: "p".to_owned(), ..ReportData::default() };
        data.other = Some(RunData { id: "000001-x".to_owned(), ..RunData::default() });
        let script = "parameter `run` changed:\n      - seq 1\n      + seq 2\n        echo ```".to_owned();
        let change = |instance: &str| InstanceChange {
            instance: instance.to_owned(),
            what: vec!["input `i` changed".to_owned(), script.clone()],
            parameters: Vec::new(),
        };
        data.changes = vec![change("m[a=1]"), change("m[a=2]")];
        insta::assert_snapshot!(changes(&data), @r"

        <details><summary>Differences from run <code>000001-x</code></summary>

        **m\[a=1\], m\[a=2\]**

        - input \`i\` changed
        - parameter \`run\` changed:

        ````diff
        - seq 1
        + seq 2
          echo ```
        ````

        </details>
        ");
    }
}
