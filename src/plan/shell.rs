//! Quoting of values for the place in a shell line where they stand, so that the shell reads back the very value.

use super::shell_scan::{Context, Place, Position, Unquotable};

const IN_DOUBLE: &[char] = &['\\', '"', '$', '`'];
const IN_DOUBLE_BRACES: &[char] = &['\\', '"', '$', '`', '}'];
const IN_HERE: &[char] = &['\\', '$', '`'];
const IN_ESCAPED: &[char] = &['\\', '\''];

const LIST_IN_QUOTES: Unquotable =
    Unquotable("a list cannot stand inside quotes", "take the quotes away: each of its words is quoted as it needs");
const NUL: Unquotable = Unquotable("a value with a NUL character cannot be put into a shell line", "leave it out");
const ENDS_HERE: Unquotable = Unquotable("the value would end the here-document", "end it with another word");
const IN_PATTERN: Unquotable = Unquotable(
    "a value with such characters cannot stand in this `${…}`, where they would be read as something else",
    "put it into a variable first, `NAME=${{ … }}`, and write `\"$NAME\"` here",
);
const BEHIND_NAME: Unquotable =
    Unquotable("the value would become part of the variable's name before it", "write the variable as `${NAME}`");

/// Words that shells take for their own where a command begins.
const RESERVED: [&str; 22] = [
    "if",
    "then",
    "elif",
    "else",
    "fi",
    "for",
    "foreach",
    "end",
    "while",
    "until",
    "do",
    "done",
    "case",
    "esac",
    "in",
    "select",
    "function",
    "time",
    "coproc",
    "repeat",
    "nocorrect",
    "always",
];

/// `words` as they are written at `place`, before `after`; `list` if they are the words of a list.
pub(super) fn write(words: &[String], list: bool, place: &Place, after: &str) -> Result<String, Unquotable> {
    if words.iter().any(|word| word.contains('\0')) {
        return Err(NUL);
    }
    let Place { context, is_behind_name, begins_number } = place;
    if list && (matches!(context, Context::Single | Context::Escaped) || is_in_double_quotes(context)) {
        return Err(LIST_IN_QUOTES);
    }
    let text = words.join(" ");
    let goes_on = *is_behind_name && text.starts_with(|c: char| c.is_ascii_alphanumeric() || "_[:".contains(c));
    match context {
        Context::Plain(position) => {
            let is_redirected = is_redirection(after);
            let quoted = words.iter().enumerate().map(|(at, word)| {
                let (is_first, is_last) = (at == 0, at + 1 == words.len());
                let is_number = (*begins_number || !is_first) && word.bytes().all(|byte| byte.is_ascii_digit());
                let is_descriptor = is_number && is_last && is_redirected;
                plain(word, *position, is_first, is_first && goes_on || is_descriptor)
            });
            Ok(quoted.collect::<Result<Vec<String>, Unquotable>>()?.join(" "))
        }
        Context::Double if goes_on => Ok(format!("\"\"{}", escaped(&text, IN_DOUBLE))),
        Context::Word | Context::InnerDouble | Context::Pattern { .. } | Context::Here { is_literal: false, .. }
            if goes_on =>
        {
            Err(BEHIND_NAME)
        }
        // `bash` expands braces there as outside of quotes.
        Context::InnerDouble if text.contains('{') => Err(IN_PATTERN),
        Context::Pattern { ends_at_slash } if !is_safe_in_pattern(&text, *ends_at_slash) => Err(IN_PATTERN),
        Context::Pattern { .. } => Ok(text),
        Context::Single => Ok(text.replace('\'', r"'\''")),
        Context::Double | Context::InnerDouble => Ok(escaped(&text, IN_DOUBLE)),
        Context::Escaped => Ok(escaped(&text, IN_ESCAPED)),
        // `bash` looks for the other quote there, unless it stands in quotes of its own.
        Context::Word => Ok(escaped(&text, IN_DOUBLE_BRACES).replace('\'', "\"'\"")),
        Context::Here { end, line, .. } if ends_here(end, line, &text) => Err(ENDS_HERE),
        Context::Here { is_literal: true, .. } => Ok(text),
        Context::Here { .. } => Ok(escaped(&text, IN_HERE)),
        Context::Comment => Ok(text.replace(['\n', '\r'], " ")),
    }
}

fn is_in_double_quotes(context: &Context) -> bool {
    matches!(context, Context::Double | Context::InnerDouble | Context::Word | Context::Pattern { .. })
}

/// Whether a number before `after` would be that of the descriptor which is redirected: `2>`.
fn is_redirection(after: &str) -> bool {
    // A line that goes on in the next one is one line to a shell.
    let after = after.replace("\\\n", "");
    after.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with(['<', '>'])
}

/// A word outside quotes. It is written without quotes where it means the same, so that scripts stay what they were; `is_more` if by
/// what is beside it, it would mean something else.
fn plain(word: &str, position: Position, is_first: bool, is_more: bool) -> Result<String, Unquotable> {
    let quoted = shlex::try_quote(word).map_err(|_| NUL)?;
    let is_special = match position {
        Position::Command => is_first && RESERVED.contains(&word),
        Position::Test => word.starts_with('-'),
        Position::Regex => word.contains(['.', '+']),
        Position::Brace => is_first && word.contains(".."),
        Position::Argument => false,
    };
    let is_bare = quoted == word;
    if is_bare && (is_special || is_more || word.contains(']')) {
        return Ok(format!("'{word}'"));
    }
    Ok(quoted.into_owned())
}

/// Whether no character of `text` is more than itself in a pattern, an index or a replacement.
fn is_safe_in_pattern(text: &str, ends_at_slash: bool) -> bool {
    let is_safe =
        |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || " _.:+,=@-".contains(c) || c == '/' && !ends_at_slash;
    text.chars().all(is_safe)
}

/// Whether a line of a here-document that begins with `line` and goes on with `text` would end it.
fn ends_here(end: &str, line: &str, text: &str) -> bool {
    let first = format!("{line}{}", text.lines().next().unwrap_or_default());
    let mut lines = text.lines().skip(1).chain(std::iter::once(first.as_str()));
    lines.any(|line| line.trim_start_matches('\t') == end)
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
    use crate::plan::shell_scan;

    /// Lines that print `@`, a value, and nothing else.
    const LINES: [&str; 24] = [
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
        "printf %s \"$(case q in a) :;; q) printf %s \"@\";; esac)\"",
        "printf %s \"$( (case q in (a) :;; q) printf %s @;; esac) )\"",
        "case @ in q) ;; a|@) printf %s @;; esac",
        "printf %s \"$(true && \\\n case q in a) :;; q) printf %s \"@\";; esac)\"",
        "x=$((1 << 3)); y=$((2 <<1))\nprintf %s @",
        "cat <<'E O F' >/dev/null\nx\nE O F\nprintf %s @",
        "cat <<\"E\"O\\F >/dev/null\nx\nEOF\nprintf %s @",
        "cat <<E >/dev/null\na\\\nE\nE\nprintf %s @",
        "Q=x; Qa=wrong; set -- \"$Q@\"; printf %s \"${1#x}\"",
        "Q=x; Qa=wrong; set -- $Q@; printf %s \"${1#x}\"",
    ];

    fn filled(line: &str, value: &str) -> Result<String, Unquotable> {
        filled_for(line, value, false)
    }

    fn filled_for(line: &str, value: &str, escapes: bool) -> Result<String, Unquotable> {
        let mut parts = line.split('@');
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            filled += &write(&[value.to_owned()], false, &shell_scan::place(&filled, escapes)?, part)?;
            filled += part;
        }
        Ok(filled)
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
    const ESCAPED_LINES: [&str; 5] = [
        "printf %s $'@'",
        "printf %s $'it\\'s' > /dev/null; printf %s \"@\"",
        "[[ a == \"a\" ]] && printf %s @",
        "[[ @ == @ && ( -n @ ) && ! a@ == @ ]] && printf %s @",
        "((1 << 3))\n(( x = 2 <<1 ))\nprintf %s @",
    ];

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
            let _ = shell_scan::place(&before, escapes);
        }
    }

    #[test]
    fn words_of_the_shells_own_are_words() {
        for word in RESERVED.iter().chain(&["-n", "-lt", "]]", "!", "a.c"]) {
            for line in [
                "case @ in\n@) printf %s @;; esac",
                "@() { :; }; printf %s @",
                "printf %s \"$(case a in @) ;; a) printf %s @; esac)\"",
            ] {
                let is_function = line.starts_with('@');
                let written = filled_for(line, word, true).unwrap();
                if !is_function {
                    assert_eq!(printed_by("bash", &written).as_deref(), Some(*word), "{written}");
                } else if RESERVED.contains(word) {
                    assert!(written.starts_with(&format!("'{word}'")), "{written}");
                }
            }
            for (line, printed) in [
                ("[[ @ ]] && printf y", "y"),
                ("[[ abc =~ @ ]] || printf n", "n"),
                ("x=(@ b); printf %s \"${x[0]}\"", word),
            ] {
                let written = filled_for(line, word, true).unwrap();
                assert_eq!(printed_by("bash", &written).as_deref(), Some(printed), "{written}");
            }
        }
        assert_eq!(filled_for("echo a{@}", "1..3", true).unwrap(), "echo a{'1..3'}");
        // Elsewhere they are written as they always were: a script that is another one runs again.
        for line in ["echo @", "echo {1..@}", "[[ $x -lt @ ]]", "x=$(( @ + 1 ))", "for i in @; do"] {
            assert_eq!(filled_for(line, "12", true).unwrap(), line.replace('@', "12"));
        }
        assert_eq!(filled_for("echo @ -f", "-n", true).unwrap(), "echo -n -f");
        assert_eq!(filled_for("echo @", "esac", true).unwrap(), "echo esac");
    }

    /// `echo 2>file` writes nothing into the file.
    #[test]
    fn a_number_before_a_redirection_is_no_descriptor() {
        for line in [
            "printf %s @>&1",
            "printf %s @\\\n>&1",
            "printf %s @1>&1",
            "printf %s @< /dev/null",
            "printf %s @<<E\nE\n",
            "printf %s 1@>&1",
        ] {
            for (shell, escapes) in [("sh", false), ("bash", true), ("zsh", true)] {
                let expected = line.replacen("printf %s ", "", 1).replace('@', "2");
                let expected = expected.split(['<', '>', '\\']).next();
                if let Some(printed) = printed_by(shell, &filled_for(line, "2", escapes).unwrap()) {
                    assert_eq!(Some(printed.as_str()), expected, "{shell}: {line}");
                }
            }
        }
        let place = shell_scan::place("printf '%s ' ", true).unwrap();
        assert_eq!(write(&["1".to_owned(), "2".to_owned()], true, &place, ">f").unwrap(), "1 '2'");
        // Elsewhere it is written as it always was.
        for line in ["echo a@>f", "echo $((@>1))", "((@<2))", "echo @ > f", "echo ${x:@}>f", "cat <@", "x=@>f"] {
            assert_eq!(filled_for(line, "2", true).unwrap(), line.replace('@', "2"));
        }
        assert_eq!(filled_for("cat <@>f", "2", true).unwrap(), "cat <'2'>f");
    }

    #[test]
    fn patterns_take_what_is_itself_in_them() {
        let plain = "results of a-1_b.c";
        for line in ["Q=@x; printf %s \"${Q%x}\"", "Q=x@; printf %s \"${Q#x}\"", "Q=@.x; printf %s \"@${Q#@}\""] {
            let printed = printed_by("bash", &filled_for(line, plain, true).unwrap()).unwrap();
            assert_eq!(printed.strip_suffix(".x").unwrap_or(&printed), plain, "{line}");
        }
        for line in ["\"${Q#@}\"", "\"${Q%%@}\"", "\"${Q/@/x}\"", "\"${Q/x/@}\"", "\"${Q[@]}\"", "cat <<E\n${Q:-@}"] {
            assert!(filled_for(line, plain, true).is_ok(), "{line}");
            for value in ["*", "a?", "[a]", "~", "&", "$x", "`x`", "a'b", "a\"b", "a}b", "\\", "#a", "%"] {
                assert_eq!(filled_for(line, value, true), Err(IN_PATTERN), "{line} {value}");
            }
        }
        assert_eq!(filled_for("\"${Q/@/x}\"", "a/b", true), Err(IN_PATTERN));
        assert_eq!(filled_for("\"${Q/x/@}\"", "a/b", true).unwrap(), "\"${Q/x/a/b}\"");
        assert_eq!(filled_for("\"${Q:-\"@\"}\"", "{a,b}", true), Err(IN_PATTERN));
        assert!(filled_for("\"${Q:-@}\" \"${1=@}\" \"${Q[1]:+@}\"", "{a,*}", true).is_ok());
    }

    #[test]
    fn a_name_does_not_go_on_in_a_value() {
        assert_eq!(filled("cat <<E\n$Q@", "a"), Err(BEHIND_NAME));
        assert_eq!(filled("\"${A:-$Q@}\"", "a"), Err(BEHIND_NAME));
        for (line, written) in
            [("cat <<E\n$Q@", "cat <<E\n$Q/a"), ("$$a@", "$$a/a"), ("\\$a@", "\\$a/a"), ("$1@", "$1/a")]
        {
            assert_eq!(filled(line, "/a").unwrap(), written);
        }
        for line in ["$$a@", "\\$a@", "'$a@'", "# $a@", "$1@"] {
            assert_eq!(filled(line, "b").unwrap(), line.replace('@', "b"));
        }
    }

    #[test]
    fn here_documents_and_comments_keep_values_inside() {
        let value = "$(echo run) `x` \\ 'q\"";
        for line in ["cat <<E\n@\nE\n", "cat <<'E'\n@\nE\n", "cat <<-E\n\tx\n\tE\ncat <<\\E\n@\nE\n"] {
            assert!(printed(&filled(line, value).unwrap()).ends_with(&format!("{value}\n")), "{line}");
        }
        for (line, value) in [("cat <<E\n@", "a\nE\nrm x"), ("cat <<EOF\nE@", "OF"), ("cat <<EOF\n@@", "EOF")] {
            assert_eq!(filled(line, value), Err(ENDS_HERE));
        }
        for line in
            ["cat <<E\n$(printf %s @)\nE\n", "cat <<E\nit's \"$(printf %s \"@\")\nE\n", "cat <<A; cat <<B\nA\n@\nB\n"]
        {
            assert!(printed(&filled(line, value).unwrap()).ends_with(&format!("{value}\n")), "{line}");
        }
        assert_eq!(printed(&filled("echo a # @", "b\necho c").unwrap()), "a\n");
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let refused = |before| shell_scan::place(before, true).unwrap_err().0;
        assert_eq!(refused("echo `cat "), "a value cannot stand inside backticks");
        assert_eq!(refused("echo \\"), "a value cannot follow a backslash");
        for line in ["printf %s \"@\"", "'@'", "$'@'", "\"${x:-@}\"", "\"${x#@}\""] {
            let place = shell_scan::place(line.split('@').next().unwrap(), true).unwrap();
            assert_eq!(write(&["a".to_owned()], true, &place, ""), Err(LIST_IN_QUOTES), "{line}");
        }
        let place = shell_scan::place("echo ", true).unwrap();
        assert_eq!(write(&["a\0".to_owned()], false, &place, ""), Err(NUL));
    }
}
