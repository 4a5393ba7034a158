//! Outputs of commands that nothing in their scripts names, so that it would be chance if they were written.
//!
//! A program may write files whose names are in no script, so this is known only of scripts that consist of programs which
//! write where they are told, and of Python scripts that read nothing else which may name files. In doubt nothing is said.

use std::collections::HashSet;
use std::path::Path;

use athanor_stages::ports::OutputPort;

use crate::language::{Diagnostic, Diagnostics, Language};
use crate::plan::{CommandLine, Instance, Plan, Work};

/// Programs and shell builtins that write only to standard output, or to files that their line names.
const TOLD: [&str; 32] = [
    "cd", "echo", "printf", "cat", "true", "false", ":", "test", "[", "sort", "head", "tail", "wc", "grep", "sed",
    "cut", "tr", "uniq", "paste", "seq", "date", "sleep", "exit", "set", "export", "pwd", "touch", "mkdir", "rm",
    "tee", "basename", "dirname",
];
/// Words of a shell before which a command is none yet.
const KEYWORDS: [&str; 8] = ["if", "then", "else", "elif", "fi", "!", "time", "do"];
/// Words at which a shell's command ends.
const ENDS: [char; 8] = [';', '|', '&', '(', ')', '{', '}', '\n'];
/// Variables whose values are no names of outputs.
const HARMLESS: [&str; 8] = [
    "${ATHANOR_STATE}",
    "${ATHANOR_PROJECT}",
    "${ATHANOR_SEED}",
    "${ATHANOR_EVENTS}",
    "$ATHANOR_STATE",
    "$ATHANOR_PROJECT",
    "$ATHANOR_SEED",
    "$ATHANOR_EVENTS",
];
/// Modules of Python that write only where they are told.
const MODULES: [&str; 30] = [
    "__future__",
    "argparse",
    "collections",
    "csv",
    "cv2",
    "dataclasses",
    "datetime",
    "functools",
    "itertools",
    "joblib",
    "math",
    "matplotlib",
    "numpy",
    "os",
    "pandas",
    "pathlib",
    "PIL",
    "polars",
    "random",
    "re",
    "scipy",
    "seaborn",
    "signal",
    "sklearn",
    "statistics",
    "sys",
    "time",
    "torch",
    "typing",
    "warnings",
];
/// Pieces of a Python script that may give it names of files from elsewhere.
const ELSEWHERE: [&str; 10] =
    ["ATHANOR", "environ", "getenv", "system(", "popen", "spawn", "exec", "eval(", "listdir", "glob"];
/// Largest script that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Warns of every output of a command that is certain to be named nowhere.
pub fn check_outputs(plan: &Plan, project: &Path, problems: &mut Diagnostics) {
    let mut told = HashSet::new();
    for instance in &plan.instances {
        let Work::Command(command) = &instance.work else { continue };
        let unnamed = instance.outputs.iter().filter(|port| !is_named(port, command));
        for port in unnamed.filter(|port| is_told(command, port, project)) {
            if told.insert((instance.stage, port.name.as_str())) {
                problems.extend([warning(plan, instance, port)]);
            }
        }
    }
}

fn warning(plan: &Plan, instance: &Instance, port: &OutputPort) -> Diagnostic {
    let OutputPort { name, file, .. } = port;
    let stage = &plan.stages[instance.stage].name;
    let message = format!("nothing in `run` of `{stage}` names its output `{name}` (`{file}`)");
    let help = format!("write it to `${{{{ outputs.{name} }}}}`, or to `{file}` in the stage's folder");
    Diagnostic::warning(instance.span, message).help(help)
}

/// Whether the script or a variable of the stage names the output, or may do so.
fn is_named(port: &OutputPort, command: &CommandLine) -> bool {
    let texts = || std::iter::once(&command.line).chain(command.env.iter().map(|variable| &variable.value));
    command.context.is_some()
        || command.line.contains("ATHANOR_CONTEXT")
        || names(port).any(|name| texts().any(|text| text.contains(name)))
}

/// Texts of which a script that writes the output holds one: names of its files without extension.
fn names(port: &OutputPort) -> impl Iterator<Item = &str> {
    port.paths().map(|path| {
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or(path);
        name.split_once('.').map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem })
    })
}

/// Whether the script is certain to write only to files that it names.
fn is_told(command: &CommandLine, port: &OutputPort, project: &Path) -> bool {
    let has_plain_names = names(port).all(|name| name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c)));
    has_plain_names
        && match command.shell.language() {
            Language::Python => is_told_in_python(&command.line, port),
            Language::Posix | Language::Bash => is_told_in_shell(command, port, project),
            Language::Unknown => false,
        }
}

fn is_told_in_shell(command: &CommandLine, port: &OutputPort, project: &Path) -> bool {
    let lines: Vec<&str> = command.line.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let line = lines.join("\n").replace("2>&1", " ").replace(">&2", " ").replace("&>", " ");
    let line = HARMLESS.iter().fold(line, |line, name| line.replace(name, "."));
    if line.contains(['$', '`', '#']) || line.contains("<<") {
        return false;
    }
    line.split(ENDS).all(|piece| {
        let words = piece.split_whitespace().skip_while(|word| KEYWORDS.contains(word) || is_assignment(word));
        let words: Vec<&str> = words.collect();
        match words.as_slice() {
            [] => true,
            ["python" | "python3", script, ..] => {
                let is_of_project = command.mentions.iter().any(|word| word == script);
                let text = if is_of_project { text_of(&project.join(script)) } else { None };
                text.is_some_and(|text| names(port).all(|name| !text.contains(name)) && is_told_in_python(&text, port))
            }
            [program, ..] => TOLD.contains(program),
        }
    })
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

fn text_of(script: &Path) -> Option<String> {
    let is_small = std::fs::metadata(script).is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST);
    is_small.then(|| std::fs::read_to_string(script).ok()).flatten()
}

fn is_told_in_python(text: &str, port: &OutputPort) -> bool {
    let extensions = port.paths().filter_map(|path| Path::new(path).extension()?.to_str());
    // A name that is put together has its extension somewhere.
    let has_extension = extensions.into_iter().any(|extension| text.contains(&format!(".{extension}")));
    let imports = text.lines().filter_map(imported);
    !has_extension
        && !ELSEWHERE.iter().any(|piece| text.contains(piece))
        && imports.into_iter().all(|names| names.split(',').all(|name| MODULES.contains(&root_module(name))))
}

/// Names of the modules that a line of Python imports.
fn imported(line: &str) -> Option<&str> {
    let line = line.trim_start();
    line.strip_prefix("import ").or_else(|| Some(line.strip_prefix("from ")?.split_once(" import")?.0))
}

fn root_module(name: &str) -> &str {
    name.trim().split(['.', ' ', ';', '#']).next().unwrap_or_default()
}
