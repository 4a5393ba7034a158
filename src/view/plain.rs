//! The plain view: one line for each event, for logs and pipes.

use std::collections::HashMap;
use std::io::{BufWriter, Write};

use crate::escape::escape;
use crate::events::{EventSink, ResultAction, RunEvent, Stamped};
use crate::view::metrics::Metrics;

/// Progress is shown when it has gained at least this share since it was last shown.
const PROGRESS_STEP: u64 = 10;

/// Writes one line an event.
pub(crate) struct PlainSink<W: Write> {
    out: BufWriter<W>,
    shown_percent: HashMap<String, u64>,
    metrics: Metrics,
    options: PlainOptions,
}

/// Options of the plain view.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PlainOptions {
    /// Whether only failures, warnings and the last line are shown.
    pub(crate) quiet: bool,
    /// Whether lines begin with the time.
    pub(crate) timestamps: bool,
}

impl<W: Write + Send> PlainSink<W> {
    /// A view that writes to `out`.
    pub(crate) fn new(out: W, options: PlainOptions) -> PlainSink<W> {
        let (shown_percent, metrics) = (HashMap::new(), Metrics::default());
        PlainSink { out: BufWriter::new(out), shown_percent, metrics, options }
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

/// Whether an event is for those who want to know only of what goes wrong, and how it ended.
fn matters(event: &RunEvent) -> bool {
    match event {
        RunEvent::Finished { removed, undeclared, .. } => !removed.is_empty() || !undeclared.is_empty(),
        RunEvent::Result { action, .. } => *action != ResultAction::Written,
        RunEvent::Failed { .. }
        | RunEvent::Skipped { .. }
        | RunEvent::Deferred { .. }
        | RunEvent::Interrupted { .. }
        | RunEvent::Left { .. }
        | RunEvent::Withheld { .. }
        | RunEvent::Advice { .. }
        | RunEvent::Warning { .. }
        | RunEvent::Notice { .. }
        | RunEvent::StopRequested { .. }
        | RunEvent::RunFinished { .. } => true,
        _ => false,
    }
}

impl<W: Write + Send> EventSink for PlainSink<W> {
    fn event(&mut self, event: &Stamped) {
        let text = match &event.event {
            RunEvent::Progress { instance, done, total, unit } => self.progress(instance, *done, *total, unit),
            other => self.metrics.describe(other),
        };
        if let Some(text) = text.filter(|_| !self.options.quiet || matters(&event.event)) {
            let time = match self.options.timestamps {
                true => event.time.strftime("%Y-%m-%dT%H:%M:%SZ ").to_string(),
                false => String::new(),
            };
            // A closed pipe stops the view, not the run.
            let _ = writeln!(self.out, "{time}{text}");
        }
    }

    fn flush(&mut self) {
        let _ = self.out.flush();
    }
}
