//! The live view: one line a running stage, with progress, the time it still needs and its metric; the rest as permanent lines.
//!
//! There are never more lines than the screen has: the rest of what runs is counted in one.

use console::Term;
use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::escape::escape;
use crate::events::{EventSink, RunEvent, Stamped};
use crate::view::metrics::Metrics;

/// Lines of the screen that are not for running stages: their number, all in all, and one for the cursor.
const OTHER_LINES: usize = 3;
/// Columns beside a name in the line of a stage with a bar.
const BESIDE_NAME: usize = 60;
/// Least width of a name.
const NARROWEST: usize = 16;

/// Draws on the terminal (standard error).
pub(crate) struct TerminalSink {
    lines: MultiProgress,
    terminal: Term,
    /// Instances that run, in the order in which they began.
    running: IndexMap<String, Row>,
    /// Number of running stages that have no line.
    more: ProgressBar,
    overall: ProgressBar,
    metrics: Metrics,
}

/// A running stage.
#[derive(Default)]
struct Row {
    /// Its line, unless the screen is full.
    bar: Option<ProgressBar>,
    progress: Option<(u64, u64, String)>,
}

impl TerminalSink {
    /// A live view.
    pub(crate) fn new() -> TerminalSink {
        let lines = MultiProgress::new();
        let overall = lines.add(ProgressBar::new(0));
        overall.set_style(style("{elapsed:>6} {bar:24} {pos}/{len} instances, {eta} left {msg}"));
        let (terminal, more) = (Term::stderr(), ProgressBar::hidden());
        TerminalSink { lines, terminal, running: IndexMap::new(), more, overall, metrics: Metrics::default() }
    }

    fn start(&mut self, instance: &str) {
        self.running.insert(instance.to_owned(), Row::default());
        self.arrange();
    }

    /// Gives lines to the stages that began first, as many as the screen has room for.
    fn arrange(&mut self) {
        let (height, _) = self.terminal.size();
        let room = usize::from(height).saturating_sub(OTHER_LINES).max(1);
        let hidden = self.running.len().saturating_sub(room);
        for row in self.running.values_mut().skip(room) {
            if let Some(bar) = row.bar.take() {
                bar.finish_and_clear();
            }
        }
        if hidden > 0 && self.more.is_hidden() {
            self.more = self.lines.insert_before(&self.overall, ProgressBar::new_spinner());
            self.more.set_style(style("       {msg}"));
        } else if hidden == 0 && !self.more.is_hidden() {
            self.more.finish_and_clear();
            self.lines.remove(&self.more);
            self.more = ProgressBar::hidden();
        }
        self.more.set_message(format!("+{hidden} more"));
        let last = if hidden > 0 { &self.more } else { &self.overall };
        let mut new = Vec::new();
        for (name, row) in self.running.iter_mut().take(room).filter(|(_, row)| row.bar.is_none()) {
            let bar = self.lines.insert_before(last, ProgressBar::new_spinner());
            bar.set_style(style("{elapsed:>6} {spinner} {msg}"));
            row.bar = Some(bar);
            new.push(name.clone());
        }
        new.iter().for_each(|name| self.draw(name));
    }

    /// Puts the name of a stage, its progress and its metric into its line.
    fn draw(&self, instance: &str) {
        let Some(Row { bar: Some(bar), progress }) = self.running.get(instance) else { return };
        let (_, width) = self.terminal.size();
        let metric = self.metrics.of_running(instance).into_iter().next();
        let metric = metric.map_or_else(String::new, |metric| format!("  {metric}"));
        let room = usize::from(width).saturating_sub(BESIDE_NAME + metric.chars().count());
        bar.set_message(format!("{}{metric}", cut(&escape(instance), room.max(NARROWEST))));
        if let Some((done, total, unit)) = progress {
            if *total > 0 {
                bar.set_style(style("{elapsed:>6} {bar:16} {pos}/{len} {prefix}, {eta} left: {msg}"));
                bar.set_length(*total);
            }
            bar.set_prefix(escape(unit).into_owned());
            bar.set_position(*done);
        }
    }

    fn progress(&mut self, instance: &str, done: u64, total: u64, unit: &str) {
        if let Some(row) = self.running.get_mut(instance) {
            row.progress = Some((done, total, unit.to_owned()));
            self.draw(instance);
        }
    }

    fn end(&mut self, instance: &str) {
        if let Some(row) = self.running.shift_remove(instance) {
            if let Some(bar) = row.bar {
                bar.finish_and_clear();
                self.lines.remove(&bar);
            }
            self.arrange();
        }
    }
}

impl Default for TerminalSink {
    fn default() -> Self {
        TerminalSink::new()
    }
}

/// A name in so many characters: its beginning and its end, which tell instances apart.
fn cut(name: &str, room: usize) -> String {
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= room {
        return name.to_owned();
    }
    let begin = room.saturating_sub(1).div_ceil(2);
    let end = room.saturating_sub(1) - begin;
    characters[..begin].iter().chain(&['…']).chain(&characters[characters.len() - end..]).collect()
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
            RunEvent::Started { instance, .. } => {
                self.metrics.describe(&event.event);
                return self.start(instance);
            }
            RunEvent::Progress { instance, done, total, unit } => return self.progress(instance, *done, *total, unit),
            RunEvent::Metric { instance, .. } => {
                self.metrics.describe(&event.event);
                return self.draw(instance);
            }
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
        let bars = self.running.values().filter_map(|row| row.bar.as_ref());
        bars.chain([&self.overall]).for_each(ProgressBar::tick);
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn names_are_cut_in_the_middle() {
        let name = "prediction[model=d121_i768,fold=0,seed=3]";
        assert_eq!(cut(name, 100), name);
        assert_eq!(cut(name, 20), "prediction…0,seed=3]");
        assert_eq!(cut("añb", 2), "a…");
    }
}
