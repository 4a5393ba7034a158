//! Names of variables that a script reads.

use std::collections::BTreeSet;

/// Calls that read a variable whose name follows in quotes: Python, Perl, R, C, Ruby.
const CALLS: [&str; 7] = ["os.environ[", "environ[", "environ.get(", "getenv(", "Sys.getenv(", "ENV{", "ENV["];

/// Variables that shells set themselves.
const OF_SHELLS: [&str; 12] =
    ["_", "PWD", "OLDPWD", "SHLVL", "IFS", "PS1", "PS2", "PS4", "OPTIND", "OPTARG", "COLUMNS", "LINES"];

/// Names of variables that `script` seems to read and does not set itself: `$X`, `${X…}`, `os.environ["X"]`, `getenv("X")`.
pub(crate) fn names_in(script: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (at, _) in script.match_indices('$') {
        let rest = &script[at + 1..];
        let rest = rest.strip_prefix('{').map_or(rest, |rest| rest.trim_start_matches(['#', '!']));
        names.insert(leading(rest));
    }
    for call in CALLS {
        for (at, _) in script.match_indices(call) {
            let rest = script[at + call.len()..].trim_start().trim_start_matches(['\'', '"']);
            names.insert(leading(rest));
        }
    }
    names.retain(|name| !name.is_empty() && !OF_SHELLS.contains(name) && !is_set(script, name));
    names
}

/// Name at the beginning of `text`; empty if there is none.
fn leading(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) { "" } else { &text[..end] }
}

/// Whether a script sets the variable: by `X=`, `for X`, or `read X`.
fn is_set(script: &str, name: &str) -> bool {
    script.match_indices(name).any(|(at, _)| {
        let (before, after) = (&script[..at], &script[at + name.len()..]);
        let begins = before.chars().next_back().is_none_or(|c| c.is_whitespace() || ";&|(".contains(c));
        let line = before.rsplit(['\n', ';']).next().unwrap_or_default().trim_start();
        let is_named = |word: &str| line.strip_prefix(word).is_some_and(|rest| rest.starts_with(char::is_whitespace));
        let ends = after.chars().next().is_none_or(|c| c.is_whitespace() || ";&|)".contains(c));
        begins && (after.starts_with('=') || ends && (is_named("for") || is_named("read")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_shells_and_other_languages() {
        let found = |script| names_in(script).into_iter().collect::<Vec<_>>().join(" ");
        assert_eq!(found("echo $LR ${SEED:-3} \"${#LIST}\" $1 $$ $(x) $_ $PWD"), "LIST LR SEED");
        assert_eq!(found("os.environ['A'], os.environ[\"B\"], os.environ.get('C', 1), os.getenv(\"D\")"), "A B C D");
        assert_eq!(found("Sys.getenv('E'); $ENV{F}; ENV[\"G\"]"), "E ENV F G");
        assert_eq!(found("LR=1; echo $LR; for i in 1 2; do echo $i; done; read -r x; echo $x"), "");
        assert_eq!(found("echo $LR; XLR=1"), "LR");
        assert_eq!(found("$é ${"), "");
    }
}
