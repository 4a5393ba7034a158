//! `athanor top`: the state of a pipeline's run on a terminal.

use std::io::{IsTerminal, stdin, stdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use console::Term;
use ratatui_core::terminal::Terminal;
use ratatui_termion::TermionBackend;
use termion::event::Key;
use termion::input::TermRead;
use termion::raw::IntoRawMode;
use termion::screen::IntoAlternateScreen;

use crate::cli::arguments::TopCommand;
use crate::cli::{Exit, UP_TO_DATE, load, print, project, recent_pipeline};
use crate::report::live::{Feed, LiveData, LiveSource, RunningInstance, WaitingInstance};
use crate::run::executor::machine::gpus::{GpuLoad, GpuMeter};
use crate::settings::Settings;
use crate::view::metrics::telling;
use crate::view::top::{GpuRow, RunningRow, Screen, WaitingRow, draw, plain};

/// Interval at which keys are waited for, and news.
const POLL: Duration = Duration::from_millis(250);
/// Interval at which the screen is drawn without news.
const TICK: Duration = Duration::from_secs(1);
/// Width and height of what is printed where there is no terminal.
const PLAIN: (u16, u16) = (120, 40);

pub(super) fn top(settings: &Settings, command: &TopCommand) -> Result<u8, Exit> {
    let pipeline = recent_pipeline::choose(settings, &command.pipeline)?;
    let plan = load::plan(settings, &pipeline)?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, &pipeline, &[])?;
    let file = pipeline.file.display().to_string();
    let feed = Feed { session: &session, cache: &project.cache, file, controls: false };
    let meter = GpuMeter::open();
    let gpus = || meter.as_ref().map(GpuMeter::read).unwrap_or_default();
    if !(stdin().is_terminal() && stdout().is_terminal()) {
        let (_, columns) = Term::stdout().size_checked().unwrap_or((PLAIN.1, PLAIN.0));
        return print(&plain(&screen(&feed.gather().map_err(Exit::failed)?, &gpus()), columns, PLAIN.1));
    }
    follow(&feed, &gpus).map(|()| UP_TO_DATE)
}

/// Shows the screen until the user has seen enough.
fn follow(feed: &Feed<'_>, gpus: &dyn Fn() -> Vec<GpuLoad>) -> Result<(), Exit> {
    let raw = stdout().into_raw_mode().and_then(IntoAlternateScreen::into_alternate_screen).map_err(Exit::failed)?;
    let mut terminal = Terminal::new(TermionBackend::new(raw)).map_err(Exit::failed)?;
    let keys = keys();
    let (mut selected, mut mark, mut drawn) = (0_usize, None, Instant::now());
    let mut shown = Screen::default();
    loop {
        let now = feed.mark();
        if mark != Some(now) || drawn.elapsed() >= TICK {
            shown = screen(&feed.gather().map_err(Exit::failed)?, &gpus());
            (mark, drawn) = (Some(now), Instant::now());
        }
        selected = selected.min(shown.running.len().saturating_sub(1));
        shown.selected = selected;
        terminal.draw(|frame| draw(frame, &shown)).map_err(Exit::failed)?;
        match keys.recv_timeout(POLL) {
            Ok(Key::Char('q' | 'Q') | Key::Esc | Key::Ctrl('c' | 'd')) => return Ok(()),
            Ok(Key::Down | Key::Char('j')) => selected += 1,
            Ok(Key::Up | Key::Char('k')) => selected = selected.saturating_sub(1),
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// Keys as they are pressed, read on a thread of their own.
fn keys() -> Receiver<Key> {
    let (sender, keys) = channel();
    // Without a thread the sender is gone, and with it the screen.
    let _ = std::thread::Builder::new().spawn(move || {
        for key in stdin().keys().map_while(Result::ok) {
            if sender.send(key).is_err() {
                return;
            }
        }
    });
    keys
}

/// Contents of the screen from the data of the live page.
fn screen(data: &LiveData, gpus: &[GpuLoad]) -> Screen {
    let LiveData { report, live, .. } = data;
    let run = match &report.run {
        Some(run) => format!("run {}: {}", run.id, run.outcome.replace('_', " ")),
        None => "no run yet".to_owned(),
    };
    let row = |instance: &RunningInstance| {
        let RunningInstance { done, total, unit, .. } = instance;
        let progress = match (*done, *total) {
            (0, 0) => String::new(),
            (done, 0) => format!("{done} {unit}"),
            (done, total) => format!("{done} of {total} {unit}"),
        };
        let metrics = telling(instance.metrics.iter().map(|(name, value)| (name.as_str(), *value)));
        RunningRow {
            instance: instance.instance.clone(),
            node: instance.node.clone(),
            share: (*total > 0).then(|| *done as f64 / *total as f64),
            progress,
            took: u64::try_from(report.made - instance.since).unwrap_or(0),
            metrics: metrics.into_iter().collect::<Vec<_>>().join(", "),
            log: instance.log.clone(),
        }
    };
    let gpu = |load: &GpuLoad| GpuRow {
        id: load.gpu.id().to_string(),
        model: load.gpu.name.clone(),
        memory: load.used.zip(load.gpu.memory),
        busy: load.utilisation,
    };
    let waiting = |row: &WaitingInstance| WaitingRow { instance: row.instance.clone(), why: row.why.clone() };
    Screen {
        pipeline: report.pipeline.clone(),
        run,
        done: live.done,
        total: live.total,
        left: live.eta.and_then(|left| u64::try_from(left).ok()),
        running: live.running.iter().map(row).collect(),
        waiting: live.waiting.iter().map(waiting).collect(),
        gpus: gpus.iter().map(gpu).collect(),
        messages: live.messages.clone(),
        selected: 0,
    }
}
