//! Scan of a shell script up to the place where a value stands: which quotes and constructs are open there.

/// Syntactic context of a value in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Context {
    /// Outside quotes: the value becomes words.
    Plain(Position),
    /// Inside `'…'`.
    Single,
    /// Inside `"…"`.
    Double,
    /// Inside `"…"` within `"${…}"`.
    InnerDouble,
    /// The word of `"${NAME:-…}"`.
    Word,
    /// A pattern, an index or an offset in `"${…}"`, or anything in one of a here-document.
    Pattern {
        /// Whether a slash would end it.
        ends_at_slash: bool,
    },
    /// Inside `$'…'`.
    Escaped,
    /// Inside a here-document.
    Here {
        /// The line that ends it.
        end: String,
        /// Beginning of the line on which the value stands.
        line: String,
        /// Whether the shell takes its text literally.
        is_literal: bool,
    },
    /// Inside a comment.
    Comment,
}

/// Position of a value outside quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    /// Where a command can begin, or a pattern of `case`: some words are the shell's own there.
    Command,
    /// A word inside `[[ … ]]`.
    Test,
    /// A word after `=~` inside `[[ … ]]`.
    Regex,
    /// Right behind an opening brace.
    Brace,
    /// Anywhere else.
    Argument,
}

/// Place of a value in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Its context.
    pub context: Context,
    /// Whether it stands right behind `$NAME`, whose name letters would go on.
    pub is_behind_name: bool,
    /// Whether digits that stand there would make a word of digits alone, as the number of a descriptor is.
    pub begins_number: bool,
}

/// Reason why a value cannot be quoted in its context: the message, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unquotable(pub &'static str, pub &'static str);

const AFTER_BACKSLASH: Unquotable =
    Unquotable("a value cannot follow a backslash", "take the backslash away: values are quoted as they need");
const IN_BACKTICKS: Unquotable = Unquotable("a value cannot stand inside backticks", "write `$(…)` instead");

/// Construct of the shell that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Frame {
    /// The script itself, or `$(…)`.
    Code {
        /// Open constructs within it, the last one innermost.
        open: Vec<Open>,
        /// Whether the next word begins a command.
        is_command: bool,
    },
    /// `((…))` or `$((…))`, with parentheses open in it.
    Arithmetic { parentheses: usize },
    /// `"…"`.
    Double,
    /// `${…}`, itself inside double quotes or not, whose inside begins at `from`.
    Braces { quoted: bool, from: usize },
    /// `` `…` ``.
    Backticks,
    /// The text of a here-document.
    Here { end: String },
}

/// Construct that is open in a [`Frame::Code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// `(`.
    Parenthesis,
    /// `case`, up to `esac`.
    Case,
    /// `[[`.
    Test,
}

/// A here-document whose text begins on the next line.
struct Here {
    end: String,
    tabs_ignored: bool,
    is_literal: bool,
}

/// Place at the end of `before`, the beginning of a script; `escapes` tells whether its shell knows `$'…'` and `((…))`.
pub(super) fn place(before: &str, escapes: bool) -> Result<Place, Unquotable> {
    let frames = vec![Frame::Code { open: Vec::new(), is_command: true }];
    let mut scan = Scan { text: before, escapes, at: 0, frames, pending: Vec::new() };
    while scan.at < before.len() {
        if let Some(context) = scan.step()? {
            return Ok(Place { context, is_behind_name: false, begins_number: false });
        }
    }
    let head = before.trim_end_matches(|c: char| c.is_ascii_digit());
    let begins_number = scan.is_code() && (begins_word(head.as_bytes()) || head.ends_with(['<', '>']));
    Ok(Place { context: scan.innermost()?, is_behind_name: ends_with_name(before), begins_number })
}

struct Scan<'t> {
    text: &'t str,
    escapes: bool,
    at: usize,
    frames: Vec<Frame>,
    pending: Vec<Here>,
}

impl Scan<'_> {
    /// Goes past the next character or construct; returns the context if it does not end before the text does.
    fn step(&mut self) -> Result<Option<Context>, Unquotable> {
        let (text, at) = (self.text, self.at);
        let bytes = text.as_bytes();
        let (code, single) = (self.is_code(), self.takes_single_quotes());
        let in_here = matches!(self.frames.last(), Some(Frame::Here { .. }));
        let next = bytes.get(at + 1);
        self.at += 1;
        match bytes[at] {
            b'\\' if next.is_none() => return Err(AFTER_BACKSLASH),
            b'\\' => {
                // Behind a line that goes on, the next word begins whatever it would have begun here.
                if next != Some(&b'\n') {
                    self.note_word();
                }
                self.at += 1;
            }
            b'$' if self.escapes && next == Some(&b'\'') && single => match escaped_end(bytes, at + 2) {
                Some(end) => self.at = end + 1,
                None => return Ok(Some(Context::Escaped)),
            },
            b'\'' if single => match text[at + 1..].find('\'') {
                Some(end) => {
                    self.note_word();
                    self.at += end + 1;
                }
                None => return Ok(Some(Context::Single)),
            },
            b'"' if self.frames.last() == Some(&Frame::Double) => drop(self.frames.pop()),
            b'"' if !in_here => self.open(Frame::Double, 0),
            b'`' => match self.frames.iter().position(|open| *open == Frame::Backticks) {
                Some(open) => self.frames.truncate(open),
                None => self.open(Frame::Backticks, 0),
            },
            b'$' if text[at..].starts_with("$((") => self.open(Frame::Arithmetic { parentheses: 2 }, 2),
            b'$' if next == Some(&b'(') => self.open(Frame::Code { open: Vec::new(), is_command: true }, 1),
            b'$' if next == Some(&b'{') => {
                let quoted = matches!(
                    self.frames.last(),
                    Some(Frame::Double | Frame::Here { .. } | Frame::Braces { quoted: true, .. })
                );
                self.open(Frame::Braces { quoted, from: at + 2 }, 1);
            }
            b'}' if matches!(self.frames.last(), Some(Frame::Braces { .. })) => drop(self.frames.pop()),
            b'(' if code && self.escapes && next == Some(&b'(') => self.open(Frame::Arithmetic { parentheses: 2 }, 1),
            bracket @ (b'(' | b')') => self.parenthesis(bracket),
            b'#' if code && begins_word(&bytes[..at]) => match text[at..].find('\n') {
                Some(end) => self.at = at + end,
                None => return Ok(Some(Context::Comment)),
            },
            b'<' if code && text[at..].starts_with("<<") => {
                let (here, length) = here_document(&text[at + 2..]);
                self.pending.extend(here);
                self.at = at + 2 + length;
            }
            b'\n' if code => return Ok(self.line_end()),
            byte if code => self.code(byte),
            _ => {}
        }
        Ok(None)
    }

    /// Goes on in code: its words tell where commands begin.
    fn code(&mut self, byte: u8) {
        let Some(Frame::Code { open, is_command }) = self.frames.last_mut() else { return };
        if b";&|".contains(&byte) {
            *is_command = true;
            return;
        }
        if byte.is_ascii_whitespace() || b"<>".contains(&byte) {
            return;
        }
        let begin = self.at - 1;
        if !self.text.is_char_boundary(begin) {
            // The rest of a character behind a backslash.
            return;
        }
        let end = self.text[begin..].find(ends_plain_word).map_or(self.text.len(), |end| begin + end);
        // A byte that is neither, such as `$` before a name, is passed by itself.
        self.at = end.max(self.at);
        if !begins_word(&self.text.as_bytes()[..begin]) || end == self.text.len() {
            *is_command = false;
            return;
        }
        let in_case = open.last() == Some(&Open::Case);
        match &self.text[begin..end] {
            "case" if *is_command => open.push(Open::Case),
            "esac" if *is_command && in_case => drop(open.pop()),
            "[[" if *is_command => open.push(Open::Test),
            "]]" if open.last() == Some(&Open::Test) => drop(open.pop()),
            "in" if in_case => {
                *is_command = true;
                return;
            }
            word if *is_command && BEFORE_COMMANDS.contains(&word) => return,
            _ => {}
        }
        *is_command = false;
    }

    /// Opens a construct whose beginning has `more` bytes after the first one.
    fn open(&mut self, frame: Frame, more: usize) {
        self.note_word();
        self.frames.push(frame);
        self.at += more;
    }

    /// Notes that a word goes on, or begins, which is none of the shell's own.
    fn note_word(&mut self) {
        if let Some(Frame::Code { is_command, .. }) = self.frames.last_mut() {
            *is_command = false;
        }
    }

    fn parenthesis(&mut self, bracket: u8) {
        let inner = self.frames.len() > 1;
        match self.frames.last_mut() {
            Some(Frame::Arithmetic { parentheses }) if bracket == b'(' => *parentheses += 1,
            Some(Frame::Arithmetic { parentheses: 0 | 1 }) => drop(self.frames.pop()),
            Some(Frame::Arithmetic { parentheses }) => *parentheses -= 1,
            Some(Frame::Code { open, is_command }) => {
                *is_command = true;
                match (bracket, open.last()) {
                    (b'(', _) => open.push(Open::Parenthesis),
                    (_, Some(Open::Parenthesis)) => drop(open.pop()),
                    (_, None) if inner => drop(self.frames.pop()),
                    // One that nothing opened ends a pattern of `case`.
                    _ => {}
                }
            }
            _ => {}
        }
    }

    /// Goes past the end of a line of code and the here-documents that follow; returns the context if one does not end.
    fn line_end(&mut self) -> Option<Context> {
        if let Some(Frame::Code { is_command, .. }) = self.frames.last_mut() {
            *is_command = true;
        }
        for here in std::mem::take(&mut self.pending) {
            match after_here_document(self.text, self.at, &here) {
                Some(after) => self.at = after,
                None if here.is_literal => return Some(self.here(here.end, true)),
                None => {
                    self.frames.push(Frame::Here { end: here.end });
                    return None;
                }
            }
        }
        None
    }

    fn here(&self, end: String, is_literal: bool) -> Context {
        let line = self.text.rsplit('\n').next().unwrap_or_default().to_owned();
        Context::Here { end, line, is_literal }
    }

    /// Context in the constructs that are open at the end, the last one innermost.
    fn innermost(&self) -> Result<Context, Unquotable> {
        if self.frames.contains(&Frame::Backticks) {
            return Err(IN_BACKTICKS);
        }
        Ok(match self.frames.as_slice() {
            [.., Frame::Here { end }] => self.here(end.clone(), false),
            [.., Frame::Here { .. }, Frame::Braces { .. }]
            | [.., Frame::Here { .. }, Frame::Braces { .. }, Frame::Double] => Context::Pattern { ends_at_slash: true },
            [.., Frame::Braces { quoted: true, .. }, Frame::Double] => Context::InnerDouble,
            [.., Frame::Double] => Context::Double,
            [.., Frame::Braces { quoted: true, from }] => match operator(&self.text[*from..]) {
                word if word.starts_with(['-', '=', '?', '+']) => Context::Word,
                pattern => {
                    let pattern = pattern.strip_prefix('/').map(|pattern| pattern.trim_start_matches('/'));
                    Context::Pattern { ends_at_slash: pattern.is_some_and(|pattern| !pattern.contains('/')) }
                }
            },
            [.., Frame::Code { open, is_command }] => Context::Plain(self.position(open, *is_command)),
            _ => Context::Plain(Position::Argument),
        })
    }

    /// Position at the end of the text, in code.
    fn position(&self, open: &[Open], is_command: bool) -> Position {
        let begins = begins_word(self.text.as_bytes());
        let mut words = self.text.rsplit(|c: char| c.is_ascii_whitespace());
        let is_regex = words.next().is_some() && words.find(|word| !word.is_empty()) == Some("=~");
        match open.iter().rev().find(|open| **open != Open::Parenthesis) {
            Some(Open::Test) if is_regex => Position::Regex,
            Some(Open::Test) if begins => Position::Test,
            _ if self.text.ends_with('{') => Position::Brace,
            _ if begins && is_command => Position::Command,
            _ => Position::Argument,
        }
    }

    fn is_code(&self) -> bool {
        matches!(self.frames.last(), Some(Frame::Code { .. } | Frame::Backticks))
    }

    /// Whether single quotes quote in the innermost construct.
    fn takes_single_quotes(&self) -> bool {
        !matches!(self.frames.last(), Some(Frame::Double | Frame::Here { .. } | Frame::Braces { quoted: true, .. }))
    }
}

/// Words of the shell's own after which a command begins.
const BEFORE_COMMANDS: [&str; 13] =
    ["then", "do", "else", "elif", "if", "while", "until", "!", "{", "}", "time", "coproc", "always"];

fn ends_plain_word(c: char) -> bool {
    c.is_ascii_whitespace() || ";&|()<>\\'\"`$".contains(c)
}

fn begins_word(before: &[u8]) -> bool {
    before.last().is_none_or(|last| last.is_ascii_whitespace() || b";&|()".contains(last))
}

/// Whether a text ends with `$NAME`, whose name a letter would continue.
fn ends_with_name(text: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let rest = text.trim_end_matches(is_of_name);
    let name = &text[rest.len()..];
    let dollars = rest.len() - rest.trim_end_matches('$').len();
    let head = &rest[..rest.len() - dollars];
    let backslashes = head.len() - head.trim_end_matches('\\').len();
    // Two of them are the number of the process, and one behind a backslash is a character.
    let counted = dollars - usize::from(backslashes % 2 == 1 && dollars > 0);
    counted % 2 == 1 && !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Operator of `${…}`, without the colon before it, and its word: all that follows the name in `inside`.
fn operator(inside: &str) -> &str {
    let inside = inside.strip_prefix(['!', '#']).filter(|rest| !rest.is_empty()).unwrap_or(inside);
    let named = inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
    // Names such as `@` have one character.
    let operator = if named.len() == inside.len() { named.get(1..).unwrap_or_default() } else { named };
    let operator = match operator.strip_prefix('[') {
        Some(index) => index.split_once(']').map_or("", |(_, operator)| operator),
        None => operator,
    };
    operator.strip_prefix(':').unwrap_or(operator)
}

/// The quote that ends a `$'…'` whose inside begins at `from`.
fn escaped_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'\'' => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The here-document that `<<` before `text` starts, and the length of its end word; none for `<<<`.
fn here_document(text: &str) -> (Option<Here>, usize) {
    if text.starts_with('<') {
        return (None, 1);
    }
    let tabs_ignored = text.starts_with('-');
    let word = text[usize::from(tabs_ignored)..].trim_start_matches([' ', '\t']);
    let (mut end, mut is_literal, mut quote) = (String::new(), false, None);
    let mut chars = word.char_indices();
    let mut length = word.len();
    while let Some((at, c)) = chars.next() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => {
                is_literal = true;
                end.extend(chars.next().map(|(_, c)| c));
            }
            ('\'' | '"', None) => {
                is_literal = true;
                quote = Some(c);
            }
            (_, None) if c.is_whitespace() || ";&|()<>".contains(c) => {
                length = at;
                break;
            }
            _ => end.push(c),
        }
    }
    let length = text.len() - word.len() + length;
    ((is_literal || !end.is_empty()).then_some(Here { end, tabs_ignored, is_literal }), length)
}

/// Offset of the line after a here-document whose text begins at `from`; `None` if `text` ends before it does.
fn after_here_document(text: &str, from: usize, here: &Here) -> Option<usize> {
    let (mut at, mut goes_on) = (from, false);
    for line in text[from..].split_inclusive('\n') {
        at += line.len();
        let line = line.strip_suffix('\n')?;
        if !goes_on && here.end == if here.tabs_ignored { line.trim_start_matches('\t') } else { line } {
            return Some(at);
        }
        // A line that ends with a backslash is one with the next.
        goes_on = !here.is_literal && (line.len() - line.trim_end_matches('\\').len()) % 2 == 1;
    }
    None
}
