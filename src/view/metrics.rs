//! Metrics that instances report, until they are shown with the line that says how the instance ended.

use std::collections::{BTreeMap, HashMap};

use crate::escape::escape;
use crate::events::RunEvent;
use crate::metric_names::{is_aside, rank};
use crate::view::lines::describe;

/// Number of metrics that a line shows of those with steps.
const SHOWN: usize = 2;
/// Number of points of a curve that are remembered.
const REMEMBERED: usize = 10_000;

/// Metrics of instances that still run.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    known: HashMap<String, Known>,
}

/// Metrics of one instance.
#[derive(Debug, Default)]
struct Known {
    /// Those without steps, in order.
    values: Vec<(String, f64)>,
    /// Those with steps, by name and step.
    curves: BTreeMap<String, BTreeMap<u64, f64>>,
}

impl Metrics {
    /// The permanent text of an event, as [`describe`] words it; the first line of a finished instance ends with the metrics that
    /// matter.
    pub(crate) fn describe(&mut self, event: &RunEvent) -> Option<String> {
        match event {
            RunEvent::Metric { instance, name, value, step } => {
                self.known.entry(instance.clone()).or_default().add(name, *value, *step);
            }
            RunEvent::Started { instance, .. } => drop(self.known.remove(instance)),
            RunEvent::Finished { instance, .. } => {
                let known = self.known.remove(instance).unwrap_or_default();
                return describe(event).map(|text| with_metrics(&text, &known.at_the_end()));
            }
            _ => {}
        }
        describe(event)
    }

    /// Metrics that matter of an instance that runs.
    pub(crate) fn of_running(&self, instance: &str) -> Vec<String> {
        self.known.get(instance).map(Known::latest).unwrap_or_default()
    }
}

impl Known {
    fn add(&mut self, name: &str, value: f64, step: Option<u64>) {
        if let Some(step) = step {
            let curve = self.curves.entry(name.to_owned()).or_default();
            curve.insert(step, value);
            if curve.len() > REMEMBERED {
                curve.pop_first();
            }
            return;
        }
        match self.values.iter_mut().find(|(other, _)| other == name) {
            Some((_, earlier)) => *earlier = value,
            None => self.values.push((name.to_owned(), value)),
        }
    }

    fn latest(&self) -> Vec<String> {
        telling(self.curves.iter().filter_map(|(name, curve)| Some((name.as_str(), *curve.last_key_value()?.1))))
    }

    /// Metrics for the line that says that the instance has finished: of a training that in its best epoch.
    fn at_the_end(&self) -> Vec<String> {
        let values =
            self.values.iter().map(|(name, value)| (name.as_str(), *value)).filter(|(name, _)| !is_aside(name));
        let best = self.values.iter().find(|(name, _)| name == "best_epoch").map(|(_, epoch)| *epoch as u64);
        let Some(best) = best else {
            let shown: Vec<String> = values.map(|(name, value)| shown(name, value)).collect();
            return if shown.is_empty() { self.latest() } else { shown };
        };
        let in_best = self.curves.iter().filter_map(|(name, curve)| Some((name.as_str(), *curve.get(&best)?)));
        match telling(in_best).first() {
            Some(figure) => vec![format!("{figure} in epoch {best}")],
            None => values.map(|(name, value)| shown(name, value)).collect(),
        }
    }
}

/// The metrics among these that matter most, in words.
pub(crate) fn telling<'m>(metrics: impl Iterator<Item = (&'m str, f64)>) -> Vec<String> {
    let mut all: Vec<(&str, f64)> = metrics.filter(|(name, _)| !is_aside(name)).collect();
    all.sort_by_key(|(name, _)| rank(name));
    all.into_iter().take(SHOWN).map(|(name, value)| shown(name, value)).collect()
}

fn shown(name: &str, value: f64) -> String {
    format!("{} = {}", escape(name), shortened(value))
}

/// Whole numbers as they are, others with four digits that count: all of them are in the run's events.
pub(crate) fn shortened(value: f64) -> String {
    const DIGITS: i32 = 4;
    // Larger ones are no counts.
    const LARGEST_WHOLE: f64 = 1e15;
    if value.abs() >= LARGEST_WHOLE && value.is_finite() {
        return format!("{value:.3e}");
    }
    if value.fract() == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    let leading = value.abs().log10().floor() as i32 + 1;
    match usize::try_from(DIGITS - leading) {
        Ok(decimals) if leading > -DIGITS => format!("{value:.decimals$}"),
        Ok(_) => format!("{value:.3e}"),
        Err(_) => format!("{value:.0}"),
    }
}

fn with_metrics(text: &str, metrics: &[String]) -> String {
    if metrics.is_empty() {
        return text.to_owned();
    }
    let (first, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
    format!("{first}: {}{rest}", metrics.join(", "))
}

#[cfg(test)]
mod tests {
    use super::{Known, shortened};

    #[test]
    fn figures_show_the_digits_that_count() {
        let shown = [0.9081703169195526, 12.0, 31072.4, 3.2568, 0.00001712253218, -0.25, f64::NAN].map(shortened);
        assert_eq!(shown, ["0.9082", "12", "31072", "3.257", "1.712e-5", "-0.2500", "NaN"]);
        let large = [123_456_789_012_345.0, 1e308, -2.5e15, f64::INFINITY].map(shortened);
        assert_eq!(large, ["123456789012345", "1.000e308", "-2.500e15", "inf"]);
    }

    #[test]
    fn lines_show_the_metric_that_matters() {
        let mut training = Known::default();
        for (epoch, f1) in [(1, 0.2), (2, 0.5), (3, 0.4)] {
            for (name, value) in [("rate", 0.1), ("loss", 1.5), ("macro_f1", f1), ("share_waiting_for_data", 0.01)] {
                training.add(name, value, Some(epoch));
            }
        }
        assert_eq!(training.latest(), ["macro_f1 = 0.4000", "loss = 1.500"]);
        training.add("best_epoch", 2.0, None);
        assert_eq!(training.at_the_end(), ["macro_f1 = 0.5000 in epoch 2"]);
        let mut prediction = Known::default();
        prediction.add("share_waiting_for_data", 0.01, None);
        assert!(prediction.at_the_end().is_empty());
        prediction.add("rows", 3.0, None);
        assert_eq!(prediction.at_the_end(), ["rows = 3"]);
    }
}
