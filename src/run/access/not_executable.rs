//! Scripts that a stage was to run as a program, and that may not be executed: archives and other systems drop the permission.

use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use super::absent::words;

/// Signs that a program may not be executed.
const SIGNS: [&str; 3] = ["Permission denied", "permission denied", "EACCES"];
/// Permission bits of which one is enough.
const EXECUTABLE: u32 = 0o111;

/// The first file of `folder` that the log of an attempt there says may not be used, and that may not be executed.
pub(super) fn explain(folder: &Path, log: &[String]) -> Option<String> {
    let lines = log.iter().filter(|line| SIGNS.iter().any(|sign| line.contains(sign)));
    let is_it = |word: &&str| is_within(word) && is_plain_file(&folder.join(word));
    let path = lines.filter_map(|line| words(line).into_iter().find(is_it)).next()?.trim_start_matches("./");
    Some(format!(
        "`{path}` may not be executed: `chmod +x {path}` allows that, or let the line name what runs it, such as `bash {path}`."
    ))
}

fn is_within(word: &str) -> bool {
    Path::new(word).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
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
        for line in ["./may.sh: Permission denied", "/etc/shadow: Permission denied", "./t.sh: not found"] {
            assert_eq!(explained(line), None, "{line}");
        }
    }
}
