//! The plain view: one line for each event, for logs and pipes.

use std::collections::HashMap;
use std::io::{BufWriter, Write};

use crate::escape::escape;
use crate::events::{EventSink, RunEvent, Stamped};
use crate::view::metrics::Metrics;

/// Progress is shown when it has gained at least this share since it was last shown.
const PROGRESS_STEP: u64 = 10;

/// Writes one line an event.
pub(crate) struct PlainSink<W: Write> {
    out: BufWriter<W>,
    shown_percent: HashMap<String, u64>,
    metrics: Metrics,
}

impl<W: Write + Send> PlainSink<W> {
    /// A view that writes to `out`.
    pub(crate) fn new(out: W) -> PlainSink<W> {
        PlainSink { out: BufWriter::new(out), shown_percent: HashMap::new(), metrics: Metrics::default() }
    }

    fn progress(&mut self, instance: &str, done: u64, total: u64, unit: &str) -> Option<String> {
        let percent = (done * 100).checked_div(total)?;
        let shown = self.shown_percent.entry(instance.to_owned()).or_default();
        if percent < *shown + PROGRESS_STEP {
            return None;
        }
        *shown = percent;
        Some(format!("progress     {}: {done} of {total} {} ({percent} %)", escape(instance), escape(unit)))
    }
}

impl<W: Write + Send> EventSink for PlainSink<W> {
    fn event(&mut self, event: &Stamped) {
        let text = match &event.event {
            RunEvent::Progress { instance, done, total, unit } => self.progress(instance, *done, *total, unit),
            other => self.metrics.describe(other),
        };
        if let Some(text) = text {
            // A closed pipe stops the view, not the run.
            let _ = writeln!(self.out, "{text}");
        }
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
    }
}
