//! Excerpts of a text around its mistakes: without secrets, with unprintable characters escaped, and with lines that are found
//! without reading the whole text.

use std::borrow::Cow;
use std::ops::Range;

use athanor_stages::secrets::{MASK, secrets};
use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::span::SourceText;
use crate::escape::{escape, is_unprintable};

/// A text that excerpts are taken from.
#[derive(Debug)]
pub(super) struct Excerpts {
    name: String,
    /// The text with secrets masked and unprintable characters escaped, except line breaks and tabs.
    text: String,
    /// Offsets of its lines.
    lines: Vec<usize>,
    /// Offsets behind each rewritten piece: in the text as written, and in `text`.
    rewritten: Vec<(usize, usize)>,
}

impl Excerpts {
    /// Excerpts of a text.
    pub(super) fn new(source: &SourceText) -> Excerpts {
        let (text, rewritten) = shown_text(&source.text);
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Excerpts { name: escape(&source.name).into_owned(), text, lines, rewritten }
    }

    /// Position of the bytes `range` of the text as written, as offset and length.
    pub(super) fn place(&self, range: Range<usize>) -> (usize, usize) {
        let shown = |at: usize| {
            let before = self.rewritten.partition_point(|(written, _)| *written <= at);
            let (written, shown) = before.checked_sub(1).map_or((0, 0), |index| self.rewritten[index]);
            (shown + (at - written)).min(self.text.len())
        };
        let start = shown(range.start);
        (start, shown(range.end).saturating_sub(start))
    }

    /// Offset in the text as written of an offset in the shown one.
    fn written(&self, at: usize) -> usize {
        let before = self.rewritten.partition_point(|(_, shown)| *shown <= at);
        let (written, shown) = before.checked_sub(1).map_or((0, 0), |index| self.rewritten[index]);
        written + (at - shown)
    }

    /// Number of the line at the offset `at`.
    fn line_of(&self, at: usize) -> usize {
        self.lines.partition_point(|start| *start <= at).saturating_sub(1)
    }
}

impl SourceCode for Excerpts {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        // The line break before an empty span belongs to it.
        let first = self.line_of(span.offset().saturating_sub(1)).saturating_sub(before);
        let start = self.lines[first];
        // One line more than is shown, so that the last one ends as it does in the whole text.
        let last = self.line_of(span.offset() + span.len()) + after + 2;
        let end = self.lines.get(last).copied().unwrap_or(self.text.len());
        let inner = SourceSpan::from((span.offset() - start, span.len()));
        let part = &self.text[start..end];
        let (data, from, shown_line, mut column, count) = {
            let contents = part.read_span(&inner, before, after)?;
            let from = contents.span().offset();
            let length = contents.data().len();
            let data = &part.as_bytes()[from..from + length];
            (data, from, contents.line(), contents.column(), contents.line_count())
        };
        if before == 0 {
            let line = self.lines[self.line_of(span.offset())];
            column = self.written(span.offset()) - self.written(line);
        }
        let place = SourceSpan::from((start + from, data.len()));
        let name = self.name.clone();
        Ok(Box::new(MietteSpanContents::new_named(name, data, place, first + shown_line, column, count)))
    }
}

/// The text as it is shown, and the offsets behind each rewritten piece: as written, and as shown.
fn shown_text(text: &str) -> (String, Vec<(usize, usize)>) {
    let mut shown = String::with_capacity(text.len());
    let mut rewritten = Vec::new();
    let mut copied = 0;
    let hidden = text.char_indices().filter(|(at, c)| {
        let breaks_line = *c == '\r' && text[at + 1..].starts_with('\n');
        is_unprintable(*c) && !breaks_line && !matches!(c, '\n' | '\t')
    });
    let hidden = hidden.map(|(at, c)| (at..at + c.len_utf8(), escape(&text[at..at + c.len_utf8()])));
    let masked = secrets(text).into_iter().map(|range| (range, Cow::Borrowed(MASK)));
    let mut pieces: Vec<(Range<usize>, Cow<'_, str>)> = hidden.chain(masked).collect();
    pieces.sort_by_key(|(range, _)| range.start);
    for (range, instead) in pieces {
        // Unprintable characters within a secret are masked with it.
        if range.start >= copied {
            shown.push_str(&text[copied..range.start]);
            shown.push_str(&instead);
            rewritten.push((range.end, shown.len()));
            copied = range.end;
        }
    }
    shown.push_str(&text[copied..]);
    (shown, rewritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_behind_what_was_shown_text() {
        let text = "a: 1\r\nb: \u{1b}[31mé\rx\nc: 3\n".to_owned();
        let excerpts = Excerpts::new(&SourceText { name: "p\u{7}".to_owned(), text: text.clone() });
        assert_eq!(excerpts.text, "a: 1\r\nb: \\u{1b}[31mé\\rx\nc: 3\n");
        for (piece, shown) in
            [("1", "1"), ("[31m", "[31m"), ("\u{1b}", "\\u{1b}"), ("x", "x"), ("é\rx", "é\\rx"), ("3", "3")]
        {
            let at = text.find(piece).unwrap();
            let (start, length) = excerpts.place(at..at + piece.len());
            assert_eq!(&excerpts.text[start..start + length], shown);
        }
        let at = text.find('x').unwrap();
        let (start, length) = excerpts.place(at..at + 1);
        let contents = excerpts.read_span(&(start, length).into(), 0, 0).unwrap();
        assert_eq!((contents.name(), contents.line()), (Some("p\\u{7}"), 1));
        assert_eq!(contents.column(), "b: \u{1b}[31mé\r".len());
    }

    #[test]
    fn secrets_are_masked_and_places_behind_them_found() {
        let text = "\u{7}url: https://u:hunter\u{200b}2@h/?token=t, b: 1\n".to_owned();
        let excerpts = Excerpts::new(&SourceText { name: "p".to_owned(), text: text.clone() });
        assert_eq!(excerpts.text, "\\u{7}url: https://u:***@h/?token=*** b: 1\n");
        let at = text.find("b: 1").unwrap();
        let (start, length) = excerpts.place(at..at + 4);
        assert_eq!(&excerpts.text[start..start + length], "b: 1");
    }

    #[test]
    fn excerpts_are_those_of_the_whole_text() {
        let text = (0..30).map(|line| format!("line {line}{}\n", "x".repeat(line % 4))).collect::<String>();
        let excerpts = Excerpts::new(&SourceText { name: "p".to_owned(), text: text.clone() });
        for start in 0..=text.len() {
            for length in [0, 1, 5, 12, 60] {
                if start + length > text.len() {
                    continue;
                }
                let span = SourceSpan::from((start, length));
                for context in [0, 1, 2] {
                    let whole = text.read_span(&span, context, context).map(|found| found.data().to_vec());
                    let ours = excerpts.read_span(&span, context, context).map(|found| {
                        let at = found.span().offset();
                        assert_eq!(found.data(), &text.as_bytes()[at..at + found.data().len()]);
                        found.data().to_vec()
                    });
                    assert_eq!(ours.ok(), whole.ok(), "{start} {length} {context}");
                    let line = |source: &dyn SourceCode| {
                        source.read_span(&span, context, context).ok().map(|found| (found.line(), found.column()))
                    };
                    assert_eq!(line(&excerpts), line(&text), "{start} {length} {context}");
                }
            }
        }
    }
}
