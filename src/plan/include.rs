//! `include`: further files of a pipeline, read in the order in which they are written.

use std::collections::HashSet;

use crate::language::document::{Document, IncludedFile};
use crate::language::node;
use crate::language::shape::{Literal, Shape};
use crate::language::variable::Listed;
use crate::language::{Diagnostic, Diagnostics};

use super::surroundings::Surroundings;

/// Maximum number of included files: more are a mistake.
const MOST: usize = 1_000;

/// The included files, those that others include before these, and the paths of those that were not handed in.
#[derive(Default)]
pub(super) struct Inclusion {
    /// Files that could be read.
    pub files: Vec<IncludedFile>,
    /// Paths of others, below the pipeline file's folder.
    pub lacking: Vec<String>,
}

/// Reads all files that `document`, the pipeline file called `name`, includes; their texts have the numbers from `first` on.
pub(super) fn included(
    document: &Document,
    name: &str,
    first: u32,
    surroundings: &Surroundings,
    problems: &mut Diagnostics,
) -> Inclusion {
    let own = name.rsplit('/').next().unwrap_or_default();
    let mut reading = Reading { own, first, surroundings, seen: HashSet::new(), inclusion: Inclusion::default() };
    reading.all(document.include.as_ref(), "", problems);
    reading.inclusion
}

struct Reading<'r> {
    /// Name of the pipeline file in its folder.
    own: &'r str,
    first: u32,
    surroundings: &'r Surroundings,
    /// Paths that were read: a file that several include counts once.
    seen: HashSet<String>,
    inclusion: Inclusion,
}

impl Reading<'_> {
    fn all(&mut self, list: Option<&Listed<Literal<String>>>, folder: &str, problems: &mut Diagnostics) {
        for literal in list.into_iter().flat_map(|list| &list.0) {
            if let Err(problem) = self.one(literal, folder, problems) {
                problems.push(*problem);
            }
        }
    }

    fn one(
        &mut self,
        literal: &Literal<String>,
        folder: &str,
        problems: &mut Diagnostics,
    ) -> Result<(), Box<Diagnostic>> {
        let (written, span) = (&literal.value, literal.span);
        let wrong = |message: String| Box::new(Diagnostic::new(span, message));
        let path = joined(folder, written);
        if path.is_empty() {
            return Err(wrong("`include` names no file".to_owned()));
        }
        if path == self.own {
            return Err(wrong(format!("`{written}` includes itself")));
        }
        if !self.seen.insert(path.clone()) {
            return Ok(());
        }
        if self.seen.len() > MOST {
            return Err(wrong(format!("more than {MOST} files are included")));
        }
        match self.surroundings.included.get_full(&path) {
            None => self.inclusion.lacking.push(path),
            Some((_, _, Err(reason))) => {
                let help = "paths in `include` begin at the folder of the file that they are written in";
                return Err(Box::new(wrong(format!("`{written}` cannot be included: {reason}")).help(help)));
            }
            Some((index, _, Ok(text))) => {
                let root = node::parse(&text.text, 0, self.first + index as u32)?;
                let mut found = Vec::new();
                let file = IncludedFile::read(&root, &mut found);
                problems.extend(found);
                let Some(file) = file else { return Ok(()) };
                let inside = path.rsplit_once('/').map_or("", |(inside, _)| inside);
                self.all(file.include.as_ref(), inside, problems);
                self.inclusion.files.push(file);
            }
        }
        Ok(())
    }
}

/// The path `written` in a file of `folder`, without needless parts; absolute ones stay so.
fn joined(folder: &str, written: &str) -> String {
    let whole = if written.starts_with('/') { written.to_owned() } else { format!("{folder}/{written}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    if written.starts_with('/') || folder.starts_with('/') { format!("/{}", parts.join("/")) } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn paths_begin_where_they_are_written() {
        let cases = [
            ("", "a.yaml", "a.yaml"),
            ("", "./sub//a.yaml", "sub/a.yaml"),
            ("sub", "../a.yaml", "a.yaml"),
            ("sub", "../../a.yaml", "../a.yaml"),
            ("..", "../a.yaml", "../../a.yaml"),
            ("sub", "/etc/a.yaml", "/etc/a.yaml"),
            ("/etc", "b.yaml", "/etc/b.yaml"),
            ("", ".", ""),
        ];
        for (folder, written, expected) in cases {
            assert_eq!(joined(folder, written), expected, "{folder} {written}");
        }
    }
}
