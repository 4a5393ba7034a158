//! Diagnostics: mistakes in texts of the user's, collected, sorted, and shown with excerpts.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use athanor_stages::secrets::mask;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan};
use serde::{Deserialize, Serialize};

use super::excerpt::Excerpts;
use super::span::{SourceText, Span};
use crate::escape::{escape, escape_lines};

/// Mistake in a text of the user's, or a warning about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Severity.
    pub severity: Severity,
    /// Problem, as a sentence without a full stop.
    pub message: String,
    /// Labels; the span of the first is reported as file, line and column.
    pub labels: Vec<Label>,
    /// Remedy.
    pub help: Option<String>,
    /// Instance in which it was found, where a stage has several.
    pub instance: Option<String>,
}

/// Severity of a diagnostic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Mistake, with which nothing runs.
    Mistake,
    /// Something that works and may not be meant.
    Warning,
}

/// Underlined span.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Span.
    pub span: Span,
    /// Text under it; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// A mistake at `span`.
    pub fn new(span: Span, message: impl Into<String>) -> Self {
        let label = Label { span, text: String::new() };
        let severity = Severity::Mistake;
        Diagnostic { severity, message: message.into(), labels: vec![label], help: None, instance: None }
    }

    /// A warning about `span`.
    pub fn warning(span: Span, message: impl Into<String>) -> Self {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::new(span, message) }
    }

    /// Whether it is no mistake.
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }

    /// Adds a remedy.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a remedy, if there is one.
    pub fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help.or(self.help);
        self
    }

    /// Adds the instance of a stage in which it was found.
    pub fn in_instance(mut self, name: Option<&str>) -> Self {
        self.instance = name.map(str::to_owned);
        self
    }

    /// Underlines another span, too.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Span that is reported.
    pub fn span(&self) -> Span {
        self.labels.first().map(|label| label.span).unwrap_or_default()
    }
}

/// Mistakes that were found, and the texts they lie in.
#[derive(Debug, Clone)]
pub struct Diagnostics {
    texts: Arc<[SourceText]>,
    list: Vec<Diagnostic>,
    /// Indices in `list` of what was found at each place.
    places: HashMap<Span, Vec<usize>>,
    /// Mistakes beyond those that are listed, by the index in `list` they are counted at.
    more: HashMap<usize, More>,
}

/// Mistakes that are counted, not listed.
#[derive(Debug, Clone, Default)]
struct More {
    count: usize,
    /// Instance counted last: one with several mistakes counts once.
    instance: Option<String>,
}

/// Maximum number of mistakes that are listed at one place.
const LISTED: usize = 10;

impl Diagnostics {
    /// An empty list of mistakes in these texts.
    pub fn new(texts: Arc<[SourceText]>) -> Self {
        Diagnostics { texts, list: Vec::new(), places: HashMap::new(), more: HashMap::new() }
    }

    /// Adds a mistake. Mistakes of further instances of a stage at the same place are counted, not listed.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let place = self.places.entry(diagnostic.span()).or_default();
        let first = place.first().map(|index| &self.list[*index]);
        let same = place.iter().find(|index| self.list[**index].message == diagnostic.message);
        match (same, first) {
            (Some(same), _) if self.list[*same].instance == diagnostic.instance => {}
            (Some(same), _) => self.more.entry(*same).or_default().add(diagnostic.instance),
            (None, Some(first)) if first.instance != diagnostic.instance || place.len() == LISTED => {
                self.more.entry(place[0]).or_default().add(diagnostic.instance);
            }
            (None, _) => {
                place.push(self.list.len());
                self.list.push(diagnostic);
            }
        }
    }

    /// Adds several.
    pub fn extend(&mut self, diagnostics: impl IntoIterator<Item = Diagnostic>) {
        diagnostics.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// Adds the mistake `message` at `span`; `help` says what to do.
    pub fn at(&mut self, span: Span, message: impl Into<String>, help: Option<String>) {
        self.push(Diagnostic::new(span, message).maybe_help(help));
    }

    /// Whether there are no mistakes; there may be warnings.
    pub fn is_empty(&self) -> bool {
        self.list.iter().all(Diagnostic::is_warning)
    }

    /// Number of mistakes that are reported.
    pub fn len(&self) -> usize {
        self.list.iter().filter(|diagnostic| !diagnostic.is_warning()).count()
    }

    /// Number of warnings.
    pub fn warnings(&self) -> usize {
        self.list.len() - self.len()
    }

    /// All that was found, as it was found.
    pub fn into_list(self) -> Vec<Diagnostic> {
        self.list
    }

    /// The mistakes in the order of the text, with "and N more" where one place has several.
    pub fn sorted(&self) -> Vec<Diagnostic> {
        let mut sorted: Vec<Diagnostic> = self.list.clone();
        for (index, diagnostic) in sorted.iter_mut().enumerate() {
            let noun = diagnostic.instance.as_ref().map_or("problem", |_| "instance");
            let more = self.more.get(&index).map(|more| match more.count {
                1 => format!("1 more {noun}"),
                count => format!("{count} more {noun}s"),
            });
            let note = match (diagnostic.instance.as_deref().map(escape), more) {
                (None, None) => continue,
                (None, Some(more)) => format!(" (and {more} here)"),
                (Some(instance), None) => format!(" (in `{instance}`)"),
                (Some(instance), Some(more)) => format!(" (in `{instance}` and {more})"),
            };
            diagnostic.message.push_str(&note);
        }
        sorted.sort_by_key(Diagnostic::span);
        sorted
    }

    /// The texts the mistakes lie in.
    pub fn texts(&self) -> &Arc<[SourceText]> {
        &self.texts
    }

    /// Renders all mistakes; `color` allows terminal colours and `width` is the terminal's.
    pub fn render(&self, color: bool, width: usize) -> String {
        let theme = if color { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
        let handler = GraphicalReportHandler::new_themed(theme).with_width(width).with_links(false);
        let mut rendered = String::new();
        let mut excerpts: HashMap<u32, Excerpts> = HashMap::new();
        for diagnostic in self.sorted() {
            let diagnostic = diagnostic.shown();
            let source = diagnostic.span().source;
            let Some(text) = self.texts.get(source as usize) else { continue };
            if !diagnostic
                .labels
                .iter()
                .all(|label| label.span.source != source || is_showable(&text.text, &label.span))
            {
                rendered.push_str(&diagnostic.without_excerpt(text));
                continue;
            }
            let source = excerpts.entry(source).or_insert_with(|| Excerpts::new(text));
            let report = Report { source, text: text.text.len(), diagnostic };
            if !rendered.is_empty() {
                rendered.push('\n');
            }
            // Writing to a string cannot fail; a renderer that gives up still leaves the message.
            if handler.render_report(&mut rendered, &report).is_err() {
                rendered.push_str(&report.diagnostic.message);
            }
        }
        rendered
    }
}

impl More {
    fn add(&mut self, instance: Option<String>) {
        if instance.is_none() || instance != self.instance {
            self.count += 1;
        }
        self.instance = instance;
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false, 120))
    }
}

impl std::error::Error for Diagnostics {}

/// Maximum length of a message or remedy, in characters: either may quote the text, which may be long.
const LONGEST_MESSAGE: usize = 600;
/// Maximum length of the lines around a span that are shown, in bytes.
const LONGEST_EXCERPT: usize = 10_000;
/// Maximum length of each of them, in bytes: a file may be one line.
const LONGEST_LINE: usize = 1_000;

impl Diagnostic {
    /// The mistake as it is shown: clipped, and with everything unprintable escaped.
    fn shown(mut self) -> Diagnostic {
        let clip = |text: &mut String| {
            // Masked before it is cut: the end of a secret may be needed to recognise it.
            *text = mask(text).into_owned();
            if let Some((at, _)) = text.char_indices().nth(LONGEST_MESSAGE) {
                text.truncate(at);
                text.push('…');
            }
            *text = escape_lines(text).into_owned();
        };
        clip(&mut self.message);
        self.help.iter_mut().for_each(clip);
        self.labels.iter_mut().for_each(|label| clip(&mut label.text));
        self
    }

    /// The mistake and its place, for lines that are too long to show.
    fn without_excerpt(&self, text: &SourceText) -> String {
        let (line, column) = text.line_and_column(self.span().range().start);
        let help = self.help.as_ref().map_or_else(String::new, |help| format!("  help: {help}\n"));
        let name = escape(&text.name);
        let mark = if self.is_warning() { "⚠" } else { "×" };
        format!("  {mark} {}\n   at {name}:{line}:{column}, in a line too long to show\n{help}", self.message)
    }
}

/// Whether the lines that `span` touches, with one before and one after, are short enough to show.
fn is_showable(text: &str, span: &Span) -> bool {
    let (start, end) = (span.range().start.min(text.len()), span.range().end.min(text.len()));
    let bytes = text.as_bytes();
    let ends = |byte: &u8| *byte == b'\n';
    let first = bytes[..start].rsplitn(3, ends).take(2).map(|line| line.len() + 1).sum::<usize>();
    let first = (start + 1).saturating_sub(first);
    let length = bytes[end..].splitn(3, ends).take(2).map(|line| line.len() + 1).sum::<usize>();
    let lines = &bytes[first..(end + length).min(bytes.len())];
    lines.len() <= LONGEST_EXCERPT && lines.split(ends).all(|line| line.len() <= LONGEST_LINE)
}

/// Mistake as miette sees it.
#[derive(Debug)]
struct Report<'r> {
    source: &'r Excerpts,
    /// Bytes in the text.
    text: usize,
    diagnostic: Diagnostic,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Mistake => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        Some(self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let source = self.diagnostic.span().source;
        let mine = self.diagnostic.labels.iter().filter(move |label| label.span.source == source);
        Some(Box::new(mine.enumerate().map(|(index, label)| {
            let range = label.span.range();
            let (start, end) = (range.start.min(self.text), range.end.min(self.text));
            let text = (!label.text.is_empty()).then(|| label.text.clone());
            let place = self.source.place(start..end.max(start));
            match index {
                0 => LabeledSpan::new_primary_with_span(text, place),
                _ => LabeledSpan::new_with_span(text, place),
            }
        })))
    }
}
