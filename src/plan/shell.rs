//! Quoting of values for the place in a shell line where they stand, so that the shell reads back the very value.

/// Syntactic context of a value in a shell line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context<'t> {
    /// Outside quotes: the value becomes words.
    Plain,
    /// Inside `'…'`.
    Single,
    /// Inside `"…"`, where these characters need a backslash.
    Double(&'static [char]),
    /// Inside `"${…}"`.
    Braces,
    /// Inside `$'…'`, where these need one.
    Escaped(&'static [char]),
    /// Inside a here-document that ends with the line `end`; these characters need a backslash.
    Here {
        /// The line that ends it.
        end: &'t str,
        /// Characters that the shell would not take literally.
        special: &'static [char],
    },
    /// Inside a comment.
    Comment,
}

/// Reason why a value cannot be quoted in its context: the message, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unquotable(pub &'static str, pub &'static str);

const IN_DOUBLE: &[char] = &['\\', '"', '$', '`'];
const IN_DOUBLE_BRACES: &[char] = &['\\', '"', '$', '`', '}'];
const IN_HERE: &[char] = &['\\', '$', '`'];
const IN_ESCAPED: &[char] = &['\\', '\''];

/// Construct of the shell that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// The line itself, or `$(…)`; with parentheses open in it.
    Code { parentheses: usize },
    /// `"…"`.
    Double,
    /// `${…}`, itself inside double quotes or not.
    Braces { quoted: bool },
    /// `` `…` ``.
    Backticks,
}

/// A here-document whose text begins on the next line.
struct Here<'t> {
    end: &'t str,
    tabs_ignored: bool,
    literal: bool,
}

/// Context at the end of `before`, the beginning of a script; `escapes` tells whether its shell knows `$'…'`.
pub(super) fn context(before: &str, escapes: bool) -> Result<Context<'_>, Unquotable> {
    let bytes = before.as_bytes();
    let mut frames = vec![Frame::Code { parentheses: 0 }];
    let mut pending = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let frame = *frames.last().unwrap_or(&Frame::Code { parentheses: 0 });
        let code = matches!(frame, Frame::Code { .. } | Frame::Backticks);
        let next = bytes.get(at + 1);
        match bytes[at] {
            b'\\' if next.is_none() => return Err(AFTER_BACKSLASH),
            b'\\' => at += 1,
            b'$' if escapes && next == Some(&b'\'') && takes_quotes(frame) => match escaped_end(bytes, at + 2) {
                Some(end) => at = end,
                None => return Ok(Context::Escaped(IN_ESCAPED)),
            },
            b'\'' if takes_quotes(frame) => match before[at + 1..].find('\'') {
                Some(end) => at += end + 1,
                None => return Ok(Context::Single),
            },
            b'"' if frame == Frame::Double => drop(frames.pop()),
            b'"' => frames.push(Frame::Double),
            b'`' => match frames.iter().position(|open| *open == Frame::Backticks) {
                Some(open) => frames.truncate(open),
                None => frames.push(Frame::Backticks),
            },
            b'$' if next == Some(&b'(') => {
                frames.push(Frame::Code { parentheses: 0 });
                at += 1;
            }
            b'$' if next == Some(&b'{') => {
                frames.push(Frame::Braces { quoted: matches!(frame, Frame::Double | Frame::Braces { quoted: true }) });
                at += 1;
            }
            b'}' if matches!(frame, Frame::Braces { .. }) => drop(frames.pop()),
            bracket @ (b'(' | b')') if code => parenthesis(&mut frames, bracket),
            b'#' if code && begins_word(&bytes[..at]) => match before[at..].find('\n') {
                Some(end) => at += end - 1,
                None => return Ok(Context::Comment),
            },
            b'<' if code && before[at..].starts_with("<<") => {
                let (here, length) = here_document(&before[at + 2..]);
                pending.extend(here);
                at += 1 + length;
            }
            b'\n' if code => {
                for here in pending.drain(..) {
                    match after_here_document(before, at + 1, &here) {
                        Some(after) => at = after - 1,
                        None => {
                            return Ok(Context::Here {
                                end: here.end,
                                special: if here.literal { &[] } else { IN_HERE },
                            });
                        }
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    innermost(&frames)
}

/// Context in constructs that are open, the last one innermost.
fn innermost(frames: &[Frame]) -> Result<Context<'static>, Unquotable> {
    if frames.contains(&Frame::Backticks) {
        return Err(IN_BACKTICKS);
    }
    Ok(match frames.last() {
        Some(Frame::Double) => Context::Double(IN_DOUBLE),
        Some(Frame::Braces { quoted: true }) => Context::Braces,
        _ => Context::Plain,
    })
}

/// Whether single quotes quote in a construct.
fn takes_quotes(frame: Frame) -> bool {
    matches!(frame, Frame::Code { .. } | Frame::Backticks | Frame::Braces { quoted: false })
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

const AFTER_BACKSLASH: Unquotable =
    Unquotable("a value cannot follow a backslash", "take the backslash away: values are quoted as they need");
const IN_BACKTICKS: Unquotable = Unquotable("a value cannot stand inside backticks", "write `$(…)` instead");
const LIST_IN_QUOTES: Unquotable =
    Unquotable("a list cannot stand inside quotes", "take the quotes away: each of its words is quoted as it needs");
const NUL: Unquotable = Unquotable("a value with a NUL character cannot be put into a shell line", "leave it out");
const ENDS_HERE: Unquotable = Unquotable("the value would end the here-document", "end it with another word");

fn parenthesis(frames: &mut Vec<Frame>, bracket: u8) {
    let inner = frames.len() > 1;
    match frames.last_mut() {
        Some(Frame::Code { parentheses }) if bracket == b'(' => *parentheses += 1,
        Some(Frame::Code { parentheses: 0 }) if inner => drop(frames.pop()),
        // One that nothing opened ends a pattern of `case`.
        Some(Frame::Code { parentheses }) => *parentheses = parentheses.saturating_sub(1),
        _ => {}
    }
}

fn begins_word(before: &[u8]) -> bool {
    before.last().is_none_or(|last| last.is_ascii_whitespace() || b";&|()".contains(last))
}

/// The here-document that `<<` before `text` starts, and the length of its end word; none for `<<<`.
fn here_document(text: &str) -> (Option<Here<'_>>, usize) {
    let Some(word) = text.strip_prefix('<').map_or(Some(text), |_| None) else { return (None, 1) };
    let tabs_ignored = word.starts_with('-');
    let word = word.strip_prefix('-').unwrap_or(word).trim_start_matches([' ', '\t']);
    let word = &word[..word.find(|c: char| c.is_whitespace() || ";&|()<>".contains(c)).unwrap_or(word.len())];
    let end = word.trim_start_matches('\\').trim_matches(['\'', '"']);
    let length = word.as_ptr() as usize - text.as_ptr() as usize + word.len();
    ((!end.is_empty()).then_some(Here { end, tabs_ignored, literal: end.len() < word.len() }), length)
}

/// Offset of the line after a here-document whose text begins at `from`; `None` if `text` ends before it does.
fn after_here_document(text: &str, from: usize, here: &Here<'_>) -> Option<usize> {
    let mut at = from;
    for line in text[from..].split_inclusive('\n') {
        at += line.len();
        let line = line.strip_suffix('\n')?;
        if here.end == if here.tabs_ignored { line.trim_start_matches('\t') } else { line } {
            return Some(at);
        }
    }
    None
}

/// `words` as they are written at `context`; `list` if they are the words of a list.
pub(super) fn write(words: &[String], list: bool, context: Context<'_>) -> Result<String, Unquotable> {
    if words.iter().any(|word| word.contains('\0')) {
        return Err(NUL);
    }
    if list && matches!(context, Context::Single | Context::Double(_) | Context::Braces | Context::Escaped(_)) {
        return Err(LIST_IN_QUOTES);
    }
    let text = words.join(" ");
    match context {
        Context::Plain => shlex::try_join(words.iter().map(String::as_str)).map_err(|_| NUL),
        Context::Single => Ok(text.replace('\'', r"'\''")),
        Context::Double(special) | Context::Escaped(special) => Ok(escaped(&text, special)),
        // `bash` looks for the other quote there, unless it stands in quotes of its own.
        Context::Braces => Ok(escaped(&text, IN_DOUBLE_BRACES).replace('\'', "\"'\"")),
        Context::Here { end, .. } if text.lines().any(|line| line.trim_start_matches('\t') == end) => Err(ENDS_HERE),
        Context::Here { special, .. } => Ok(escaped(&text, special)),
        Context::Comment => Ok(text.replace(['\n', '\r'], " ")),
    }
}

fn escaped(text: &str, special: &[char]) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if special.contains(&c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// Lines that print `@`, a value, and nothing else.
    const LINES: [&str; 14] = [
        "printf %s @",
        "printf %s '@'",
        "printf %s \"@\"",
        "printf %s \"$(printf %s @)\"",
        "printf %s \"$(printf %s \"@\")\"",
        "printf %s \"$(printf %s '@')\"",
        "printf %s \"${UNSET:-@}\"",
        "printf %s ${UNSET:-\"@\"}",
        "# it's a comment \"\nprintf %s @",
        "x=@; printf %s \"$x\"",
        "(case a in a) printf %s \"@\";; esac)",
        "cat <<E >/dev/null\nit's a \"text\nE\nprintf %s '@'",
        "printf '%s' \\'\\\" >/dev/null; printf %s \"@\"",
        "printf %s \"$((1))${#UNSET}\" >/dev/null; printf %s @",
    ];

    fn filled(line: &str, value: &str) -> Result<String, Unquotable> {
        filled_for(line, value, false)
    }

    fn filled_for(line: &str, value: &str, escapes: bool) -> Result<String, Unquotable> {
        let at = line.find('@').unwrap();
        let value = write(&[value.to_owned()], false, context(&line[..at], escapes)?)?;
        Ok(format!("{}{value}{}", &line[..at], &line[at + 1..]))
    }

    fn printed(line: &str) -> String {
        printed_by("/bin/sh", line).unwrap()
    }

    /// Output of a shell; `None` where there is no such shell.
    fn printed_by(shell: &str, line: &str) -> Option<String> {
        let output = Command::new(shell).args(["-c", line]).env_remove("UNSET").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Further lines of that sort, for shells that know `$'…'`.
    const ESCAPED_LINES: [&str; 3] =
        ["printf %s $'@'", "printf %s $'it\\'s' > /dev/null; printf %s \"@\"", "[[ a == \"a\" ]] && printf %s @"];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_shell_reads_back_the_very_value(value in r#"[a-c '"$`\\(){};&|<>#*~!=@-]{1,12}"#, line in 0..LINES.len()) {
            prop_assert_eq!(printed(&filled(LINES[line], &value).unwrap()), value);
        }

        #[test]
        fn other_shells_read_back_the_very_value(value in r#"[a-c '"$`\\(){};&|<>#*~!=@%^\[\]?-]{1,12}"#, line in 0..LINES.len() + ESCAPED_LINES.len()) {
            let line = LINES.iter().chain(&ESCAPED_LINES).nth(line).unwrap();
            for shell in ["bash", "zsh"] {
                if let Some(printed) = printed_by(shell, &filled_for(line, &value, true).unwrap()) {
                    prop_assert_eq!(printed, value.clone(), "{}: {}", shell, line);
                }
            }
        }

        #[test]
        fn no_line_is_too_strange(before in r#"[a '"$`\\(){}<E\n#é-]{0,24}"#, escapes: bool) {
            let _ = context(&before, escapes);
        }
    }

    #[test]
    fn here_documents_and_comments_keep_values_inside() {
        let value = "$(echo run) `x` \\ 'q\"";
        for line in ["cat <<E\n@\nE\n", "cat <<'E'\n@\nE\n", "cat <<-E\n\tx\n\tE\ncat <<\\E\n@\nE\n"] {
            assert!(printed(&filled(line, value).unwrap()).ends_with(&format!("{value}\n")), "{line}");
        }
        assert_eq!(filled("cat <<E\n@", "a\nE\nrm x"), Err(ENDS_HERE));
        assert_eq!(printed(&filled("echo a # @", "b\necho c").unwrap()), "a\n");
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        assert_eq!(context("echo `cat ", true), Err(IN_BACKTICKS));
        assert_eq!(context("echo \\", true), Err(AFTER_BACKSLASH));
        assert_eq!(write(&["a".to_owned()], true, Context::Double(IN_DOUBLE)), Err(LIST_IN_QUOTES));
        assert_eq!(write(&["a\0".to_owned()], false, Context::Plain), Err(NUL));
    }
}
