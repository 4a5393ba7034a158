//! Scanner for `${{ … }}` in text, and for names in expressions, without evaluating anything.

use std::ops::Range;

/// A piece of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// Plain text, with `$${{` unescaped.
    Text(String),
    /// The inside of `${{ … }}`, as a byte range of the text, and the range with its brackets.
    Expression {
        /// Range between the brackets, trimmed.
        inner: Range<usize>,
        /// Range with the brackets.
        outer: Range<usize>,
    },
}

/// Error of a `${{` without its `}}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unclosed;

/// Cuts a text into plain text and expressions.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, Unclosed> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${{") {
        let open = at + found;
        if text[..open].ends_with('$') && open > at {
            plain.push_str(&text[at..open - 1]);
            plain.push_str("${{");
            at = open + 3;
            continue;
        }
        plain.push_str(&text[at..open]);
        let close = closing(text, open + 3).ok_or(Unclosed)?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        let inside = &text[open + 3..close];
        let start = open + 3 + (inside.len() - inside.trim_start().len());
        pieces.push(Piece::Expression { inner: start..start + inside.trim().len(), outer: open..close + 2 });
        at = close + 2;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

/// Offset of the `}}` that closes an expression whose inside begins at `from`.
fn closing(text: &str, from: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0usize;
    let mut at = from;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => at = string_end(bytes, at, quote)?,
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b'}' if bytes.get(at + 1) == Some(&b'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// The closing quote of the string that opens at `at`.
fn string_end(bytes: &[u8], at: usize, quote: u8) -> Option<usize> {
    let mut end = at + 1;
    while end < bytes.len() {
        match bytes[end] {
            b'\\' => end += 1,
            byte if byte == quote => return Some(end),
            _ => {}
        }
        end += 1;
    }
    None
}

/// A name in an expression with the fields read from it: `vars.models[0].arch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The name and its fields.
    pub path: Vec<String>,
    /// Whether a field follows that is only known when evaluating: `vars.models[matrix.model]`.
    pub dynamic: bool,
    /// Range in the expression.
    pub range: Range<usize>,
    /// Length of the beginning of the path about which the expression asks whether it is there, by `… is defined` or
    /// `… | default(…)`; 0 if it does not.
    pub optional: usize,
}

/// The chains of an expression, in order; which of them may be missing is told by the syntax tree alone.
pub(super) fn chains(expression: &str) -> Vec<Chain> {
    let bytes = expression.as_bytes();
    let mut chains = Vec::new();
    let mut at = 0;
    let mut before = b' ';
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => {
                at = string_end(bytes, at, quote).map_or(bytes.len(), |end| end + 1);
                before = quote;
            }
            byte if is_name_start(byte) => {
                let end = name_end(bytes, at);
                if matches!(before, b'.' | b'|') || before.is_ascii_digit() {
                    at = end;
                } else {
                    let chain = chain(expression, at, end);
                    at = chain.range.end;
                    chains.push(chain);
                }
                before = b'a';
            }
            byte => {
                if !byte.is_ascii_whitespace() {
                    before = byte;
                }
                at += 1;
            }
        }
    }
    chains
}

fn chain(expression: &str, start: usize, mut end: usize) -> Chain {
    let bytes = expression.as_bytes();
    let mut path = vec![expression[start..end].to_owned()];
    let mut dynamic = false;
    loop {
        let next = skip_space(bytes, end);
        match bytes.get(next) {
            Some(b'.') => {
                let name = skip_space(bytes, next + 1);
                if !bytes.get(name).is_some_and(|byte| is_name_start(*byte) || byte.is_ascii_digit()) {
                    break;
                }
                let name_end = name_end(bytes, name);
                // A method is no field.
                if bytes.get(skip_space(bytes, name_end)) == Some(&b'(') {
                    dynamic = true;
                    break;
                }
                end = name_end;
                path.push(expression[name..end].to_owned());
            }
            Some(b'[') => match literal_index(expression, next) {
                Some((field, after)) => {
                    path.push(field);
                    end = after;
                }
                None => {
                    dynamic = true;
                    break;
                }
            },
            _ => break,
        }
    }
    Chain { path, dynamic, range: start..end, optional: 0 }
}

/// The literal in `[…]` at `open`, and where the bracket ends.
fn literal_index(expression: &str, open: usize) -> Option<(String, usize)> {
    let bytes = expression.as_bytes();
    let start = skip_space(bytes, open + 1);
    let (field, end) = match bytes.get(start)? {
        quote @ (b'"' | b'\'') => {
            let end = string_end(bytes, start, *quote)?;
            let field = &expression[start + 1..end];
            if field.contains('\\') {
                return None;
            }
            (field.to_owned(), end + 1)
        }
        byte if byte.is_ascii_digit() => {
            let end = start + bytes[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            (expression[start..end].to_owned(), end)
        }
        _ => return None,
    };
    let close = skip_space(bytes, end);
    (bytes.get(close) == Some(&b']')).then_some((field, close + 1))
}

fn skip_space(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn name_end(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| is_name_start(**byte) || byte.is_ascii_digit()).count()
}
