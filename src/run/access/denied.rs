//! Denied accesses: found in the log of a failed stage, and named with the line that allows them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::input_copy::{INPUTS, of_input};

use crate::run::executor::access_rules::{AccessRules, FileAccess};

/// Folders that are closed to commands. Paths are absolute and free of links.
#[derive(Debug)]
pub(super) struct Closed {
    /// The project folder.
    pub project: PathBuf,
    /// The cache.
    pub cache: PathBuf,
    /// The folder of results.
    pub results: PathBuf,
}

impl Closed {
    /// All of them.
    pub(super) fn all(&self) -> Vec<PathBuf> {
        vec![self.project.clone(), self.cache.clone(), self.results.clone()]
    }

    /// The path that `written` stands for: in the project folder, absolute, or in the home folder with `~`.
    pub(super) fn place(&self, written: &str, home: Option<&Path>) -> PathBuf {
        let in_home = written.strip_prefix('~').filter(|rest| rest.is_empty() || rest.starts_with('/'));
        match (in_home, home) {
            (Some(rest), Some(home)) => home.join(rest.trim_start_matches('/')),
            _ => self.project.join(written),
        }
    }

    /// `path` as the user writes it: relative to the project folder if it is there.
    fn shown<'p>(&self, path: &'p Path) -> std::path::Display<'p> {
        path.strip_prefix(&self.project).unwrap_or(path).display()
    }
}

/// Signs that a program was denied access to a file.
const SIGNS: [&str; 5] = ["Permission denied", "permission denied", "EACCES", "Errno 13", "os error 13"];
/// Words of programs that wanted to write.
const WRITING: [&str; 8] = ["create", "touch", "remove", "mkdir", "write", "open for writing", "rename", "move"];
/// Number of denials that are named.
const MOST: usize = 3;

/// Way in which a file was opened, by the words for a denial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// For reading, unless it is not there.
    Reads,
    /// For writing.
    Writes,
    /// By a redirection of `bash`, which does not say for what.
    Redirects,
}

impl Way {
    fn of(line: &str) -> Way {
        let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        let by_bash = || line.split(": ").any(|part| part.strip_prefix("line ").is_some_and(is_number));
        match WRITING.iter().any(|word| line.contains(word)) {
            true => Way::Writes,
            false if by_bash() => Way::Redirects,
            false => Way::Reads,
        }
    }
}

/// The denials of an attempt.
pub(super) struct Denied<'d> {
    /// Closed folders.
    pub closed: &'d Closed,
    /// The rules that the attempt had.
    pub rules: &'d AccessRules,
    /// Folder that it ran in.
    pub folder: &'d Path,
}

impl Denied<'_> {
    /// The paths that the log says were denied and that the rules deny, each with the line that allows it.
    pub(super) fn explain(&self, log: &[String]) -> Option<String> {
        let mut told = BTreeSet::new();
        for line in log.iter().filter(|line| SIGNS.iter().any(|sign| line.contains(sign))) {
            let way = Way::of(line);
            let denials = |words: Vec<&str>| -> Vec<String> {
                words.into_iter().filter_map(|word| self.denial(word, way)).collect()
            };
            let found = candidates(line).into_iter().map(denials).find(|found| !found.is_empty());
            told.extend(found.unwrap_or_default());
        }
        let told: Vec<String> = told.into_iter().take(MOST).collect();
        (!told.is_empty()).then(|| told.join("\n"))
    }

    /// The sentence about the path `word`, if the rules deny it and the user's own permissions do not.
    fn denial(&self, word: &str, way: Way) -> Option<String> {
        let (path, exists) = self.resolve(word)?;
        let shown = self.closed.shown(&path);
        let may = |path: &Path, how| access(path, how).is_ok();
        if exists && way != Way::Writes && !path.is_dir() && !self.rules.allow(&path, FileAccess::Read) {
            let more = match way {
                Way::Redirects => {
                    format!(" If it writes there: `writes: [{}]` in the stage allows that.", in_list(&shown))
                }
                _ => String::new(),
            };
            return may(&path, Access::READ_OK).then(|| self.read_line(&path) + &more);
        }
        // Of what is not there only making it can be denied.
        let target = if exists { path.as_path() } else { path.parent()? };
        if self.rules.allow(&path, FileAccess::Write) || !may(target, Access::WRITE_OK) {
            return None;
        }
        let written = Path::new(word);
        if written.starts_with(INPUTS) || written.starts_with(self.folder.join(INPUTS)) {
            return Some(of_input(word));
        }
        let line = self.closed.shown(if path.starts_with(&self.closed.cache) { return None } else { &path });
        Some(format!(
            "The sandbox keeps it from writing `{shown}`; `writes: [{}]` in the stage allows that.",
            in_list(&line)
        ))
    }

    fn read_line(&self, path: &Path) -> String {
        let shown = self.closed.shown(path);
        let denied = format!("The sandbox keeps it from `{shown}`");
        if path.starts_with(&self.closed.cache) {
            return format!("{denied}, which is in the cache; name the stage that made it under `inputs`.");
        }
        if path.starts_with(&self.closed.results) {
            return format!("{denied}, which is a result; name the stage that makes it under `inputs`.");
        }
        let port = port_of(path);
        let written = in_list(&shown);
        format!(
            "{denied}, which the stage does not declare; `inputs: {{ {port}: {written} }}` or `reads: [{written}]` does."
        )
    }

    /// The real path of a word, and whether something is there; `None` if it is no path, or in the attempt's folder.
    fn resolve(&self, word: &str) -> Option<(PathBuf, bool)> {
        if self.folder.join(word).canonicalize().is_ok_and(|real| self.is_own(&real)) {
            return None;
        }
        let places = [self.folder, self.closed.project.as_path()];
        let found = places.iter().find_map(|place| {
            let path = place.join(word);
            let real = path.canonicalize().ok()?;
            (!self.is_own(&real)).then_some((real, true))
        });
        let absent = || {
            let path = Path::new(word).is_absolute().then(|| PathBuf::from(word))?;
            let real = path.parent()?.canonicalize().ok()?.join(path.file_name()?);
            (!self.is_own(&real)).then_some((real, false))
        };
        found.or_else(absent)
    }

    fn is_own(&self, path: &Path) -> bool {
        let attempt = self.rules.own.first().and_then(|attempt| attempt.path.canonicalize().ok());
        attempt.is_some_and(|attempt| path.starts_with(attempt))
    }
}

/// Words that YAML takes for other values than text.
const NO_TEXTS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// A path as it is written in a list or a mapping on one line: in quotes, where a character in it means something there.
pub(super) fn in_list(path: &impl std::fmt::Display) -> String {
    let path = path.to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@~ ".contains(c);
    let is_value = path.parse::<f64>().is_ok() || NO_TEXTS.contains(&path.to_lowercase().as_str());
    let is_whole = path.trim() == path && !path.starts_with(['-', '@', '~']) && path.chars().all(is_plain) && !is_value;
    // Texts of JSON are texts of YAML.
    if is_whole { path } else { serde_json::Value::from(path).to_string() }
}

/// The name of an input for `path`.
pub(super) fn port_of(path: &Path) -> String {
    let stem = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = stem.split('.').find(|part| !part.is_empty()).unwrap_or("file");
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// Words of a message that may be paths, the likeliest first: quoted ones, pieces between colons, single words; in each sort
/// absolute paths, then others that look like paths.
fn candidates(line: &str) -> Vec<Vec<&str>> {
    // Before the first of several colons is the program that speaks.
    let line = line.split_once(": ").map(|(_, rest)| rest).filter(|rest| rest.contains(": ")).unwrap_or(line);
    let mut quoted = Vec::new();
    for (open, close) in [('\'', '\''), ('"', '"'), ('`', '`'), ('‘', '’'), ('`', '\'')] {
        let mut rest = line;
        while let Some((_, begun)) = rest.split_once(open) {
            let Some((text, next)) = begun.split_once(close) else { break };
            quoted.push(text);
            rest = next;
        }
    }
    let around = [':', ',', ';', '(', ')', '[', ']', '\'', '"', '`', ' '];
    let mut sorts = Vec::new();
    for words in [quoted, line.split(": ").collect(), line.split_whitespace().collect()] {
        let words = words.into_iter().map(|word| word.trim_matches(around)).filter(|word| word.contains(['/', '.']));
        let (absolute, others) = words.filter(|word| word.len() > 1).partition(|word| word.starts_with('/'));
        sorts.extend([absolute, others]);
    }
    sorts
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::run::executor::access_rules::AccessRule;

    #[test]
    fn the_words_of_programs_for_a_denial_are_understood() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["p/data", "p/.athanor/scratch/1/work", "p/results", "home"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        for name in ["p/data/1 x.csv", "p/results/r.txt", "p/open.txt"] {
            fs::write(root.join(name), "").unwrap();
        }
        let closed =
            Closed { project: root.join("p"), cache: root.join("p/.athanor"), results: root.join("p/results") };
        let attempt = root.join("p/.athanor/scratch/1");
        let own = vec![
            AccessRule::write(attempt.clone()),
            AccessRule::read(root.join("p/open.txt")),
            AccessRule::read(root.join("home")),
        ];
        let rules = AccessRules { shared: [].into(), own };
        let denied = Denied { closed: &closed, rules: &rules, folder: &attempt.join("work") };
        let explained = |line: &str| {
            let line = line.replace('@', &root.display().to_string());
            denied.explain(&[line]).unwrap_or_default().replace(&root.display().to_string(), "@")
        };
        let read = "The sandbox keeps it from `data/1 x.csv`, which the stage does not declare; `inputs: { _1_x: data/1 x.csv }` or `reads: [data/1 x.csv]` does.";
        for line in [
            "cat: '@/p/data/1 x.csv': Permission denied",
            "cat: @/p/data/1 x.csv: Permission denied",
            "PermissionError: [Errno 13] Permission denied: '@/p/data/1 x.csv'",
            "Error: EACCES: permission denied, open '@/p/data/1 x.csv'",
        ] {
            assert_eq!(explained(line), read, "{line}");
        }
        assert!(explained("cat: @/p/results/r.txt: Permission denied").contains("is a result"));
        let write = "The sandbox keeps it from writing `@/home/log`; `writes: [@/home/log]` in the stage allows that.";
        assert_eq!(explained("sh: 1: cannot create @/home/log: Permission denied"), write);
        assert_eq!(explained("@/p/data/1 x.csv: 1: cannot create @/home/log: Permission denied"), write);
        assert_eq!(explained("../script: line 1: @/home/log: Permission denied"), write);
        let both = format!("{read} If it writes there: `writes: [data/1 x.csv]` in the stage allows that.");
        assert_eq!(explained("../script: line 12: @/p/data/1 x.csv: Permission denied"), both);
        let write = "The sandbox keeps it from writing `open.txt`; `writes: [open.txt]` in the stage allows that.";
        assert_eq!(explained("sh: 1: cannot create @/p/open.txt: Permission denied"), write);
        fs::write(root.join("p/data/a, b #1.csv"), "").unwrap();
        let quoted = "The sandbox keeps it from `data/a, b #1.csv`, which the stage does not declare; `inputs: { a__b__1: \"data/a, b #1.csv\" }` or `reads: [\"data/a, b #1.csv\"]` does.";
        assert_eq!(explained("cat: '@/p/data/a, b #1.csv': Permission denied"), quoted);
        for nothing in ["cat: @/p/data/none.csv: No such file", "x: Permission denied", "cat: @/p/open.txt: no"] {
            assert_eq!(explained(nothing), "", "{nothing}");
        }
    }
}
