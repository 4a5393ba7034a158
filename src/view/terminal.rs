//! The live view: one line a running stage, with progress and the time it still needs; the rest as permanent lines.

use std::collections::HashMap;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::escape::escape;
use crate::events::{EventSink, RunEvent, Stamped};
use crate::view::metrics::Metrics;

/// Draws on the terminal (standard error).
pub(crate) struct TerminalSink {
    lines: MultiProgress,
    running: HashMap<String, ProgressBar>,
    overall: ProgressBar,
    metrics: Metrics,
}

impl TerminalSink {
    /// A live view.
    pub(crate) fn new() -> TerminalSink {
        let lines = MultiProgress::new();
        let overall = lines.add(ProgressBar::new(0));
        overall.set_style(style("{elapsed:>6} {bar:24} {pos}/{len} instances {msg}"));
        TerminalSink { lines, running: HashMap::new(), overall, metrics: Metrics::default() }
    }

    fn start(&mut self, instance: &str) {
        let bar = self.lines.insert_before(&self.overall, ProgressBar::new_spinner());
        bar.set_style(style("{elapsed:>6} {spinner} {msg}"));
        bar.set_message(escape(instance).into_owned());
        self.running.insert(instance.to_owned(), bar);
    }

    fn progress(&self, instance: &str, done: u64, total: u64, unit: &str) {
        let Some(bar) = self.running.get(instance) else { return };
        if total > 0 {
            bar.set_style(style("{elapsed:>6} {bar:24} {pos}/{len} {prefix}, {eta} left: {msg}"));
            bar.set_length(total);
        }
        bar.set_prefix(escape(unit).into_owned());
        bar.set_position(done);
    }

    fn end(&mut self, instance: &str) {
        if let Some(bar) = self.running.remove(instance) {
            bar.finish_and_clear();
        }
    }
}

impl Default for TerminalSink {
    fn default() -> Self {
        TerminalSink::new()
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; the plain bar is shown should one not parse.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}

impl EventSink for TerminalSink {
    fn event(&mut self, event: &Stamped) {
        match &event.event {
            RunEvent::RunStarted { instances, .. } => self.overall.set_length(*instances as u64),
            RunEvent::Hashing { done, total } if done < total => {
                self.overall.set_message(format!("hashing inputs, {done} of {total}"));
            }
            RunEvent::Hashing { .. } => self.overall.set_message(""),
            RunEvent::Started { instance, .. } => return self.start(instance),
            RunEvent::Progress { instance, done, total, unit } => return self.progress(instance, *done, *total, unit),
            RunEvent::Cached { .. } => self.overall.inc(1),
            RunEvent::Finished { .. } => self.overall.inc(1),
            RunEvent::Stored { instance }
            | RunEvent::Failed { instance, .. }
            | RunEvent::Deferred { instance, .. }
            | RunEvent::Resuming { instance, .. }
            | RunEvent::Evicted { instance, .. }
            | RunEvent::Interrupted { instance } => self.end(instance),
            RunEvent::RunFinished { .. } => self.overall.finish_and_clear(),
            _ => {}
        }
        if let Some(text) = self.metrics.describe(&event.event) {
            // A terminal that is gone stops the view, not the run.
            let _ = self.lines.println(text);
        }
    }

    fn tick(&mut self) {
        // The run calls often enough: a thread for this could be refused.
        self.running.values().chain([&self.overall]).for_each(ProgressBar::tick);
    }
}
