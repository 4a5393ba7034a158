//! Metrics that instances report, until they are shown with the line that says how the instance ended.

use std::collections::HashMap;

use crate::escape::escape;
use crate::events::RunEvent;
use crate::view::lines::describe;

/// Metrics of instances that still run. Curves, which have a step, are not for lines of text.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    known: HashMap<String, Vec<(String, f64)>>,
}

impl Metrics {
    /// The permanent text of an event, as [`describe`] words it; the first line of a finished instance ends with its metrics.
    pub(crate) fn describe(&mut self, event: &RunEvent) -> Option<String> {
        match event {
            RunEvent::Metric { instance, name, value, step: None } => {
                let known = self.known.entry(instance.clone()).or_default();
                match known.iter_mut().find(|(other, _)| other == name) {
                    Some((_, earlier)) => *earlier = *value,
                    None => known.push((name.clone(), *value)),
                }
            }
            RunEvent::Started { instance, .. } => drop(self.known.remove(instance)),
            RunEvent::Finished { instance, .. } => {
                let metrics = self.known.remove(instance).unwrap_or_default();
                return describe(event).map(|text| with_metrics(&text, &metrics));
            }
            _ => {}
        }
        describe(event)
    }
}

/// Whole numbers as they are, others with four digits that count: all of them are in the run's events.
pub(crate) fn shortened(value: f64) -> String {
    const DIGITS: i32 = 4;
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

fn with_metrics(text: &str, metrics: &[(String, f64)]) -> String {
    if metrics.is_empty() {
        return text.to_owned();
    }
    let shown: Vec<String> =
        metrics.iter().map(|(name, value)| format!("{} = {}", escape(name), shortened(*value))).collect();
    let (first, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
    format!("{first}: {}{rest}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn figures_show_the_digits_that_count() {
        let shown = [0.9081703169195526, 12.0, 31072.4, 3.2568, 0.00001712253218, -0.25, f64::NAN].map(shortened);
        assert_eq!(shown, ["0.9082", "12", "31072", "3.257", "1.712e-5", "-0.2500", "NaN"]);
    }
}
