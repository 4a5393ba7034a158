//! Scripts that a stage was to run as a program, and that may not be executed: archives and other systems drop the permission.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use super::absent::words;
use super::input_copy::INPUTS;

/// Signs that a file may not be executed, or used otherwise.
pub(super) const SIGNS: [&str; 3] = ["Permission denied", "permission denied", "EACCES"];
/// Programs that start others.
const SHELLS: [&str; 7] = ["sh", "env", "xargs", "nohup", "timeout", "nice", "setsid"];
/// Words for something else than a start.
const WORDS: [&str; 3] = ["cannot ", "Errno", "open"];
/// Permission bits of which one is enough.
const EXECUTABLE: u32 = 0o111;

/// The first file of `folder` that the log of an attempt there says may not be used, and that may not be executed.
pub(super) fn explain(folder: &Path, log: &[String]) -> Option<String> {
    // A program that was started says what it could not do with the file; a shell says nothing but its name.
    let by_shell = |line: &&String| {
        let before = SIGNS.iter().find_map(|sign| line.split_once(sign)).map(|(before, _)| before);
        before.is_some_and(|before| {
            let program = before.split(": ").next().unwrap_or_default();
            before.contains(": line ") || SHELLS.iter().any(|shell| program.ends_with(shell)) || before.contains("./")
        })
    };
    let lines = log.iter().filter(by_shell).filter(|line| !WORDS.iter().any(|word| line.contains(word)));
    // To write to an input is denied in the same words.
    let may_be_run = |word: &str| !Path::new(word).starts_with(INPUTS) || is_program(&folder.join(word));
    let is_it = |word: &&str| is_within(word) && is_plain_file(&folder.join(word)) && may_be_run(word);
    let path = lines.filter_map(|line| words(line).into_iter().find(is_it)).next()?.trim_start_matches("./");
    let word = shlex::try_quote(path).unwrap_or(path.into());
    Some(format!(
        "`{path}` may not be executed: `chmod +x {word}` allows that, or let the line name what runs it, such as `bash {word}`."
    ))
}

/// Whether `word` leads nowhere but into the folder it is joined to.
pub(super) fn is_within(word: &str) -> bool {
    Path::new(word).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Whether a file begins as scripts and programs do.
fn is_program(path: &Path) -> bool {
    let mut begin = [0; 2];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut begin));
    read.is_ok() && (begin == *b"#!" || begin == *b"\x7fE")
}

fn is_plain_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & EXECUTABLE == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_without_the_permission_is_named_and_other_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, mode| {
            let path = folder.path().join(name);
            std::fs::write(&path, "").unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("t.sh", 0o644);
        write("may.sh", 0o755);
        let explained = |line: &str| explain(folder.path(), &[line.to_owned()]);
        for line in [
            "script: line 1: ./t.sh: Permission denied",
            "sh: 1: ./t.sh: Permission denied",
            "env: ‘t.sh’: Permission denied",
        ] {
            assert!(explained(line).is_some_and(|told| told.starts_with("`t.sh` may not be executed")), "{line}");
        }
        for line in [
            "./may.sh: Permission denied",
            "/etc/shadow: Permission denied",
            "./t.sh: not found",
            "cat: t.sh: Permission denied",
            "mv: cannot move 't.sh' to 'x': Permission denied",
            "sh: 1: cannot create t.sh: Permission denied",
            "PermissionError: [Errno 13] Permission denied: 't.sh'",
        ] {
            assert_eq!(explained(line), None, "{line}");
        }
    }
}
