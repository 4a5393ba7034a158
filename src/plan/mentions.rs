//! Words of a script that may name something of the project: an over-estimate, to be looked up.

use athanor_stages::ports::OutputPort;
use indexmap::IndexSet;

use crate::language::Language;

use super::plain_path::plain_path;
use super::python;

/// Words of a line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mentions {
    /// Relative paths: neither options nor inputs nor outputs.
    pub files: Vec<String>,
    /// Paths by which a file of the project is named where it lies: absolute, with `~` for the home folder, or, relative, after
    /// `$ATHANOR_PROJECT/`.
    pub in_place: Vec<String>,
    /// Python modules that are run by name (`-m`).
    pub modules: Vec<String>,
}

/// The project folder in a line, with what may stand in the braces: none of these changes a variable that is set.
const PROJECT: &str = "$ATHANOR_PROJECT/";
const BRACED_PROJECT: &str = "${ATHANOR_PROJECT";
const DEFAULTS: [char; 3] = ['-', '?', '='];
/// Ways to write the home folder.
const HOME: [&str; 2] = ["$HOME/", "${HOME}/"];

/// Characters that end a word outside quotes, or a piece of one that is a command itself.
const ENDS: [char; 9] = [';', '|', '&', '<', '>', '(', ')', '`', '\n'];

/// Words of the script `line` that may name something of the project.
pub(super) fn mentions(line: &str, language: Language, outputs: &[OutputPort]) -> Mentions {
    let by_space = || line.split_whitespace().map(str::to_owned).collect();
    let words: Vec<String> = match language {
        Language::Posix | Language::Bash => shlex::split(line).unwrap_or_else(by_space),
        Language::Python => python::texts(line).into_iter().map(str::to_owned).collect(),
        Language::Unknown => line.split(|c: char| c.is_whitespace() || "'\"".contains(c)).map(str::to_owned).collect(),
    };
    let (mut files, mut in_place) = (IndexSet::new(), IndexSet::new());
    // A file that something is written to is not read for that.
    let mut is_target = false;
    for part in words.iter().flat_map(|word| word.split_inclusive(ENDS)) {
        let word = part.trim_end_matches(ENDS).trim();
        files.extend(relative(option_value(word), outputs));
        if !is_target {
            in_place.extend(full(word));
            // A command in quotes, or a list of folders.
            in_place.extend(word.split([' ', '\t', ':']).filter_map(full));
        }
        is_target = part.ends_with('>') || (is_target && word.is_empty());
    }
    Mentions {
        files: files.into_iter().collect(),
        in_place: in_place.into_iter().collect(),
        modules: modules(&words).into_iter().collect(),
    }
}

/// The path that a word is, if it can be one in the project.
fn relative(word: &str, outputs: &[OutputPort]) -> Option<String> {
    let path = plain_path(word).ok()?;
    let own = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let ours = own("inputs") || outputs.iter().flat_map(OutputPort::paths).any(own);
    let odd = word.starts_with('-') || path.contains(['*', '?', '$', '\n']) || word.contains("://");
    (!ours && !odd).then_some(path)
}

/// The path in the project, or the absolute path, that a word names; of a pattern the folder that it looks into, with a slash at its end.
fn full(word: &str) -> Option<String> {
    let begin = option_value(word);
    let home = HOME.iter().find_map(|folder| Some(word.split_once(folder)?.1));
    let (begin, path) = match (after_project(word), home.or_else(|| begin.strip_prefix("~/"))) {
        (Some(path), _) => ("", path),
        (None, Some(path)) => ("~/", path),
        (None, None) => ("/", begin.strip_prefix('/')?),
    };
    let (literal, end) = match path.find(['*', '?', '[', '$']) {
        Some(at) => (path[..at].rsplit_once('/')?.0, "/"),
        None => (path, ""),
    };
    let literal = literal.trim_start_matches('/');
    // Where `..` leads is up to the links before it, which only the file system knows.
    let plain = plain_path(literal).ok().or_else(|| literal.contains("..").then(|| literal.to_owned()))?;
    Some(format!("{begin}{plain}{end}"))
}

/// The path that follows the project folder in a word.
fn after_project(word: &str) -> Option<&str> {
    let braced = || {
        let (modifier, path) = word.split_once(BRACED_PROJECT)?.1.split_once("}/")?;
        let is_kept = modifier.is_empty() || modifier.trim_start_matches(':').starts_with(DEFAULTS);
        is_kept.then_some(path)
    };
    word.split_once(PROJECT).map(|(_, path)| path).or_else(braced)
}

/// Options of Python without a value, one letter each.
const PYTHON_FLAGS: &str = "bBdEhiIOPqsSuvVx";

/// Modules after `-m`.
pub(crate) fn modules(words: &[String]) -> IndexSet<String> {
    let pieces: Vec<&str> = words.iter().flat_map(|word| word.split(ENDS)).flat_map(str::split_whitespace).collect();
    let next = pieces.iter().skip(1).chain([&""]);
    let named = pieces.iter().zip(next).filter_map(|(piece, next)| match after_m(piece)? {
        "" => Some(*next),
        joined => Some(joined),
    });
    named.filter(|name| is_module(name)).map(str::to_owned).collect()
}

/// Rest of an option `-m`; other options of one letter may stand before it: `-um`.
fn after_m(piece: &str) -> Option<&str> {
    let (flags, rest) = piece.strip_prefix('-')?.split_once('m')?;
    flags.chars().all(|flag| PYTHON_FLAGS.contains(flag)).then_some(rest)
}

/// Whether it is names with dots between them.
fn is_module(name: &str) -> bool {
    name.split('.').all(|part| {
        let starts = part.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
        starts && part.chars().all(|c| c.is_alphanumeric() || c == '_')
    })
}

/// The value of `--option=value` and `NAME=value`, else the word itself.
fn option_value(word: &str) -> &str {
    match word.split_once('=') {
        Some((name, value)) if !name.contains('/') => value,
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_paths_are_found_in_options_in_lists_and_in_quoted_commands() {
        let line = "PYTHONPATH=$ATHANOR_PROJECT/src:/opt/lib cat \"${ATHANOR_PROJECT}/a b.txt\" /data/x.csv \
                    --config=/p/c.yaml -I$ATHANOR_PROJECT/inc $ATHANOR_PROJECT/../out $ATHANOR_PROJECT \
                    ${ATHANOR_PROJECT:-.}/d1 \"${ATHANOR_PROJECT:?is not set}/d2\" ${ATHANOR_PROJECT%/*}/d3 \
                    cat ~/h1 ~/.cache/x \"$HOME/h 2\" ${HOME}/h3/*.csv a~b ~x/y x~/z \
                    sh -c 'cat $ATHANOR_PROJECT/in/quotes > /dev/null' $ATHANOR_PROJECT/data/*.csv $ATHANOR_PROJECT/$X >$ATHANOR_PROJECT/o1 2>> $ATHANOR_PROJECT/o2; cat < $ATHANOR_PROJECT/i";
        let expected = [
            "src:/opt/lib",
            "src",
            "/opt/lib",
            "a b.txt",
            "a",
            "/data/x.csv",
            "/p/c.yaml",
            "inc",
            "../out",
            "d1",
            "d2",
            "~/h1",
            "~/.cache/x",
            "~/h 2",
            "~/h",
            "~/h3/",
            "in/quotes",
            "data/",
            "i",
        ];
        assert_eq!(mentions(line, Language::Posix, &[]).in_place, expected);
    }

    #[test]
    fn modules_that_are_run_by_name_are_found() {
        let line = "python -m pkg.train --epochs 3 && torchrun -mother -m 3x | sh -c 'uv run python -um quoted' -m";
        assert_eq!(mentions(line, Language::Posix, &[]).modules, ["pkg.train", "other", "quoted"]);
    }
}
