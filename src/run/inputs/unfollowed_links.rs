//! Programs in lines of commands that do not follow the links that inputs are, and so find or pack nothing, without a word.
//!
//! In doubt nothing is said.

use std::collections::HashSet;
use std::path::Path;

use crate::language::{Diagnostic, Diagnostics, Language};
use crate::plan::{CommandLine, Input, InputSource, Instance, Plan, Work};

/// Words of a shell before which a command is none yet.
const KEYWORDS: [&str; 10] = ["if", "then", "else", "elif", "!", "time", "do", "while", "until", "exec"];
/// Characters at which a shell's command ends.
const ENDS: [char; 9] = [';', '|', '&', '(', ')', '{', '}', '`', '\n'];

/// Program that takes a link for what it is.
struct Program {
    name: &'static str,
    /// Letters of options that have it follow links.
    letters: &'static str,
    /// Beginnings of options that do.
    options: &'static [&'static str],
    /// Consequence for the input otherwise.
    outcome: &'static str,
    /// Whether a slash after the path of a folder does as well.
    slash: bool,
    /// Whether it goes for files, too.
    files: bool,
}

const PROGRAMS: [Program; 4] = [
    Program {
        name: "find",
        letters: "LH",
        options: &["-follow"],
        outcome: "it finds nothing in it",
        slash: true,
        files: false,
    },
    Program {
        name: "tar",
        letters: "h",
        options: &["--dereference"],
        outcome: "it packs the link and not the input",
        slash: false,
        files: true,
    },
    Program {
        name: "du",
        letters: "LDH",
        options: &["--dereference"],
        outcome: "it counts the link and not the input",
        slash: true,
        files: true,
    },
    Program {
        name: "rsync",
        letters: "Lk",
        options: &["--copy-links", "--copy-dirlinks", "--copy-unsafe-links"],
        outcome: "it copies the link or nothing, and not the input",
        slash: true,
        files: true,
    },
];

/// Warns of every input that is given to a program which does not follow links.
pub fn check_links(plan: &Plan, project: &Path, problems: &mut Diagnostics) {
    let mut told = HashSet::new();
    let mut stages = HashSet::new();
    // The lines of a stage's instances differ in values alone.
    for instance in plan.instances.iter().filter(|instance| stages.insert(instance.stage)) {
        let Work::Command(command) = &instance.work else { continue };
        for (program, input) in unfollowed(command, instance) {
            // Files that belong together lie in a folder that is a link, and are none themselves.
            if input.sources.iter().any(|source| is_group(plan, *source)) {
                continue;
            }
            let may_be_folder = || input.sources.iter().any(|source| may_be_folder(plan, project, *source));
            if (program.files || may_be_folder()) && told.insert((instance.stage, program.name)) {
                problems.extend([warning(plan, instance, program, input)]);
            }
        }
    }
}

/// Whether a source is a folder, or an output that is called like one.
fn may_be_folder(plan: &Plan, project: &Path, source: InputSource) -> bool {
    match source {
        InputSource::File(source) => project.join(&plan.sources[source.index()].path).is_dir(),
        InputSource::Output { instance, output } => {
            let port = &plan.instances[instance.index()].outputs[output];
            Path::new(&port.file).extension().is_none()
        }
    }
}

fn is_group(plan: &Plan, source: InputSource) -> bool {
    match source {
        InputSource::File(_) => false,
        InputSource::Output { instance, output } => plan.instances[instance.index()].outputs[output].is_group(),
    }
}

fn warning(plan: &Plan, instance: &Instance, program: &Program, input: &Input) -> Diagnostic {
    let Program { name, outcome, .. } = program;
    let port = &input.port;
    let stage = &plan.stages[instance.stage].name;
    let message =
        format!("inputs are symbolic links, which `{name}` in the line of `{stage}` does not follow: {outcome}");
    let letter = &program.letters[..1];
    let or_slash = if program.slash && !input.list {
        format!(", or of a folder `{name} … ${{{{ inputs.{port} }}}}/`, with a slash")
    } else {
        String::new()
    };
    Diagnostic::warning(instance.span, message).help(format!("write `{name} -{letter}`{or_slash}"))
}

/// Programs in the line that do not follow links, each with an input that it is given.
fn unfollowed<'i>(command: &CommandLine, instance: &'i Instance) -> Vec<(&'static Program, &'i Input)> {
    let is_shell = matches!(command.shell.language(), Language::Posix | Language::Bash);
    if !is_shell || !PROGRAMS.iter().any(|program| command.line.contains(program.name)) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for part in command.line.split(ENDS) {
        let words: Vec<&str> = part.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
        let is_none_yet = |word: &&&str| KEYWORDS.contains(*word) || word.contains('=');
        let words: Vec<&str> = words.iter().skip_while(|word| is_none_yet(word)).copied().collect();
        let Some((name, rest)) = words.split_first() else { continue };
        let Some(program) = PROGRAMS.iter().find(|program| program.name == *name) else { continue };
        if !follows(program, rest) {
            let inputs = instance.inputs.iter().filter(|input| !input.writable);
            let is_given = |input: &&Input| {
                input
                    .files
                    .iter()
                    .any(|file| rest.iter().any(|word| word == file || (program.files && is_above(word, file))))
            };
            found.extend(inputs.filter(is_given).map(|input| (program, input)));
        }
    }
    found
}

/// Whether a word is the folder of an input, or of all of them.
fn is_above(word: &str, file: &str) -> bool {
    let rest = file.strip_prefix(word.trim_end_matches('/'));
    word.starts_with("inputs") && rest.is_some_and(|rest| rest.starts_with('/'))
}

/// Whether these words after a program's name have it follow links, or nothing is certain.
fn follows(program: &Program, words: &[&str]) -> bool {
    let is_cluster = |word: &&&str| word.starts_with('-') && !word.starts_with("--");
    let has_option = words.iter().any(|word| program.options.iter().any(|option| word.starts_with(option)));
    let letters = |word: &str| program.letters.chars().any(|letter| word.contains(letter));
    match program.name {
        "tar" => {
            // The first word may be letters of options without a dash.
            let first = words.first().copied().unwrap_or_default();
            let clusters = || {
                words.iter().filter(is_cluster).copied().chain([first].into_iter().filter(|word| !word.contains('/')))
            };
            let creates = clusters().any(|word| word.contains(['c', 'r', 'u'])) || words.contains(&"--create");
            !creates || has_option || clusters().any(letters)
        }
        // Its expressions are words with a dash, too.
        "find" => has_option || words.iter().take_while(|word| word.starts_with('-')).any(|word| letters(word)),
        _ => has_option || words.iter().filter(is_cluster).any(|word| letters(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_unfollowed(line: &str) -> bool {
        let words: Vec<&str> = line.split_whitespace().collect();
        let program = PROGRAMS.iter().find(|program| program.name == words[0]).unwrap();
        !follows(program, &words[1..])
    }

    #[test]
    fn options_that_follow_links_are_known() {
        for line in [
            "find in -type f",
            "find in -name -L",
            "tar czf x in",
            "tar -c -f x in",
            "tar --create in",
            "du -sh in",
            "rsync -a in x",
        ] {
            assert!(is_unfollowed(line), "{line}");
        }
        for line in [
            "find -L in",
            "find -H in",
            "find in -follow",
            "tar chf x in",
            "tar -czhf x in",
            "tar xf in",
            "tar tzf in",
            "tar -c --dereference in",
            "du -sL in",
            "rsync -aL in x",
            "rsync -a --copy-links in x",
        ] {
            assert!(!is_unfollowed(line), "{line}");
        }
    }
}
