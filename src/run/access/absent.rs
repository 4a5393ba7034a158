//! Files of the project that a stage looked for in its own folder, where only what it declares is.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use crate::language::suggest::nearest;

use super::denied::{in_list, port_of};

/// Signs that a program did not find a file.
const SIGNS: [&str; 5] = ["No such file", "no such file", "ENOENT", "Errno 2]", "os error 2)"];
/// Number of files that are named.
const MOST: usize = 3;

/// The files that the log of an attempt in `folder` says were not found and that are in `project`, each with the lines that give them to
/// the stage.
pub(super) fn explain(project: &Path, folder: &Path, log: &[String]) -> Option<String> {
    let lines = log.iter().filter(|line| SIGNS.iter().any(|sign| line.contains(sign)));
    let inside = |word: &'_ str| Path::new(word).strip_prefix(folder).ok().and_then(Path::to_str).map(str::to_owned);
    let left_behind = |line: &String| {
        let words = words(line).into_iter().map(|word| inside(word).unwrap_or_else(|| word.to_owned()));
        words.into_iter().find(|word| is_left_behind(word, project, folder))
    };
    let modules = log.iter().filter_map(|line| module(line, project));
    let misspelt = |line: &String| {
        let words = words(line).into_iter().map(|word| inside(word).unwrap_or_else(|| word.to_owned()));
        words.into_iter().find_map(|word| of_misspelt(&word, project, folder))
    };
    let of_line = |line: &String| left_behind(line).map(|path| sentence(&path)).or_else(|| misspelt(line));
    let told: BTreeSet<String> = lines.filter_map(of_line).chain(modules.map(|path| of_module(&path))).collect();
    let told: Vec<String> = told.into_iter().take(MOST).collect();
    (!told.is_empty()).then(|| told.join("\n"))
}

/// The file or folder in the project of a Python module that was not found, by a line of a log.
fn module(line: &str, project: &Path) -> Option<String> {
    let (_, name) = line.split_once("No module named ")?;
    let name = name.trim_matches(['\'', '"']).split('.').next()?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let candidates = ["", "src/"].into_iter().flat_map(|root| [format!("{root}{name}.py"), format!("{root}{name}")]);
    candidates.into_iter().find(|path| is_name && project.join(path).exists())
}

fn of_module(path: &str) -> String {
    let root = if path.starts_with("src/") { "/src" } else { "" };
    format!(
        "`{path}` is in the project, and nothing in the script says that it is imported: modules are found by what scripts that a line \
         names import literally. `reads: [{path}]` declares it, and `export PYTHONPATH=$ATHANOR_PROJECT{root}` before that line lets Python find it."
    )
}

/// Whether `word` is a relative path at which there is something in the project and nothing in the attempt's folder.
fn is_left_behind(word: &str, project: &Path, folder: &Path) -> bool {
    let path = Path::new(word);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let is_named =
        path.components().next().is_some_and(|first| !first.as_os_str().as_encoded_bytes().starts_with(b"."));
    is_plain && is_named && project.join(path).exists() && folder.join(path).symlink_metadata().is_err()
}

/// Sentence about a path at which there is nothing, neither in the project nor in the attempt's folder, if a file of the project is
/// called nearly so.
fn of_misspelt(word: &str, project: &Path, folder: &Path) -> Option<String> {
    let path = Path::new(word);
    let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let is_file = path.extension().is_some() && !word.starts_with(['.', '-']);
    if !is_plain || !is_file || project.join(path).exists() || folder.join(path).symlink_metadata().is_ok() {
        return None;
    }
    let name = path.file_name()?.to_str()?;
    let parent = path.parent().unwrap_or(Path::new(""));
    let names: Vec<String> = std::fs::read_dir(project.join(parent))
        .map(|entries| entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
        .unwrap_or_default();
    let beside = nearest(name, names.iter().map(String::as_str)).map(|near| parent.join(near));
    let elsewhere =
        || Some(Path::new(name).to_owned()).filter(|_| parent != Path::new("") && project.join(name).is_file());
    let near = beside.or_else(elsewhere).filter(|near| project.join(near).is_file())?;
    Some(format!("There is no `{word}` in the project either: did you mean `{}`?", near.display()))
}

fn sentence(path: &str) -> String {
    let (port, written) = (port_of(Path::new(path)), in_list(&path));
    format!(
        "`{path}` is in the project and not in the stage's folder, as the stage does not declare it: `inputs: {{ {port}: {written} }}` gives it as \
         `${{{{ inputs.{port} }}}}`, and `reads: [{written}]` lets it be read at `$ATHANOR_PROJECT/{path}`."
    )
}

/// Words of a message that may be paths, the likeliest first: quoted ones, pieces between colons, single words.
pub(super) fn words(line: &str) -> Vec<&str> {
    let quoted = line.split(['\'', '"', '`', '‘', '’']).skip(1).step_by(2);
    let single = line.split_whitespace().map(|word| word.trim_matches([':', ',', '\'', '"', '(', ')']));
    quoted
        .chain(line.split(": ").map(str::trim))
        .chain(single)
        .map(|word| word.trim_end_matches('/'))
        .filter(|word| !word.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_words_for_a_missing_file_are_understood() {
        let root = tempfile::tempdir().unwrap();
        let (project, work) = (root.path().join("p"), root.path().join("work"));
        for folder in ["p/assets", "p/.athanor", "work/here", "p/here"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::fs::write(project.join("params.yaml"), "").unwrap();
        let explained = |line: &str| explain(&project, &work, &[line.to_owned()]).unwrap_or_default();
        for line in [
            "cp: cannot stat 'assets': No such file or directory",
            "cat: assets: No such file or directory",
            "FileNotFoundError: [Errno 2] No such file or directory: 'assets/'",
            "Error: ENOENT: no such file or directory, open 'assets'",
            "ls: cannot access 'assets': No such file or directory",
        ] {
            assert!(explained(line).starts_with("`assets` is in the project and not in the stage's folder"), "{line}");
        }
        let inside = format!("No such file or directory: '{}'", work.join("params.yaml").display());
        assert!(explained(&inside).contains("`reads: [params.yaml]`"));
        std::fs::create_dir_all(project.join("src/pkg")).unwrap();
        let module = explained("ModuleNotFoundError: No module named 'pkg.sub'");
        assert!(
            module.contains("`reads: [src/pkg]`") && module.contains("PYTHONPATH=$ATHANOR_PROJECT/src"),
            "{module}"
        );
        std::fs::write(project.join("train.py"), "").unwrap();
        for line in
            ["bash: trian.py: No such file or directory", "can't open file 'scripts/train.py': [Errno 2] No such file"]
        {
            assert!(explained(line).ends_with("in the project either: did you mean `train.py`?"), "{line}");
        }
        assert_eq!(explained("cat: made/table.csv: No such file or directory"), "");
        assert!(explained("sh: 1: cannot open params.yaml: No such file").contains("`reads: [params.yaml]`"));
        for line in [
            "cat: here: No such file or directory",
            "cat: nowhere: No such file or directory",
            "cat: ../p/assets: No such file or directory",
            "cat: .athanor: No such file or directory",
            "assets are not there",
            "ModuleNotFoundError: No module named 'numpy'",
        ] {
            assert_eq!(explained(line), "", "{line}");
        }
    }
}
