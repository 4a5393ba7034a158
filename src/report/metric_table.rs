//! Tables of metrics: a row an instance, a column a metric.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use athanor_cache::Cache;
use serde::Serialize;

use crate::escape::escape;
use crate::plan::{InstanceId, Plan};
use crate::report::results::{KnownResults, results_now, selected};
use crate::report::sparkline::sparkline;
use crate::run::attempts::annex::Annex;
use crate::run::{RunError, Session};
use crate::view::metrics::shortened;
use crate::view::text::table;

/// Characters of a sparkline.
const SPARK_WIDTH: usize = 20;

/// Table of metrics.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct MetricTable {
    /// Rows.
    pub rows: Vec<MetricRow>,
}

/// Metrics of one instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct MetricRow {
    /// Instance.
    pub instance: String,
    /// Parameters in which it differs from others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Last values.
    pub metrics: BTreeMap<String, f64>,
    /// Curves: steps and values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub curves: BTreeMap<String, Vec<(u64, f64)>>,
}

/// Metrics of the latest results of the selected instances; of all if there are none.
pub(crate) fn metric_table(
    session: &Session<'_>,
    cache: &Cache,
    ids: &[InstanceId],
    with_curves: bool,
) -> Result<MetricTable, RunError> {
    let results: KnownResults = results_now(session)?;
    let plan: &Plan = session.plan;
    let mut rows = Vec::new();
    for (name, result) in selected(plan, ids, &results) {
        let record = result.record(cache);
        let metrics: BTreeMap<String, f64> = result.numbers(record.as_ref()).into_iter().collect();
        if metrics.is_empty() {
            continue;
        }
        let curves = record.filter(|_| with_curves).map(|record| Annex::of(cache, &record).curves).unwrap_or_default();
        rows.push(MetricRow { instance: name.to_owned(), params: BTreeMap::new(), metrics, curves });
    }
    Ok(MetricTable { rows })
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

    /// The table as text, with sparklines of curves.
    pub(crate) fn text(&self) -> String {
        let (params, names) = (self.params(), self.names());
        let columns = params.iter().chain(&names).map(|name| escape(name).into_owned());
        let header: Vec<String> = std::iter::once("INSTANCE".to_owned()).chain(columns).collect();
        let rows: Vec<Vec<String>> = self
            .rows
            .iter()
            .map(|row| {
                let cells = names.iter().map(|name| {
                    let value = row.metrics.get(*name).map(|value| shortened(*value)).unwrap_or_default();
                    match row.curves.get(*name) {
                        Some(curve) => {
                            let values: Vec<f64> = curve.iter().map(|(_, value)| *value).collect();
                            format!("{value} {}", sparkline(&values, SPARK_WIDTH))
                        }
                        None => value,
                    }
                });
                let params = params.iter().map(|name| row.params.get(*name).map(|value| escape(value).into_owned()));
                let params = params.map(Option::unwrap_or_default);
                std::iter::once(escape(&row.instance).into_owned()).chain(params).chain(cells).collect()
            })
            .collect();
        table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
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

/// Whether small values of a metric are the good ones, by its name.
fn is_small_better(metric: &str) -> bool {
    let metric = metric.to_lowercase();
    ["loss", "error", "rmse", "mae", "mse", "perplexity", "failures", "duration"]
        .iter()
        .any(|word| metric.contains(word))
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
        MetricTable { rows: rows.iter().map(row).collect() }
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
    fn csv_is_quoted_where_it_has_to_be() {
        let metrics = table(&[("m[a=1,b=2]", &[("f1", 0.5)])]);
        assert_eq!(metrics.csv(), "instance,f1\n\"m[a=1,b=2]\",0.5\n");
    }
}
