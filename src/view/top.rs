//! The screen of `athanor top`: what runs, what waits and why, GPUs, and the end of a log.

use ratatui_core::backend::TestBackend;
use ratatui_core::layout::{Constraint, Layout, Rect};
use ratatui_core::style::{Color, Modifier, Style};
use ratatui_core::terminal::{Frame, Terminal};
use ratatui_core::text::{Line, Span};
use ratatui_widgets::block::Block;
use ratatui_widgets::borders::Borders;
use ratatui_widgets::gauge::Gauge;
use ratatui_widgets::paragraph::Paragraph;
use ratatui_widgets::table::{Row, Table};

use crate::escape::escape;
use crate::view::text::{bytes, duration};

/// Lines of a log that are shown at least, with its frame.
const LOG_HEIGHT: u16 = 8;
/// Characters of a progress in words that are shown.
const MAX_PROGRESS: usize = 22;
/// Width of a share as a bar.
const BAR: usize = 10;
/// Width of a node's name.
const NODE: usize = 12;

/// Contents of the screen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Screen {
    /// Pipeline.
    pub pipeline: String,
    /// Run and its outcome, in words.
    pub run: String,
    /// Instances that are up to date.
    pub done: usize,
    /// Instances in all.
    pub total: usize,
    /// Time that is left, in milliseconds, as far as it can be told.
    pub left: Option<u64>,
    /// Instances that run.
    pub running: Vec<RunningRow>,
    /// Instances that wait, with the reason.
    pub waiting: Vec<WaitingRow>,
    /// GPUs.
    pub gpus: Vec<GpuRow>,
    /// Latest messages.
    pub messages: Vec<String>,
    /// Number of the running instance whose log is shown.
    pub selected: usize,
}

/// Instance that waits.
#[derive(Debug, Clone)]
pub(crate) struct WaitingRow {
    /// Name.
    pub instance: String,
    /// Reason, as the end of "waits …".
    pub why: String,
}

/// Instance that runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct RunningRow {
    /// Name.
    pub instance: String,
    /// Node of a cluster.
    pub node: Option<String>,
    /// Share that is done, from 0 to 1, where it is known.
    pub share: Option<f64>,
    /// Progress in words.
    pub progress: String,
    /// Time since its start, in milliseconds.
    pub took: u64,
    /// Metrics in words.
    pub metrics: String,
    /// End of its log.
    pub log: Vec<String>,
}

/// GPU of this machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct GpuRow {
    /// Name, as stages are given it.
    pub id: String,
    /// Model.
    pub model: String,
    /// Memory in use and in all, in bytes, where it is known.
    pub memory: Option<(u64, u64)>,
    /// Utilisation, in percent.
    pub busy: Option<u32>,
}

/// Draws the screen.
pub(crate) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let height = |rows: usize| Constraint::Length(u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(2));
    let shown = |rows: usize, most: usize| height(rows.clamp(1, most));
    // On a low screen GPUs and what waits give way first.
    let most = usize::from(frame.area().height / 4).max(1);
    let gpus = if screen.gpus.is_empty() { Constraint::Length(0) } else { shown(screen.gpus.len(), most) };
    let [head, bar, running, waiting, of_gpus, log, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        shown(screen.running.len(), most * 2),
        shown(screen.waiting.len(), most),
        gpus,
        Constraint::Min(LOG_HEIGHT),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    draw_head(frame, screen, head);
    let share = if screen.total == 0 { 0.0 } else { screen.done as f64 / screen.total as f64 };
    let label = format!("{} of {} up to date", screen.done, screen.total);
    let gauge = Gauge::default().ratio(share.clamp(0.0, 1.0)).label(label);
    frame.render_widget(gauge.gauge_style(Style::new().fg(Color::Green)), bar);
    draw_running(frame, screen, running);
    draw_waiting(frame, screen, waiting);
    if !screen.gpus.is_empty() {
        draw_gpus(frame, screen, of_gpus);
    }
    draw_log(frame, screen, log);
    let keys = Line::from("q quits, arrows choose the log").style(Style::new().fg(Color::DarkGray));
    frame.render_widget(keys, foot);
}

fn draw_head(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let left = screen.left.map(|left| format!(", about {} left", duration(left))).unwrap_or_default();
    let pipeline = Span::styled(escape(&screen.pipeline).into_owned(), Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Line::from(vec![pipeline, Span::raw(format!("  {}{left}", escape(&screen.run)))]), area);
}

fn draw_running(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let has_nodes = screen.running.iter().any(|row| row.node.is_some());
    // What is left is for names and metrics.
    let widest = |of: fn(&RunningRow) -> usize| screen.running.iter().map(of).max().unwrap_or(0);
    let progress = widest(|row| row.progress.chars().count().min(MAX_PROGRESS));
    let took = widest(|row| duration(row.took).chars().count());
    let node = if has_nodes { NODE + 1 } else { 0 };
    let left = usize::from(area.width).saturating_sub(BAR + progress + took + node + 6);
    let name = widest(|row| row.instance.chars().count()).min(left * 3 / 5);
    let row = |(number, row): (usize, &RunningRow)| {
        let mut cells = vec![fitting(&row.instance, name)];
        cells.extend(has_nodes.then(|| escape(row.node.as_deref().unwrap_or_default()).into_owned()));
        let share = row.share.map(share_bar).unwrap_or_default();
        cells.extend([share, escape(&row.progress).into_owned(), duration(row.took)]);
        cells.push(escape(&row.metrics).into_owned());
        let style =
            if number == screen.selected { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        Row::new(cells).style(style)
    };
    let rows: Vec<Row<'_>> = screen.running.iter().enumerate().map(row).collect();
    let mut widths = vec![columns(name)];
    widths.extend(has_nodes.then_some(columns(NODE)));
    widths.extend([columns(BAR), columns(progress), columns(took), Constraint::Fill(1)]);
    let block = framed(format!("running {}", screen.running.len()));
    frame.render_widget(Table::new(rows, widths).block(block), area);
}

fn draw_waiting(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let longest = screen.waiting.iter().map(|row| row.instance.chars().count()).max().unwrap_or(0);
    let name = longest.min(usize::from(area.width) * 3 / 5);
    let row = |row: &WaitingRow| Row::new(vec![fitting(&row.instance, name), format!("waits {}", escape(&row.why))]);
    let table = Table::new(screen.waiting.iter().map(row), [columns(name), Constraint::Fill(1)]);
    frame.render_widget(table.block(framed(format!("waiting {}", screen.waiting.len()))), area);
}

fn draw_gpus(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let row = |gpu: &GpuRow| {
        let memory = gpu.memory.map(|(used, total)| {
            let share = if total == 0 { 0.0 } else { used as f64 / total as f64 };
            (share_bar(share), format!("{} of {}", bytes(used), bytes(total)))
        });
        let (bar, memory) = memory.unwrap_or_default();
        let busy = gpu.busy.map(|percent| format!("{percent:>3} % busy")).unwrap_or_default();
        Row::new(vec![escape(&gpu.id).into_owned(), escape(&gpu.model).into_owned(), bar, memory, busy])
    };
    let widths = [
        Constraint::Length(10),
        Constraint::Fill(1),
        Constraint::Length(BAR as u16),
        Constraint::Length(24),
        Constraint::Length(10),
    ];
    let table = Table::new(screen.gpus.iter().map(row), widths);
    frame.render_widget(table.block(framed("GPUs of this machine".to_owned())), area);
}

fn draw_log(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let (title, lines) = match screen.running.get(screen.selected) {
        Some(row) => (format!("log of {}", escape(&row.instance)), &row.log),
        None => ("messages".to_owned(), &screen.messages),
    };
    let rows = usize::from(area.height.saturating_sub(2));
    let last = &lines[lines.len().saturating_sub(rows)..];
    let lines: Vec<Line<'_>> = last.iter().map(|line| Line::from(escape(line).into_owned())).collect();
    frame.render_widget(Paragraph::new(lines).block(framed(title)), area);
}

fn framed(title: String) -> Block<'static> {
    Block::new().borders(Borders::ALL).title(Line::from(format!(" {title} ")))
}

/// A width of a column.
fn columns(width: usize) -> Constraint {
    Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX))
}

/// A name without its middle where it is too long: instances differ at their ends.
fn fitting(name: &str, width: usize) -> String {
    let name: Vec<char> = escape(name).chars().collect();
    if name.len() <= width || width < 3 {
        return name.into_iter().collect();
    }
    let (start, end) = (width / 3, width - 1 - width / 3);
    let parts = [&name[..start], &['…'], &name[name.len() - end..]];
    parts.concat().into_iter().collect()
}

/// A share as a bar.
fn share_bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    "█".repeat(full) + &"░".repeat(BAR - full)
}

/// The screen as plain lines, for whoever is no terminal.
pub(crate) fn plain(screen: &Screen, width: u16, height: u16) -> String {
    let Ok(mut terminal) = Terminal::new(TestBackend::new(width, height));
    let Ok(_) = terminal.draw(|frame| draw(frame, screen));
    let buffer = terminal.backend().buffer();
    let line = |y: u16| -> String { (0..width).map(|x| buffer[(x, y)].symbol()).collect() };
    (0..height).map(|y| line(y).trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(instance: &str, why: &str) -> WaitingRow {
        WaitingRow { instance: instance.to_owned(), why: why.to_owned() }
    }

    fn screen() -> Screen {
        let running = |instance: &str, node: Option<&str>| RunningRow {
            instance: instance.to_owned(),
            node: node.map(str::to_owned),
            share: Some(0.75),
            progress: "3 of 4 epochs".to_owned(),
            took: 61_000,
            metrics: "loss 0.25".to_owned(),
            log: (1..=20).map(|number| format!("line {number} of {instance}\u{1b}[2J")).collect(),
        };
        Screen {
            pipeline: "demo".to_owned(),
            run: "run 000042-x, running".to_owned(),
            done: 3,
            total: 12,
            left: Some(90_000),
            running: vec![running("model[fold=0]", None), running("model[fold=1]", None)],
            waiting: vec![
                waiting("model[fold=2]", "for free CPUs, memory or GPUs"),
                waiting("report", "for model[fold=0] and 4 more"),
            ],
            gpus: vec![GpuRow {
                id: "0".to_owned(),
                model: "NVIDIA H200".to_owned(),
                memory: Some((96 << 30, 141 << 30)),
                busy: Some(87),
            }],
            messages: vec!["data: read".to_owned()],
            selected: 1,
        }
    }

    #[test]
    fn all_that_goes_on_is_on_the_screen() {
        let shown = plain(&screen(), 110, 30);
        insta::assert_snapshot!(shown);
        assert!(!shown.contains('\u{1b}'));
    }

    #[test]
    fn nodes_have_a_column_and_an_idle_run_shows_messages() {
        let mut screen = screen();
        screen.running[0].node = Some("gpu-node-7".to_owned());
        assert!(plain(&screen, 110, 30).contains("gpu-node-7"));
        screen.running.clear();
        let shown = plain(&screen, 110, 30);
        assert!(shown.contains(" messages ") && shown.contains("data: read"), "{shown}");
    }

    #[test]
    fn long_names_lose_their_middle() {
        let mut screen = screen();
        screen.waiting[0].instance = "validation_prediction[model=densenet121,fold=0,seed=1]".to_owned();
        screen.running[0].instance = "model[model=densenet121,fold=1]".to_owned();
        let shown = plain(&screen, 80, 24);
        assert!(shown.contains("fold=0,seed=1] waits for free CPUs") && shown.contains("fold=1] ████"), "{shown}");
        assert!(shown.contains("loss 0.25"), "{shown}");
        assert_eq!(fitting("abcdefghij", 7), "ab…ghij");
    }

    #[test]
    fn every_size_of_a_terminal_is_drawn() {
        for (width, height) in [(1, 1), (2, 5), (20, 8), (40, 12), (300, 100)] {
            assert_eq!(plain(&screen(), width, height).lines().count(), usize::from(height));
        }
    }
}
