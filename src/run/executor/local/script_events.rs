//! Lines that a script writes to its events file: reports, and lines that are none.
//!
//! A line that cannot be understood is worth a warning and never a failure. All that a script can make the run remember by such lines is
//! bounded.

use std::collections::HashSet;

use athanor_stages::artifact::figure::{Figure, MAX_FIGURES};
use athanor_stages::context::StageReport;
use serde_json::Value;

use crate::run::executor::local::wait::KEPT_OF_LONG;
use crate::run::executor::protocol::MAX_LINE;

/// Number of bad lines that are named; the next one says that there are more.
const MAX_WARNINGS: u32 = 5;
/// Number of messages that are passed on.
const MAX_MESSAGES: u32 = 1000;
/// Number of names of metrics.
const MAX_NAMES: usize = 1000;
/// Length of a name or unit, in characters.
const MAX_NAME: usize = 200;
/// Length of a message, in characters; the rest is cut.
const MAX_TEXT: usize = 2000;
/// Length of a bad line as it is shown, in characters.
const MAX_SHOWN: usize = 80;

/// Meaning of a line.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum EventLine {
    /// Report of the stage.
    Report(StageReport),
    /// Warning about a line, as a sentence without a capital and a full stop.
    Warning(String),
    /// Nothing: one of too many.
    Dropped,
}

/// Events that a script may write, in words.
const EVENTS: &str = "`progress`, `metric`, `figure`, `message` and `warning`";

/// Reader of the lines of one attempt.
#[derive(Debug, Default)]
pub(super) struct ScriptEvents {
    lines: u64,
    warnings: u32,
    messages: u32,
    names: HashSet<String>,
    figures: HashSet<String>,
}

impl ScriptEvents {
    /// Takes the next line.
    pub(super) fn take(&mut self, line: &[u8]) -> EventLine {
        self.lines += 1;
        if line.iter().all(u8::is_ascii_whitespace) {
            return EventLine::Dropped;
        }
        match serde_json::from_slice(line).map_err(|error| reason(&error, line)).and_then(|report| self.bounded(report))
        {
            Ok(Some(report)) => EventLine::Report(report),
            Ok(None) => EventLine::Dropped,
            Err(why) => self.warn(line, &why),
        }
    }

    /// The report within bounds; `None` if it is one of too many.
    fn bounded(&mut self, mut report: StageReport) -> Result<Option<StageReport>, String> {
        match &mut report {
            StageReport::Metric { name, .. } => {
                is_short(name)?;
                if !self.names.contains(name) {
                    if self.names.len() == MAX_NAMES {
                        return Err(format!("a stage has at most {MAX_NAMES} metrics"));
                    }
                    self.names.insert(name.clone());
                }
            }
            StageReport::Progress { unit, .. } => is_short(unit)?,
            StageReport::Message { text } | StageReport::Warning { text } => {
                self.messages += 1;
                if self.messages > MAX_MESSAGES {
                    return Ok(None);
                }
                if self.messages == MAX_MESSAGES {
                    return Err(format!("further messages are not shown: a stage has at most {MAX_MESSAGES}"));
                }
                *text = cut(text, MAX_TEXT);
            }
            StageReport::Figure { name, figure } => self.check_figure(name, figure)?,
            StageReport::ComputesOn(_) | StageReport::Log { .. } => {}
        }
        Ok(Some(report))
    }

    fn check_figure(&mut self, name: &str, figure: &Figure) -> Result<(), String> {
        is_short(name)?;
        if !self.figures.contains(name) {
            if self.figures.len() == MAX_FIGURES {
                return Err(format!("a stage has at most {MAX_FIGURES} figures"));
            }
            self.figures.insert(name.to_owned());
        }
        figure.problem().map_or(Ok(()), Err)
    }

    fn warn(&mut self, line: &[u8], why: &str) -> EventLine {
        self.warnings += 1;
        if self.warnings > MAX_WARNINGS + 1 {
            return EventLine::Dropped;
        }
        let number = self.lines;
        let shown = cut(&String::from_utf8_lossy(&line[..line.len().min(MAX_SHOWN * 4)]), MAX_SHOWN);
        let more = if self.warnings > MAX_WARNINGS { "; no further ones are named" } else { "" };
        EventLine::Warning(format!("line {number} of its events is passed over: {why}: {shown}{more}"))
    }
}

fn is_short(name: &str) -> Result<(), String> {
    if name.chars().count() <= MAX_NAME { Ok(()) } else { Err(format!("a name has at most {MAX_NAME} characters")) }
}

/// The beginning of a text.
fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reason why a line is no report.
fn reason(error: &serde_json::Error, line: &[u8]) -> String {
    let has = |word: &[u8]| line.windows(word.len()).any(|window| window == word);
    if error.is_data() {
        let text = error.to_string();
        if let Some((given, known)) =
            text.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
        {
            let known = known.trim_start_matches("one of ");
            let known = known.split_once(" at line ").map_or(known, |(known, _)| known);
            return match serde_json::from_slice::<Value>(line) {
                Ok(line) if line["event"] == "figure" => {
                    format!("there is no {given} among figures; kinds are {known}")
                }
                _ => format!("there is no event {given}; events are {EVENTS}"),
            };
        }
        if let Some(name) = text.strip_prefix("missing field ") {
            let name = name.split_once(" at line ").map_or(name, |(name, _)| name);
            return format!("it lacks {name}");
        }
        let text = text.split_once(" at line ").map_or(text.as_str(), |(text, _)| text);
        return in_words(text);
    }
    if line.len() == KEPT_OF_LONG && error.is_eof() {
        return format!("it is longer than {} KiB", MAX_LINE >> 10);
    }
    if error.to_string().starts_with("number out of range") {
        return "a number is too large".to_owned();
    }
    if has(b"NaN") || has(b"Infinity") {
        return "JSON has no NaN and no infinity".to_owned();
    }
    "it is no JSON of one line".to_owned()
}

/// A message of the parser about a value of a wrong type, without the words of a programming language.
fn in_words(text: &str) -> String {
    let Some((given, expected)) = text.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected "))
    else {
        return text.to_owned();
    };
    let expected = match expected {
        "f32" | "f64" => "a number",
        "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i32" | "i64" => "a whole number",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "variant identifier" | "internally tagged enum StageReport" => "a mapping with an `event`",
        other => other,
    };
    let given =
        given.replace("floating point ", "the number ").replace("map", "a mapping").replace("sequence", "a list");
    format!("{expected} is expected, not {given}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(events: &mut ScriptEvents, line: &str) -> String {
        match events.take(line.as_bytes()) {
            EventLine::Warning(text) => text,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn reports_need_no_more_than_they_say() {
        let mut events = ScriptEvents::default();
        let mut report = |line: &str| match events.take(line.as_bytes()) {
            EventLine::Report(report) => report,
            other => panic!("{line}: {other:?}"),
        };
        let progress = StageReport::Progress { done: 3, total: 0, unit: String::new() };
        assert_eq!(report(r#"{"event":"progress","done":3}"#), progress);
        let metric = StageReport::Metric { name: "loss".to_owned(), value: 2.0, step: Some(1) };
        assert_eq!(report(r#" {"event": "metric", "name": "loss", "value": 2, "step": 1, "more": []} "#), metric);
        assert_eq!(report(r#"{"event":"message","text":"hello"}"#), StageReport::Message { text: "hello".to_owned() });
        assert_eq!(events.take(b"  "), EventLine::Dropped);
    }

    #[test]
    fn a_bad_line_is_named_with_its_reason() {
        let mut events = ScriptEvents::default();
        assert_eq!(
            warning(&mut events, "junk"),
            "line 1 of its events is passed over: it is no JSON of one line: junk"
        );
        let nan = warning(&mut events, r#"{"event":"metric","name":"loss","value":NaN}"#);
        assert!(nan.contains("line 2 ") && nan.contains("JSON has no NaN"), "{nan}");
        let missing = warning(&mut events, r#"{"event":"metric","name":"loss"}"#);
        assert!(missing.contains("it lacks `value`: "), "{missing}");
        let unknown = warning(&mut events, r#"{"event":"dance"}"#);
        assert!(unknown.contains("there is no event `dance`; events are `progress`, "), "{unknown}");
        let kind = warning(
            &mut ScriptEvents::default(),
            r#"{"event":"figure","name":"f","figure":{"title":"t","kind":"pie"}}"#,
        );
        assert!(kind.contains("there is no `pie` among figures; kinds are `"), "{kind}");
        let text = warning(&mut ScriptEvents::default(), r#"{"event":"metric","name":"f","value":"0.5"}"#);
        assert!(text.contains("a number is expected, not string \"0.5\""), "{text}");
        let large = warning(&mut ScriptEvents::default(), r#"{"event":"metric","name":"f","value":1e999}"#);
        assert!(large.contains("a number is too large"), "{large}");
        let long = warning(&mut events, &"é".repeat(10_000));
        assert!(long.chars().count() < 200, "{long}");
        assert!(warning(&mut events, "junk").ends_with("junk; no further ones are named"));
        assert_eq!(events.take(b"junk"), EventLine::Dropped);
    }

    #[test]
    fn floods_are_bounded() {
        let mut events = ScriptEvents::default();
        let mut reports = 0;
        for number in 0..5000 {
            for line in [
                format!(r#"{{"event":"metric","name":"{number}","value":1}}"#),
                r#"{"event":"message","text":"x"}"#.to_owned(),
            ] {
                reports += usize::from(matches!(events.take(line.as_bytes()), EventLine::Report(_)));
            }
        }
        assert_eq!(reports, 1000 + 999);
        assert!(matches!(events.take(br#"{"event":"metric","name":"7","value":2}"#), EventLine::Report(_)));
    }
}
