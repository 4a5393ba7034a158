//! Sentences of documents, of comments on items and of pipelines say what they are about: none begins with a relative clause.

use std::path::Path;

use crate::documents::documents;
use crate::files::{entries, read, rust_files, shown};

/// Words with which a sentence begins that says only later what it is about.
const VAGUE: [&str; 3] = ["What", "Whatever", "Whoever"];
/// Folders of source whose comments on items are read.
const ROOMS: [&str; 3] = ["src", "cache", "stages"];

/// Sentences that begin with one of these words and are no questions.
pub(crate) fn problems(repository: &Path) -> Vec<String> {
    let sources = ROOMS.iter().flat_map(|room| rust_files(&repository.join(room)));
    let sources = sources.flat_map(|path| [(path.clone(), "///"), (path, "//!")]);
    let pipelines = entries(&repository.join("pipelines"));
    let texts = documents(repository).into_iter().map(|path| (path, "")).chain(sources);
    let texts = texts.chain(pipelines.into_iter().map(|path| (path, "#")));
    texts.flat_map(|(path, mark)| in_text(&read(&path), mark, &shown(&path, repository))).collect()
}

/// Such sentences in the lines of a text that begin with `mark`.
pub(crate) fn in_text(text: &str, mark: &str, name: &str) -> Vec<String> {
    let lines: Vec<Option<&str>> = text.lines().map(|line| prose(line, mark)).collect();
    let mut problems = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(line) = line else { continue };
        let before = at.checked_sub(1).and_then(|at| lines[at]).unwrap_or_default();
        let begins = before.is_empty() || before.ends_with(['.', '!', '?', '|']);
        let next = lines.get(at + 1).copied().flatten().unwrap_or_default();
        let starts = line.match_indices(". ").map(|(place, end)| place + end.len());
        for start in begins.then_some(0).into_iter().chain(starts) {
            let sentence = &line[start..];
            let is_vague =
                VAGUE.iter().any(|word| sentence.strip_prefix(word).is_some_and(|rest| rest.starts_with(' ')));
            if is_vague && !is_question(sentence, next) {
                let begin: String = sentence.chars().take(40).collect();
                problems
                    .push(format!("{name}:{}: `{begin}…` does not say what it is about. Begin with a noun.", at + 1));
            }
        }
    }
    problems
}

/// Words of a line of prose without the signs in front of them; `None` for other lines, headings among them.
fn prose<'t>(line: &'t str, mark: &str) -> Option<&'t str> {
    let text = line.trim_start().strip_prefix(mark)?.trim_start();
    (!text.starts_with('#')).then(|| text.trim_start_matches(['-', '*', '|', '>', ' ']).trim_end())
}

/// Whether a sentence, which may go on in the next line, ends with a question mark.
fn is_question(sentence: &str, next: &str) -> bool {
    let end = |text: &str| text.find(['.', '?']).map(|at| text.as_bytes()[at] == b'?');
    end(sentence).or_else(|| end(next)).unwrap_or(false)
}
