//! Tables of metrics: a row an instance, a column a metric.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use athanor_cache::Cache;
use jiff::Timestamp;
use serde::Serialize;

use crate::escape::escape;
use crate::metric_names::{is_small_better, rank};
use crate::plan::{InstanceId, Plan};
use crate::report::results::{KnownResults, results_now, selected};
use crate::report::sparkline::sparkline;
use crate::run::attempts::annex::Annex;
use crate::run::{RunError, Session};
use crate::view::metrics::shortened;
use crate::view::text::{count, table};

/// Characters of a sparkline.
const SPARK_WIDTH: usize = 20;

/// Table of metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct MetricTable {
    /// Rows.
    pub rows: Vec<MetricRow>,
    /// Number of instances that are left out, since they are not up to date.
    pub stale: usize,
}

/// Metrics of one instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct MetricRow {
    /// Instance.
    pub instance: String,
    /// Time at which it was made, where results of one instance stand beside each other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<Timestamp>,
    /// Parameters and inputs in which it differs from others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Last values.
    pub metrics: BTreeMap<String, f64>,
    /// Curves: steps and values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub curves: BTreeMap<String, Vec<(u64, f64)>>,
}

/// Metrics of the selected instances that are up to date; of all if none is selected.
pub(crate) fn metric_table(
    session: &Session<'_>,
    cache: &Cache,
    ids: &[InstanceId],
    with_curves: bool,
) -> Result<MetricTable, RunError> {
    let results: KnownResults = results_now(session)?;
    let plan: &Plan = session.plan;
    let mut rows = Vec::new();
    let known = selected(plan, ids, &results);
    let stale = if ids.is_empty() { plan.instances.len() } else { ids.len() } - known.len();
    for (name, result) in known {
        let record = result.record(cache);
        let metrics: BTreeMap<String, f64> = result.numbers(record.as_ref()).into_iter().collect();
        if metrics.is_empty() {
            continue;
        }
        let curves = record.filter(|_| with_curves).map(|record| Annex::of(cache, &record).curves).unwrap_or_default();
        rows.push(MetricRow { instance: name.to_owned(), metrics, curves, ..MetricRow::default() });
    }
    Ok(MetricTable { rows, stale })
}

/// Column of the table as text.
#[derive(Clone)]
struct Column {
    title: String,
    cells: Vec<String>,
}

impl Column {
    fn new(title: &str, cells: impl Iterator<Item = String>) -> Column {
        Column { title: escape(title).into_owned(), cells: cells.collect() }
    }

    /// Characters that it takes, with the space after it.
    fn width(&self) -> usize {
        let widths = self.cells.iter().chain([&self.title]).map(|cell| cell.chars().count());
        widths.max().unwrap_or(0) + 2
    }
}

impl MetricRow {
    fn param(&self, name: &str) -> String {
        self.params.get(name).map(|value| escape(value).into_owned()).unwrap_or_default()
    }

    /// Value of a metric, with its curve.
    fn metric(&self, name: &str) -> String {
        let value = self.metrics.get(name).map(|value| shortened(*value)).unwrap_or_default();
        let Some(curve) = self.curves.get(name) else { return value };
        let values: Vec<f64> = curve.iter().map(|(_, value)| *value).collect();
        format!("{value} {}", sparkline(&values, SPARK_WIDTH))
    }
}

impl MetricTable {
    /// Names of all metrics.
    pub(crate) fn names(&self) -> Vec<&str> {
        let names = self.rows.iter().flat_map(|row| row.metrics.keys().map(String::as_str));
        let names: std::collections::BTreeSet<&str> = names.collect();
        names.into_iter().collect()
    }

    /// Names of all parameters.
    fn params(&self) -> Vec<&str> {
        let names: std::collections::BTreeSet<&str> =
            self.rows.iter().flat_map(|row| row.params.keys().map(String::as_str)).collect();
        names.into_iter().collect()
    }

    /// Sorts rows by a metric, the best first: the smallest of what is called a loss or an error, the largest of all else. Rows
    /// without it come last.
    pub(crate) fn sort_by(&mut self, metric: &str) {
        let is_small_better = is_small_better(metric);
        self.rows.sort_by(|one, other| match (one.metrics.get(metric), other.metrics.get(metric)) {
            (Some(one), Some(other)) if is_small_better => one.total_cmp(other),
            (Some(one), Some(other)) => other.total_cmp(one),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        });
    }

    /// The table as text, with sparklines of curves. Where lines have a `width`, it has as many metrics as fit, `first` before all
    /// others and then those that tell most, and the instances that have one of these; a note says how many are left out.
    pub(crate) fn text(&self, width: Option<usize>, first: Option<&str>) -> String {
        let (params, mut names) = (self.params(), self.names());
        names.sort_by_key(|name| (Some(*name) != first, rank(name)));
        let mut columns = vec![Column::new("INSTANCE", self.rows.iter().map(|row| escape(&row.instance).into_owned()))];
        if self.rows.iter().any(|row| row.made.is_some()) {
            let made = |row: &MetricRow| row.made.map(|made| made.strftime("%Y-%m-%d %H:%M").to_string());
            columns.push(Column::new("MADE (UTC)", self.rows.iter().map(|row| made(row).unwrap_or_default())));
        }
        columns.extend(params.iter().map(|name| Column::new(name, self.rows.iter().map(|row| row.param(name)))));
        let beside: usize = columns.iter().map(Column::width).sum();
        let metrics: Vec<Column> =
            names.iter().map(|name| Column::new(name, self.rows.iter().map(|row| row.metric(name)))).collect();
        let mut end = beside;
        let fits = |column: &&Column| {
            end += column.width();
            width.is_none_or(|width| end <= width)
        };
        let fitting = metrics.iter().take_while(fits).count().max(1).min(metrics.len());
        let left_out = metrics.len() - fitting;
        let has_one =
            |at: &usize| left_out == 0 || metrics[..fitting].iter().any(|column| !column.cells[*at].is_empty());
        columns.extend(metrics.iter().take(fitting).cloned());
        let cells = |at: usize| columns.iter().map(|column| column.cells[at].clone()).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = (0..self.rows.len()).filter(has_one).map(cells).collect();
        let header: Vec<&str> = columns.iter().map(|column| column.title.as_str()).collect();
        let note = match left_out {
            0 => String::new(),
            left_out => format!("{} more: --csv and --json have all\n", count(left_out, "metric")),
        };
        table(&header, &rows) + &note
    }

    /// Note of what is left out; empty where nothing is.
    pub(crate) fn stale_note(&self) -> String {
        match self.stale {
            0 => String::new(),
            stale => format!("{} not up to date: `athanor status` says why\n", count(stale, "instance")),
        }
    }

    /// The table as CSV.
    pub(crate) fn csv(&self) -> String {
        let (params, names) = (self.params(), self.names());
        let header = std::iter::once("instance").chain(params.iter().chain(&names).copied()).map(csv_cell);
        let mut lines = vec![header.collect::<Vec<_>>().join(",")];
        for row in &self.rows {
            let cells = names.iter().map(|name| row.metrics.get(*name).map(f64::to_string).unwrap_or_default());
            let params = params.iter().map(|name| row.params.get(*name).map(|value| csv_cell(value)));
            let params = params.map(Option::unwrap_or_default);
            lines.push(
                std::iter::once(csv_cell(&row.instance)).chain(params).chain(cells).collect::<Vec<_>>().join(","),
            );
        }
        lines.join("\n") + "\n"
    }
}

/// A cell of CSV: in quotes where it has to be.
pub(crate) fn csv_cell(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(rows: &[(&str, &[(&str, f64)])]) -> MetricTable {
        let row = |(instance, metrics): &(&str, &[(&str, f64)])| MetricRow {
            instance: (*instance).to_owned(),
            metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
            ..MetricRow::default()
        };
        MetricTable { rows: rows.iter().map(row).collect(), stale: 0 }
    }

    #[test]
    fn the_best_come_first_and_those_without_the_metric_last() {
        let mut metrics =
            table(&[("a", &[("loss", 0.5)]), ("b", &[("f1", 1.0)]), ("c", &[("loss", 0.1), ("f1", 0.5)])]);
        let order = |table: &MetricTable| table.rows.iter().map(|row| row.instance.clone()).collect::<Vec<_>>();
        metrics.sort_by("loss");
        assert_eq!(order(&metrics), ["c", "a", "b"]);
        metrics.sort_by("f1");
        assert_eq!(order(&metrics), ["b", "c", "a"]);
    }

    #[test]
    fn a_narrow_terminal_gets_the_metrics_that_fit_the_chosen_one_first() {
        let metrics = table(&[("a", &[("loss", 0.5), ("f1", 1.0)]), ("b", &[("f1", 0.5)])]);
        let all = metrics.text(None, None);
        assert_eq!(metrics.text(Some(80), None), all);
        assert!(all.contains("f1") && all.contains("loss") && all.lines().count() == 3, "{all}");
        let narrow = metrics.text(Some(18), Some("loss"));
        assert!(narrow.contains("loss") && !narrow.contains("f1") && !narrow.contains("\nb "), "{narrow}");
        assert!(narrow.ends_with("1 metric more: --csv and --json have all\n"), "{narrow}");
    }

    #[test]
    fn csv_is_quoted_where_it_has_to_be() {
        let metrics = table(&[("m[a=1,b=2]", &[("f1", 0.5)])]);
        assert_eq!(metrics.csv(), "instance,f1\n\"m[a=1,b=2]\",0.5\n");
    }
}
