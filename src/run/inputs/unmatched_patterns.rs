//! Patterns in lines of commands (`data/*.csv`) that fit files of the project which the stage does not get: a shell would take them for
//! plain text, or fit fewer files than the user sees, without a word.
//!
//! Only patterns outside of quotes that lead into a folder count. In doubt nothing is said.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use athanor_stages::ports::OutputPort;

use crate::language::{Diagnostic, Diagnostics, Language};
use crate::plan::{CommandLine, Instance, Plan, Work};
use crate::run::inputs::environments::environment_of;
use crate::run::inputs::listing::{SPECIAL, list};

/// Programs after which other files than the project's may lie where a pattern looks.
const MAKERS: [&str; 10] = ["cd", "pushd", "mkdir", "ln", "cp", "mv", "tar", "unzip", "git", "split"];
/// Programs and words of a shell that compare patterns themselves.
const MATCHERS: [&str; 4] = ["case", "[[", "find", "rsync"];

/// Warns of every pattern that fits files of the project which its stage does not get. Folders in `closed` are passed by.
pub fn check_patterns(plan: &Plan, project: &Path, closed: &[PathBuf], problems: &mut Diagnostics) {
    let mut told = HashSet::new();
    let mut fitting: HashMap<String, Vec<String>> = HashMap::new();
    for instance in &plan.instances {
        let Work::Command(command) = &instance.work else { continue };
        for pattern in patterns(command).into_iter().filter(|pattern| !is_own(pattern, instance)) {
            let files = fitting.entry(pattern.clone()).or_insert_with(|| {
                let files = list(&pattern.replace("**", "*"), project, closed).unwrap_or_default();
                files.into_iter().filter(|file| environment_of(project, file).is_none()).collect()
            });
            // A script may import a module, which it then has.
            let is_lacking = |file: &&String| !command.mentions.contains(file) && !file.ends_with(".py");
            let mut lacking = files.iter().filter(is_lacking);
            if let Some(first) = lacking.next()
                && told.insert((instance.stage, pattern.clone()))
            {
                problems.extend([warning(plan, instance, &pattern, first, lacking.count())]);
            }
        }
    }
}

fn warning(plan: &Plan, instance: &Instance, pattern: &str, first: &str, more: usize) -> Diagnostic {
    let stage = &plan.stages[instance.stage].name;
    let and_more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let message = format!(
        "`{pattern}` in the line of `{stage}` fits `{first}`{and_more} of the project, which the stage does not get"
    );
    let help = format!(
        "declare them, `inputs: {{ files: \"${{{{ files('{pattern}') }}}}\" }}`, and write `${{{{ inputs.files }}}}` in the line"
    );
    Diagnostic::warning(instance.span, message).help(help)
}

/// Whether a pattern looks into the stage's inputs or outputs.
fn is_own(pattern: &str, instance: &Instance) -> bool {
    let folder = pattern.split('/').next().unwrap_or_default();
    let mut outputs = instance.outputs.iter().flat_map(OutputPort::paths);
    folder == "inputs" || outputs.any(|path| path.split('/').next() == Some(folder))
}

/// Relative patterns in a line, unless it may put files there itself.
fn patterns(command: &CommandLine) -> Vec<String> {
    let line = &command.line;
    let is_shell = matches!(command.shell.language(), Language::Posix | Language::Bash);
    if !is_shell
        || !line.contains(SPECIAL)
        || line.contains("<<")
        || line.split_whitespace().any(|word| MAKERS.contains(&word) || MATCHERS.contains(&word))
    {
        return Vec::new();
    }
    let is_pattern = |word: &String| {
        let is_plain = !word.contains(['$', '`', '=', '\\', '\'', '"', '{', '}', '!']);
        let leads =
            word.split_once('/').is_some_and(|(folder, _)| !folder.is_empty() && !folder.starts_with(['.', '~', '-']));
        is_plain && leads && word.contains(SPECIAL) && !word.contains("..")
    };
    words(line).into_iter().filter(is_pattern).collect()
}

/// Words of a line; those with quotes in them keep the quotes, and patterns of `case` are none.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    let mut is_comment = false;
    for c in line.chars().chain(['\n']) {
        is_comment = c != '\n' && (is_comment || quote.is_none() && word.is_empty() && c == '#');
        if is_comment {
            continue;
        }
        match (c, quote) {
            (_, Some(open)) => {
                quote = quote.filter(|_| c != open);
                word.push(c);
            }
            ('\'' | '"', None) => {
                quote = Some(c);
                word.push(c);
            }
            (')', None) => word.clear(),
            (c, None) if c.is_whitespace() || ";|&<>(".contains(c) => {
                let word = std::mem::take(&mut word);
                words.extend(Some(word).filter(|word| !word.is_empty()));
            }
            (_, None) => word.push(c),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_a_shell() {
        let line =
            "for f in data/*.csv; do cat \"$f\" 'a b/*' # it's a/*\ndone | sort>x/?.txt; case $q in a/*) ;; esac";
        let expected = [
            "for",
            "f",
            "in",
            "data/*.csv",
            "do",
            "cat",
            "\"$f\"",
            "'a b/*'",
            "done",
            "sort",
            "x/?.txt",
            "case",
            "$q",
            "in",
            "esac",
        ];
        assert_eq!(words(line), expected);
    }
}
