//! Changes of inputs, and of copies of them, that a stage was refused: stored files and folders are read-only, and `cp` gives its
//! copies the permissions of what it copies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::absent::words;
use super::input_copy::of_input;
use super::not_executable::{SIGNS, is_within};

/// Permission of the owner to write.
const WRITABLE: u32 = 0o200;

/// Explanation of the first file or folder of `folder` that the log of an attempt there says may not be used, and that may not be
/// written.
pub(super) fn explain(folder: &Path, log: &[String]) -> Option<String> {
    let lines = log.iter().filter(|line| SIGNS.iter().any(|sign| line.contains(sign)));
    // `./x` is how programs are named.
    let is_it = |word: &&str| is_within(word) && !word.starts_with("./") && !is_writable(folder, word);
    let path = lines.filter_map(|line| words(line).into_iter().find(is_it)).next()?;
    Some(if is_input(folder, path) {
        of_input(path)
    } else {
        format!(
            "`{path}` is read-only: inputs are, and so are copies that `cp` makes of them. `chmod -R u+w` after the `cp` allows \
             changes, and `inputs: {{ NAME: {{ from: …, writable: true }} }}` gives the stage a copy that it may change."
        )
    })
}

/// Whether `word` may be written, or made in the folder that it would lie in; so may all that is not there.
fn is_writable(folder: &Path, word: &str) -> bool {
    let path = folder.join(word);
    let may = |path: &Path| fs::metadata(path).map_or(true, |found| found.permissions().mode() & WRITABLE != 0);
    match path.parent().filter(|parent| *parent != folder && !path.exists()) {
        Some(parent) => may(parent),
        None => may(&path),
    }
}

/// Whether `word` leads out of the folder, as the names of inputs do.
fn is_input(folder: &Path, word: &str) -> bool {
    let path = folder.join(word);
    let there = fs::canonicalize(&path).or_else(|_| fs::canonicalize(path.parent().unwrap_or(folder)));
    let inside = |found: &Path| fs::canonicalize(folder).is_ok_and(|folder| found.starts_with(folder));
    there.is_ok_and(|found| !inside(&found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_and_read_only_copies_are_told_from_scripts_and_what_others_deny() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("work");
        let set = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        fs::create_dir_all(folder.join("r")).unwrap();
        fs::create_dir(root.path().join("inputs")).unwrap();
        std::os::unix::fs::symlink("../inputs", folder.join("inputs")).unwrap();
        for (name, mode) in [("x", 0o444), ("t.sh", 0o644), ("r/f", 0o444), ("inputs/f", 0o444)] {
            fs::write(folder.join(name), "").unwrap();
            set(&folder.join(name), mode);
        }
        set(&folder.join("r"), 0o555);
        let explained = |line: &str| explain(&folder, &[line.to_owned()]).unwrap_or_default();
        for line in [
            "../script: line 1: x: Permission denied",
            "sh: 1: cannot create x: Permission denied",
            "PermissionError: [Errno 13] Permission denied: 'x'",
        ] {
            assert!(explained(line).starts_with("`x` is read-only"), "{line}");
        }
        assert!(explained("touch: cannot touch 'r/new': Permission denied").starts_with("`r/new` is read-only"));
        assert!(explained("../script: line 1: r/f: Permission denied").starts_with("`r/f` is read-only"));
        assert!(explained("../script: line 1: inputs/f: Permission denied").contains("belongs to an input"));
        for line in ["./t.sh: Permission denied", "touch: cannot touch '/etc/x': Permission denied", "x: not found"] {
            assert_eq!(explained(line), "", "{line}");
        }
        set(&folder.join("r"), 0o755);
    }
}
