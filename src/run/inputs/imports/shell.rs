//! Files that a shell script may source or run: an over-estimate, to be looked up.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::plan::python_modules;

/// Extensions of scripts. A word that ends with one is a script to be run.
const SCRIPTS: [&str; 9] = [".py", ".sh", ".bash", ".R", ".r", ".pl", ".awk", ".jl", ".rb"];
/// Stands in a word for an expansion, whose value is not known.
const EXPANSION: char = '\0';
/// Characters that end a word outside of quotes.
const ENDS: [char; 7] = [';', '|', '&', '<', '>', '(', ')'];

/// Depth of commands within commands that are looked at.
const DEEPEST: usize = 8;

/// Files and modules that a shell script names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ShellScript {
    /// Paths that it may source or run, relative to the folder that it runs in, or to its own: of `$HERE/lib.sh` the end.
    pub files: Vec<String>,
    /// Python modules that it may run by name.
    pub modules: Vec<String>,
}

/// Finds the files and modules that the shell script `source` names. Each line is read for itself, so that a quote within a text that is passed on as
/// it is hides nothing of the lines after it.
pub(super) fn parse_shell(source: &[u8]) -> ShellScript {
    let text = String::from_utf8_lossy(source).replace("\\\n", " ");
    let (mut files, mut modules) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        let words = words(line, 0);
        let before = std::iter::once("").chain(words.iter().map(String::as_str));
        for (word, before) in words.iter().zip(before) {
            let value = word.split_once('=').map_or(word.as_str(), |(_, value)| value);
            let is_script = SCRIPTS.iter().any(|extension| value.len() > extension.len() && value.ends_with(extension));
            if matches!(before, "source" | ".") || is_script {
                files.extend(known_end(value));
            }
        }
        modules.extend(python_modules(&words));
    }
    ShellScript { files: files.into_iter().collect(), modules: modules.into_iter().collect() }
}

/// The path that a word is, or that it ends with after an expansion.
fn known_end(word: &str) -> Option<String> {
    let path = match word.rsplit_once(EXPANSION) {
        Some((_, end)) => end.strip_prefix('/')?,
        None => word,
    };
    let is_path = !path.is_empty() && !path.starts_with(['/', '~', '-']) && !path.contains(['*', '?', '[']);
    is_path.then(|| path.to_owned())
}

/// Words of a line, also of commands within it, without quotes. `depth` is that of the line within others.
fn words(line: &str, depth: usize) -> Vec<String> {
    let (mut words, mut inner) = (Vec::new(), Vec::new());
    let mut word = String::new();
    let mut characters = line.chars().peekable();
    let mut quote = None;
    while let Some(c) = characters.next() {
        match (c, quote) {
            ('#', None) if word.is_empty() => break,
            ('\'' | '"', None) => quote = Some(c),
            (_, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => word.extend(characters.next()),
            ('$', None | Some('"')) => match characters.peek() {
                Some('(') => {
                    characters.next();
                    inner.push(until(&mut characters, '(', ')'));
                    word.push(EXPANSION);
                }
                Some('{') => {
                    characters.next();
                    until(&mut characters, '{', '}');
                    word.push(EXPANSION);
                }
                Some('\'' | '"') if quote.is_none() => {}
                _ => {
                    let mut is_first = true;
                    let is_name = |c: &char| {
                        let special = std::mem::take(&mut is_first) && "@*#?$!-".contains(*c);
                        special || c.is_alphanumeric() || *c == '_'
                    };
                    skip_while(&mut characters, is_name);
                    word.push(EXPANSION);
                }
            },
            ('`', None | Some('"')) => {
                inner.push(until(&mut characters, '`', '`'));
                word.push(EXPANSION);
            }
            (_, None) if c.is_whitespace() || ENDS.contains(&c) => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    words.push(word);
    // A text in quotes may be a script, too: `bash -c "python a.py"`.
    let quoted = words.iter().filter(|word| word.contains(char::is_whitespace));
    let quoted: Vec<String> = quoted.flat_map(|word| word.split_whitespace()).map(str::to_owned).collect();
    words.retain(|word| !word.is_empty());
    inner.retain(|_| depth < DEEPEST);
    words.into_iter().chain(quoted).chain(inner.iter().flat_map(|line| self::words(line, depth + 1))).collect()
}

/// Text up to the bracket that closes one that was opened.
fn until(characters: &mut impl Iterator<Item = char>, open: char, close: char) -> String {
    let mut depth = 1_usize;
    let mut text = String::new();
    for c in characters {
        if c == close {
            depth -= 1;
        } else if c == open {
            depth += 1;
        }
        if depth == 0 {
            break;
        }
        text.push(c);
    }
    text
}

fn skip_while(characters: &mut std::iter::Peekable<std::str::Chars<'_>>, mut is_part: impl FnMut(&char) -> bool) {
    while characters.next_if(|c| is_part(c)).is_some() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_a_script_sources_and_runs_are_found() {
        let text = r#"#!/bin/bash
# source commented.sh
source lib.sh; . ./env  # . not.sh
. "$(dirname "$0")/common.sh" && source "${BASH_SOURCE%/*}/../up.sh" || source $HERE/functions
DIR=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
N=$(python3 count.py data.csv | tail -1); echo "it's" 'two words' don't
python train.py --config=conf.yaml > out.txt \
    && bash "steps/second step.sh"
bash -c "python inner.py" && if source maybe; then Rscript plot.R; fi
python -m pkg.train; `perl old.pl`
source <(generate) ; source "$X"; source *.sh; source /etc/profile; find . -name '*.py'
"#;
        let found = parse_shell(text.as_bytes());
        let expected = [
            "../up.sh",
            "./env",
            "common.sh",
            "count.py",
            "functions",
            "generate",
            "inner.py",
            "lib.sh",
            "maybe",
            "old.pl",
            "plot.R",
            "python inner.py",
            "step.sh",
            "steps/second step.sh",
            "train.py",
        ];
        assert_eq!(found.files, expected);
        assert_eq!(found.modules, ["pkg.train"]);
    }

    #[test]
    fn no_text_is_too_odd_to_be_read() {
        for text in
            ["$", "$(", "${", "`", "'", "\"", "\\", "$((1+2))", "a=$(b", "é$é", "source", ". ", "\0/x.sh", "$'x.sh'"]
        {
            parse_shell(text.as_bytes());
        }
        let deep = "$(".repeat(100_000);
        parse_shell(deep.as_bytes());
    }
}
