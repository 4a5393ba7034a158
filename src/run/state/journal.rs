//! Events on their way to the run's log and the view.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::events::{EventSink, RunEvent, Stamped};

/// Minimum interval between progress events of one instance.
const PROGRESS_PAUSE: Duration = Duration::from_millis(200);

/// Journal of a run: passes every event to its log and to the view.
pub struct Journal {
    log: Box<dyn EventSink>,
    view: Box<dyn EventSink>,
    last_progress: HashMap<String, Instant>,
}

impl Journal {
    /// A journal that passes everything to `log` and `view`.
    pub fn new(log: Box<dyn EventSink>, view: Box<dyn EventSink>) -> Journal {
        Journal { log, view, last_progress: HashMap::new() }
    }

    /// Passes an event on.
    pub fn record(&mut self, event: RunEvent) {
        let stamped = Stamped { time: Timestamp::now(), event };
        self.log.event(&stamped);
        self.view.event(&stamped);
    }

    /// Passes an event on that only the view needs.
    pub fn show(&mut self, event: RunEvent) {
        self.view.event(&Stamped { time: Timestamp::now(), event });
    }

    /// Passes progress on, unless the same instance's was passed on a moment ago.
    pub fn progress(&mut self, event: RunEvent) {
        let instance = event.instance().unwrap_or_default().to_owned();
        if self.is_due(&instance) {
            self.record(event);
        }
    }

    /// Shows the progress of hashing input files, unless that was shown a moment ago. The log does not need it.
    pub fn hashing(&mut self, done: usize, total: usize) {
        if done == total || self.is_due("") {
            self.show(RunEvent::Hashing { done, total });
            self.view.flush();
        }
    }

    fn is_due(&mut self, instance: &str) -> bool {
        let now = Instant::now();
        let recent = self.last_progress.get(instance).is_some_and(|last| now - *last < PROGRESS_PAUSE);
        if !recent {
            self.last_progress.insert(instance.to_owned(), now);
        }
        !recent
    }

    /// Flushes the log and the view: no further event is at hand.
    pub fn flush(&mut self) {
        self.log.flush();
        self.view.flush();
    }

    /// Lets the view's clocks tick: nothing has happened for a moment.
    pub fn tick(&mut self) {
        self.view.tick();
    }
}
