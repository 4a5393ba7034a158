//! The live view: one line a running stage, with progress, the time it still needs and its metric; the rest as permanent lines.
//!
//! There are never more lines than the screen has: the rest of what runs is counted in one.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use console::Term;
use indexmap::IndexMap;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::escape::escape;
use crate::events::{EventSink, RunEvent, Stamped};
use crate::view::metrics::Metrics;
use crate::view::text::{cut, duration};
use crate::view::time_left::TimeLeft;

/// Lines of the screen that are not for running stages: their number, all in all, and one for the cursor.
const OTHER_LINES: usize = 3;
/// Columns beside a name in the line of a stage without a bar, and of one with a bar, apart from the bar, numbers and units.
const BESIDE_NAME: usize = 10;
const BESIDE_BAR: usize = 25;
/// Columns of a bar where there is room.
const WIDEST_BAR: usize = 16;
/// Columns from which on the total line has a bar.
const WIDE: usize = 80;
/// Width of a name for which bars get narrower, and bars and metrics are left out of a line.
const NARROWEST: usize = 16;
/// Width that a name has on any screen, and a bar at least.
const SHORTEST: usize = 4;

/// Size of a screen, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ScreenSize {
    rows: usize,
    columns: usize,
}

impl ScreenSize {
    fn of(terminal: &Term) -> ScreenSize {
        let (rows, columns) = terminal.size();
        ScreenSize { rows: rows.into(), columns: columns.into() }
    }
}

/// Draws on the terminal (standard error).
pub(crate) struct TerminalSink {
    lines: MultiProgress,
    terminal: Term,
    /// Size of the screen when it was drawn last.
    size: ScreenSize,
    /// Number of lines that a lower screen has pushed off its top, with nothing printed since.
    pushed_off: usize,
    /// Instances that run, in the order in which they began.
    running: IndexMap<String, Row>,
    /// Instances that wait in the queue of a cluster.
    queued: HashSet<String>,
    /// Number of running stages that have no line.
    more: ProgressBar,
    overall: ProgressBar,
    /// How far the hashing of inputs is, while it goes on.
    hashing: Option<(usize, usize)>,
    time_left: TimeLeft,
    metrics: Metrics,
}

/// A running stage.
struct Row {
    since: Instant,
    /// Its line, unless the screen is full.
    bar: Option<ProgressBar>,
    progress: Option<(u64, u64, String)>,
}

impl TerminalSink {
    /// A live view.
    pub(crate) fn new(time_left: TimeLeft) -> TerminalSink {
        let lines = MultiProgress::new();
        let overall = lines.add(ProgressBar::new(0));
        overall.set_style(overall_style(ScreenSize::of(&Term::stderr()).columns));
        let (terminal, more) = (Term::stderr(), ProgressBar::hidden());
        let (queued, metrics, hashing) = (HashSet::new(), Metrics::default(), None);
        let (size, running) = (ScreenSize::of(&terminal), IndexMap::new());
        let pushed_off = 0;
        TerminalSink { lines, terminal, size, pushed_off, running, queued, more, overall, hashing, time_left, metrics }
    }

    fn start(&mut self, instance: &str) {
        let row = Row { since: Instant::now(), bar: None, progress: None };
        self.running.insert(instance.to_owned(), row);
        self.arrange();
    }

    /// Gives lines to the stages that began first, as many as the screen has room for.
    fn arrange(&mut self) {
        let room = self.size.rows.saturating_sub(OTHER_LINES).max(1);
        let hidden = self.running.len().saturating_sub(room);
        for row in self.running.values_mut().skip(room) {
            if let Some(bar) = row.bar.take() {
                bar.finish_and_clear();
                self.lines.remove(&bar);
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
            let bar = self.lines.insert_before(last, ProgressBar::new_spinner().with_elapsed(row.since.elapsed()));
            bar.set_style(style("{elapsed:>6} {spinner} {msg}"));
            row.bar = Some(bar);
            new.push(name.clone());
        }
        new.iter().for_each(|name| self.draw(name));
    }

    /// Puts the name of a stage, its progress and its metric into its line.
    fn draw(&mut self, instance: &str) {
        let metric = self.metrics.of_running(instance).into_iter().next();
        let mut metric = metric.map_or_else(String::new, |metric| format!("  {metric}"));
        let Some(Row { bar: Some(bar), progress, .. }) = self.running.get_mut(instance) else { return };
        let columns = self.size.columns;
        let has_room = |beside: usize| beside + NARROWEST <= columns;
        let mut beside = BESIDE_NAME;
        if let Some((done, total, unit)) = progress {
            if *total > 0 {
                let numbers = 2 * total.to_string().len();
                let text = BESIDE_BAR + numbers + unit.chars().count();
                let wide = columns.saturating_sub(text + metric.chars().count() + NARROWEST).min(WIDEST_BAR);
                // Before the first step nothing is known of the others.
                let left = if *done > 0 { ", {eta} left" } else { "" };
                if wide >= SHORTEST {
                    let line = format!("{{elapsed:>6}} {{bar:{wide}}} {{pos}}/{{len}} {{prefix}}{left}: {{msg}}");
                    bar.set_style(style(&line));
                    beside = text + wide;
                } else {
                    bar.set_style(style("{elapsed:>6} {pos}/{len}: {msg}"));
                    beside += numbers;
                }
                bar.set_length(*total);
            }
            bar.set_prefix(escape(unit).into_owned());
            bar.set_position(*done);
        }
        // A line that is longer than the screen is wide would take two of it, and push the last ones off.
        if !has_room(beside + metric.chars().count()) {
            metric.clear();
        }
        beside += metric.chars().count();
        let name = cut(&escape(instance), columns.saturating_sub(beside).max(SHORTEST));
        bar.set_message(format!("{name}{metric}"));
    }

    /// Draws all lines for a screen of another size.
    fn resize(&mut self, size: ScreenSize) {
        let before = std::mem::replace(&mut self.size, size);
        let lines = self.number_of_lines();
        // Each is filled up to its end, and the next one follows without a line break: a screen of another width breaks them as one text.
        let now = (lines * before.columns).div_ceil(size.columns.max(1)).max(1);
        // Lines that a higher screen shows again, of those that a lower one has pushed off its top.
        let again = size.rows.saturating_sub(before.rows).min(self.pushed_off);
        if now + again != lines {
            let up = if now + again > 1 { format!("\u{1b}[{}A", now + again - 1) } else { String::new() };
            let down = "\n".repeat(lines - 1);
            // A terminal that is gone stops the view, not the run.
            let _ = self.terminal.write_str(&format!("{up}\r\u{1b}[J{down}"));
        }
        self.pushed_off = (self.pushed_off - again) + now.saturating_sub(size.rows);
        self.overall.set_style(overall_style(size.columns));
        self.arrange();
        let shown: Vec<String> =
            self.running.iter().filter(|(_, row)| row.bar.is_some()).map(|(name, _)| name.clone()).collect();
        shown.iter().for_each(|name| self.draw(name));
    }

    /// Number of lines as they were drawn.
    fn number_of_lines(&self) -> usize {
        let rows = self.running.values().filter(|row| row.bar.is_some()).count();
        rows + usize::from(!self.more.is_hidden()) + 1
    }

    /// Draws for another size of the screen, if it has one by now: before anything else is drawn, which would miscount what is there.
    fn follow_size(&mut self) {
        let size = ScreenSize::of(&self.terminal);
        if size != self.size {
            self.resize(size);
        }
    }

    fn progress(&mut self, instance: &str, done: u64, total: u64, unit: &str) {
        if let Some(row) = self.running.get_mut(instance) {
            row.progress = Some((done, total, unit.to_owned()));
            self.draw(instance);
        }
    }

    /// Puts what is left of the run behind its bar.
    fn draw_overall(&self) {
        let left = match (self.hashing, self.time_left.left(Instant::now())) {
            (Some((done, total)), _) => format!(", hashing inputs, {done} of {total}"),
            (None, Some(left)) => {
                format!(", about {} left", rough(left))
            }
            (None, None) => ", time left unknown".to_owned(),
        };
        let queued = if self.queued.is_empty() { String::new() } else { format!(" ({} queued)", self.queued.len()) };
        self.overall.set_message(left + &queued);
    }

    fn end(&mut self, instance: &str) {
        self.queued.remove(instance);
        if let Some(row) = self.running.shift_remove(instance) {
            if let Some(bar) = row.bar {
                bar.finish_and_clear();
                self.lines.remove(&bar);
            }
            self.arrange();
        }
    }
}

/// Style of the total line, which is to be no wider than the screen.
fn overall_style(columns: usize) -> ProgressStyle {
    style(if columns < WIDE {
        "{elapsed:>6} {pos}/{len}{msg}"
    } else {
        "{elapsed:>6} {bar:24} {pos}/{len} instances{msg}"
    })
}

/// A time for people, in whole seconds.
fn rough(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds => duration(seconds * 1000),
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants of this file; the plain bar is shown should one not parse.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
}

impl EventSink for TerminalSink {
    fn event(&mut self, event: &Stamped) {
        self.follow_size();
        self.time_left.event(&event.event, Instant::now());
        match &event.event {
            RunEvent::RunStarted { instances, .. } => self.overall.set_length(*instances as u64),
            RunEvent::Hashing { done, total } => {
                self.hashing = (done < total).then_some((*done, *total));
                self.draw_overall();
            }
            RunEvent::Started { instance, queues, .. } => {
                self.metrics.describe(&event.event);
                if *queues {
                    self.queued.insert(instance.clone());
                } else {
                    self.start(instance);
                }
                return;
            }
            RunEvent::Placed { instance, .. } => {
                self.queued.remove(instance);
                self.start(instance);
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
            RunEvent::StopRequested { out_of_time: false, .. } if std::io::stdin().is_terminal() => {
                // The terminal has written `^C` behind the last line, which is full, and so on a line below.
                let _ = self.terminal.write_str("\r\u{1b}[K\u{1b}[1A");
            }
            RunEvent::RunFinished { .. } => self.overall.finish_and_clear(),
            _ => {}
        }
        if let Some(text) = self.metrics.describe(&event.event) {
            self.pushed_off = 0;
            // A terminal that is gone stops the view, not the run.
            let _ = self.lines.println(text);
        }
    }

    fn tick(&mut self) {
        self.follow_size();
        self.draw_overall();
        // The run calls often enough: a thread for this could be refused.
        let bars = self.running.values().filter_map(|row| row.bar.as_ref());
        bars.chain([&self.overall]).for_each(ProgressBar::tick);
    }
}
