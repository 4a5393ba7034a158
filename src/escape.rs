//! Escaping of text from outside before it is printed: of all characters that a terminal would obey or not show.
//!
//! Names, labels, paths, logs and messages hold whatever users, stages and servers put there. Escape sequences move cursors and
//! retitle windows, bidirectional overrides and zero-width characters make one name look like another. Such a character is
//! printed as in Rust's strings: `\u{1b}`, or `\n`, `\r`, `\t`. Backslashes stay as they are, so that text that was escaped
//! once stays as it is.
//!
//! JSON is for programs and means the same with these characters written as `\u001b`; so it is written like that.

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes a text in one line: line breaks and tabs are escaped, too. For names, labels, paths and values.
pub fn escape(text: &str) -> Cow<'_, str> {
    rewritten(text, is_unprintable, write_escape)
}

/// Escapes a text except its line breaks and tabs. For messages and logs.
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    rewritten(text, |c| !matches!(c, '\n' | '\t') && is_unprintable(c), write_escape)
}

/// Escapes a JSON text, without changing its meaning. Outside of its strings it has no unprintable characters but line breaks.
pub fn escape_json(text: &str) -> Cow<'_, str> {
    rewritten(
        text,
        |c| !matches!(c, '\n' | '\t' | '\r') && is_unprintable(c),
        |c, out| {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        },
    )
}

/// Whether a character is obeyed by terminals, changes the order of others, or takes no place of its own.
///
/// Marks that combine with the letter before them are seen, and are how some systems write file names: they are not hidden.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn write_escape(c: char, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match c {
        '\n' | '\r' | '\t' => write!(out, "{}", c.escape_default()),
        _ => write!(out, "{}", c.escape_unicode()),
    };
}

fn rewritten(text: &str, is_rewritten: impl Fn(char) -> bool, write: impl Fn(char, &mut String)) -> Cow<'_, str> {
    let Some(first) = text.find(&is_rewritten) else { return Cow::Borrowed(text) };
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(&text[..first]);
    for c in text[first..].chars() {
        if is_rewritten(c) { write(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_or_hide_is_seen() {
        let cases = [
            ("\u{1b}]0;pwned\u{7}", r"\u{1b}]0;pwned\u{7}"),
            ("a\rb\nc\td", r"a\rb\nc\td"),
            ("\u{9b}31m\u{7f}\0", r"\u{9b}31m\u{7f}\u{0}"),
            ("\u{202e}evil\u{2066}x\u{200b}y\u{feff}", r"\u{202e}evil\u{2066}x\u{200b}y\u{feff}"),
            ("\u{e0041}\u{2028}", r"\u{e0041}\u{2028}"),
            // No characters at all: XML and YAML must not have them.
            ("\u{fffe}\u{ffff}", r"\u{fffe}\u{ffff}"),
        ];
        for (text, seen) in cases {
            assert_eq!(escape(text), seen);
        }
        assert_eq!(escape_lines("a\rb\nc\td\u{1b}"), "a\\rb\nc\td\\u{1b}");
        for plain in ["", "Zürich e\u{301} 日本 ×2 → \\n", r"C:\u{1b}"] {
            assert!(matches!(escape(plain), Cow::Borrowed(same) if same == plain), "{plain}");
        }
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_what_is_visible_stays(text: String) {
            let once = escape(&text).into_owned();
            prop_assert!(!once.contains(is_unprintable));
            prop_assert_eq!(escape(&once), once.as_str());
            let value = serde_json::json!({ text.as_str(): [text.as_str(), "\u{9b}\u{e0041}\u{7f}"] });
            for json in [serde_json::to_string(&value).unwrap(), serde_json::to_string_pretty(&value).unwrap()] {
                let shown = escape_json(&json);
                prop_assert!(!shown.contains(|c| c != '\n' && is_unprintable(c)));
                prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&shown).unwrap(), &value);
            }
        }
    }
}
