//! The figures that instances report, kept until they are shown with the line that says how the instance ended.

use std::collections::HashMap;

use crate::events::RunEvent;
use crate::view::lines::describe;

/// Figures of instances that still run. Curves, which have a step, are not for lines of text.
#[derive(Debug, Default)]
pub struct Figures {
    known: HashMap<String, Vec<(String, f64)>>,
}

impl Figures {
    /// The permanent text of an event, as [`describe`] words it; the first line of a finished instance ends with its figures.
    pub fn describe(&mut self, event: &RunEvent) -> Option<String> {
        match event {
            RunEvent::Metric { instance, name, value, step: None } => {
                self.known.entry(instance.clone()).or_default().push((name.clone(), *value));
            }
            RunEvent::Started { instance, .. } => drop(self.known.remove(instance)),
            RunEvent::Finished { instance, .. } => {
                let figures = self.known.remove(instance).unwrap_or_default();
                return describe(event).map(|text| with_figures(&text, &figures));
            }
            _ => {}
        }
        describe(event)
    }
}

fn with_figures(text: &str, figures: &[(String, f64)]) -> String {
    if figures.is_empty() {
        return text.to_owned();
    }
    let shown: Vec<String> = figures.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let (first, rest) = text.split_at(text.find('\n').unwrap_or(text.len()));
    format!("{first}: {}{rest}", shown.join(", "))
}
