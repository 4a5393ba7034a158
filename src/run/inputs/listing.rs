//! Lists of the project's files that fit a pattern, as `files()` gives them.
//!
//! `*` stands for any characters of one name, `?` for one of them, `[a-z]` for one of those, `**` for any number of folders, and
//! `{a,b}` for either. Hidden names fit only where the pattern has the dot.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use athanor_cache::is_left_behind;

/// Maximum number of files: an axis of more would be refused anyway.
const MOST: usize = 200_000;
/// Maximum depth of folders that `**` stands for: links may lead in a circle.
const DEEPEST: usize = 64;
/// Maximum number of patterns that one with alternatives stands for.
const ALTERNATIVES: usize = 1_000;
/// Characters that make a name a pattern.
pub(super) const SPECIAL: [char; 3] = ['*', '?', '['];

/// The files below `project` that fit `pattern`, sorted; folders where the pattern ends with `/`. Folders in `closed` are
/// passed by. The error says why there are none, as a sentence without a full stop.
pub(super) fn list(pattern: &str, project: &Path, closed: &[PathBuf]) -> Result<Vec<String>, String> {
    if pattern.trim().is_empty() {
        return Err("`files()` lacks a pattern, such as `files('raw/*.txt')`".to_owned());
    }
    let mut found = BTreeSet::new();
    for alternative in alternatives(pattern)? {
        let folders = alternative.ends_with('/');
        let mut parts: Vec<&str> = alternative.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if !folders && parts.last() == Some(&"**") {
            // All files below, as in `.gitignore` and by most shells.
            parts.push("*");
        }
        let begin = if alternative.starts_with('/') { "/" } else { "" };
        let mut walk = Walk { project, closed, folders, found: &mut found, pattern };
        walk.descend(begin.to_owned(), &parts, 0)?;
    }
    if found.is_empty() { Err(nothing(pattern, project)) } else { Ok(found.into_iter().collect()) }
}

/// Message about a pattern that nothing fits.
fn nothing(pattern: &str, project: &Path) -> String {
    let named = pattern.trim_end_matches('/');
    if named == pattern && project.join(named).is_dir() {
        return format!("`{named}` is a folder; `{named}/*` are the files in it, and `{named}/` is the folder itself");
    }
    if pattern.contains('[') && project.join(named).is_file() {
        return format!(
            "no file fits `{pattern}`: `[` begins a choice of characters, and `[[]` is that character itself"
        );
    }
    let fixed = pattern.find([&SPECIAL[..], &['{']].concat().as_slice()).map_or(pattern, |at| &pattern[..at]);
    let folder = fixed.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (shown, path) = match (folder, pattern.starts_with('/')) {
        ("", true) => ("/".to_owned(), PathBuf::from("/")),
        ("", false) => ("the project folder".to_owned(), project.to_owned()),
        (folder, _) => (format!("`{folder}`"), project.join(folder)),
    };
    let why = match fs::metadata(&path) {
        Ok(found) if found.is_dir() => format!("there is none in {shown}"),
        Ok(_) => format!("{shown} is no folder"),
        Err(_) => format!("the folder {shown} does not exist"),
    };
    format!("no file fits `{pattern}`: {why}")
}

/// The patterns that one with `{a,b}` in it stands for.
fn alternatives(pattern: &str) -> Result<Vec<String>, String> {
    let mut all = vec![pattern.to_owned()];
    let mut done = Vec::new();
    while let Some(next) = all.pop() {
        let inner = next.find('}').and_then(|close| next[..close].rfind('{').map(|open| (open, close)));
        let Some((open, close)) = inner else {
            done.push(next);
            continue;
        };
        all.extend(next[open + 1..close].split(',').map(|one| format!("{}{one}{}", &next[..open], &next[close + 1..])));
        if all.len() + done.len() > ALTERNATIVES {
            return Err(format!("`{pattern}` stands for too many patterns"));
        }
    }
    Ok(done)
}

struct Walk<'w> {
    project: &'w Path,
    closed: &'w [PathBuf],
    /// Whether folders are looked for.
    folders: bool,
    found: &'w mut BTreeSet<String>,
    pattern: &'w str,
}

impl Walk<'_> {
    /// Finds what fits `parts` below `at`, a path as it is given to the user.
    fn descend(&mut self, at: String, parts: &[&str], depth: usize) -> Result<(), String> {
        let Some((part, rest)) = parts.split_first() else {
            if self.is_wanted(&at)? && !at.is_empty() && at != "/" {
                self.found.insert(at);
            }
            return if self.found.len() > MOST { Err(format!("more than {MOST} files fit")) } else { Ok(()) };
        };
        if *part == "**" {
            self.descend(at.clone(), rest, depth)?;
            if depth == DEEPEST {
                return Ok(());
            }
            for name in self.names(&at)? {
                let below = joined(&at, &name);
                let path = self.project.join(&below);
                if !name.starts_with('.') && fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir()) {
                    self.descend(below, parts, depth + 1)?;
                }
            }
            return Ok(());
        }
        if !part.contains(SPECIAL) {
            return self.descend(joined(&at, part), rest, depth);
        }
        let pattern: Vec<char> = part.chars().collect();
        for name in self.names(&at)? {
            let is_hidden = name.starts_with('.') && !part.starts_with('.');
            if !is_hidden && fits(&pattern, &name.chars().collect::<Vec<_>>()) {
                self.descend(joined(&at, &name), rest, depth)?;
            }
        }
        Ok(())
    }

    /// Whether the file or folder at `at`, which fits, is one of those that are looked for. One of which that cannot be told, or
    /// that is neither, is an error: nobody is to miss it later.
    fn is_wanted(&self, at: &str) -> Result<bool, String> {
        match fs::metadata(self.project.join(at)) {
            Ok(found) if found.is_dir() => Ok(self.folders),
            Ok(found) if found.is_file() => Ok(!self.folders),
            Ok(_) if self.folders => Ok(false),
            Ok(found) => {
                let pattern = self.pattern;
                let noun = special_noun(&found);
                Err(format!(
                    "`{at}` fits `{pattern}` and is {noun}, not a file: remove it, or write a pattern that it does not fit"
                ))
            }
            Err(error) => self.passed_by(at, &error).map_or(Ok(false), Err),
        }
    }

    /// Message about `at`, which `error` keeps from being looked at; `None` if it is not there.
    fn passed_by(&self, at: &str, error: &io::Error) -> Option<String> {
        let pattern = self.pattern;
        let otherwise = "or write a pattern that it does not fit";
        if error.kind() == io::ErrorKind::PermissionDenied {
            return Some(format!(
                "`{at}` may not be looked at for `{pattern}`: make it and its folders readable, {otherwise}"
            ));
        }
        let is_link =
            |path: &&Path| fs::symlink_metadata(self.project.join(path)).is_ok_and(|found| found.is_symlink());
        let link = Path::new(at).ancestors().filter(|path| *path != Path::new("")).find(is_link)?;
        fs::metadata(self.project.join(link)).err()?;
        let target = fs::read_link(self.project.join(link)).unwrap_or_default();
        let (link, target) = (link.display(), target.display());
        Some(format!(
            "`{link}` fits `{pattern}` and is a symbolic link to nothing (`{target}`): fetch what it leads to, remove the link, {otherwise}"
        ))
    }

    /// Names in the folder `at`, without those that are no content.
    fn names(&self, at: &str) -> Result<Vec<String>, String> {
        let folder = self.project.join(at);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => return self.passed_by(at, &error).map_or(Ok(Vec::new()), Err),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| format!("the folder `{}` cannot be read: {error}", folder.display()))?;
            let name = entry.file_name();
            if is_left_behind(name.as_bytes()) || self.closed.contains(&folder.join(&name)) {
                continue;
            }
            match name.into_string() {
                Ok(name) => names.push(name),
                Err(name) => return Err(unreadable(&folder, &name)),
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Noun for what is neither a file nor a folder.
fn special_noun(found: &fs::Metadata) -> &'static str {
    let kind = found.file_type();
    if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

fn unreadable(folder: &Path, name: &OsStr) -> String {
    format!("the name `{}` in `{}` is not UTF-8", name.display(), folder.display())
}

fn joined(at: &str, name: &str) -> String {
    match at {
        "" => name.to_owned(),
        "/" => format!("/{name}"),
        at => format!("{at}/{name}"),
    }
}

/// Whether `name` fits `pattern`.
fn fits(pattern: &[char], name: &[char]) -> bool {
    // After a mismatch the last star takes one character more.
    let (mut at, mut read, mut star) = (0, 0, None);
    while read < name.len() {
        if pattern.get(at) == Some(&'*') {
            star = Some((at, read));
            at += 1;
            continue;
        }
        if let Some(length) = fits_one(&pattern[at.min(pattern.len())..], name[read]) {
            at += length;
            read += 1;
            continue;
        }
        match &mut star {
            Some((star, taken)) => {
                *taken += 1;
                (at, read) = (*star + 1, *taken);
            }
            None => return false,
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

/// Number of characters of the pattern that stand for the character `c`; `None` if it does not fit.
fn fits_one(pattern: &[char], c: char) -> Option<usize> {
    match pattern.first()? {
        '?' => Some(1),
        '[' => {
            let negated = matches!(pattern.get(1), Some('!' | '^'));
            let begin = 1 + usize::from(negated);
            // A bracket that comes first stands for itself.
            let Some(end) = pattern.iter().skip(begin + 1).position(|c| *c == ']').map(|at| at + begin + 1) else {
                return (c == '[').then_some(1);
            };
            let set = &pattern[begin..end];
            let mut is_in = false;
            let mut at = 0;
            while at < set.len() {
                if set.get(at + 1) == Some(&'-') && at + 2 < set.len() {
                    is_in |= (set[at]..=set[at + 2]).contains(&c);
                    at += 3;
                } else {
                    is_in |= set[at] == c;
                    at += 1;
                }
            }
            (is_in != negated).then_some(end + 1)
        }
        other => (*other == c).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_as_in_a_shell() {
        let cases = [
            ("*.txt", "a.txt", true),
            ("*.txt", ".txt", true),
            ("*.txt", "a.txt.gz", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("*a*a*a*", "aa", false),
            ("?", "é", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]", "]", true),
            ("[a-]", "-", true),
            ("[a", "[a", true),
            ("*", "", true),
            ("plate_[0-9][0-9]", "plate_07", true),
        ];
        for (pattern, name, expected) in cases {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(fits(&chars(pattern), &chars(name)), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn files_are_listed_in_order_and_what_is_no_content_is_not() {
        let project = tempfile::tempdir().unwrap();
        let project = project.path();
        for path in [
            "raw/b.txt",
            "raw/a.txt",
            "raw/.hidden.txt",
            "raw/a.csv",
            "raw/a.txt~",
            "raw/deep/c.txt",
            "raw/dir.txt/x",
            ".athanor/objects/o.txt",
            "results/p/r.txt",
            "top.txt",
        ] {
            fs::create_dir_all(project.join(path).parent().unwrap()).unwrap();
            fs::write(project.join(path), "").unwrap();
        }
        std::os::unix::fs::symlink(project.join("raw"), project.join("raw/deep/circle")).unwrap();
        let closed = [project.join(".athanor"), project.join("results")];
        let listed = |pattern: &str| list(pattern, project, &closed);
        let owned = |names: &[&str]| Ok::<_, String>(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(listed("raw/*.txt"), owned(&["raw/a.txt", "raw/b.txt"]));
        assert_eq!(listed("./raw//[b-z].txt"), owned(&["raw/b.txt"]));
        assert_eq!(listed("raw/a.{txt,csv}"), owned(&["raw/a.csv", "raw/a.txt"]));
        assert_eq!(listed("**/*.txt"), owned(&["raw/a.txt", "raw/b.txt", "raw/deep/c.txt", "top.txt"]));
        let below = ["raw/a.csv", "raw/a.txt", "raw/b.txt", "raw/deep/c.txt", "raw/dir.txt/x"];
        assert_eq!(listed("raw/**"), owned(&below));
        assert_eq!(listed("raw/.*.txt"), owned(&["raw/.hidden.txt"]));
        assert_eq!(listed("raw/*/"), owned(&["raw/deep", "raw/dir.txt"]));
        assert_eq!(listed("raw/a.txt"), owned(&["raw/a.txt"]));
        let absolute = format!("{}/raw/a.*", project.display());
        assert_eq!(listed(&absolute).unwrap().len(), 2);
        for (pattern, message) in [
            ("raw/*.tif", "no file fits `raw/*.tif`: there is none in `raw`"),
            ("raws/*.tif", "no file fits `raws/*.tif`: the folder `raws` does not exist"),
            ("*.tif", "no file fits `*.tif`: there is none in the project folder"),
            ("raw/a.txt/*", "no file fits `raw/a.txt/*`: `raw/a.txt` is no folder"),
            ("raw", "`raw` is a folder; `raw/*` are the files in it, and `raw/` is the folder itself"),
            (" ", "`files()` lacks a pattern, such as `files('raw/*.txt')`"),
        ] {
            assert_eq!(listed(pattern), Err(message.to_owned()));
        }
    }

    #[test]
    fn what_fits_and_cannot_be_read_is_said_and_not_passed_by() {
        let project = tempfile::tempdir().unwrap();
        let project = project.path();
        for folder in ["raw/deep", "links", "pipes"] {
            fs::create_dir_all(project.join(folder)).unwrap();
        }
        fs::write(project.join("raw/a.txt"), "").unwrap();
        std::os::unix::fs::symlink("../annex/b", project.join("links/b.txt")).unwrap();
        nix::unistd::mkfifo(&project.join("pipes/p.txt"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        std::os::unix::fs::symlink("nowhere", project.join("raw/gone")).unwrap();
        let listed = |pattern: &str| list(pattern, project, &[]);
        let dangling = listed("links/*.txt").unwrap_err();
        assert_eq!(
            dangling,
            "`links/b.txt` fits `links/*.txt` and is a symbolic link to nothing (`../annex/b`): fetch what it leads to, \
             remove the link, or write a pattern that it does not fit"
        );
        for pattern in ["links/b.txt", "**/b.txt", "raw/*/", "raw/*/x.txt", "raw/gone/*.txt"] {
            assert!(listed(pattern).unwrap_err().contains("is a symbolic link to nothing"), "{pattern}");
        }
        assert!(
            listed("pipes/*").unwrap_err().starts_with("`pipes/p.txt` fits `pipes/*` and is a named pipe, not a file")
        );
        assert_eq!(listed("{raw,nothing}/*.txt"), Ok(vec!["raw/a.txt".to_owned()]));
    }
}
