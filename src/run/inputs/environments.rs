//! Environments of interpreters that lie in a project: a program of one finds the rest of it by its own place.

use std::path::Path;

/// Names of folders that are environments.
const NAMES: [&str; 3] = [".venv", "node_modules", ".pixi"];
/// Contents of other ones.
const MARKS: [&str; 2] = ["pyvenv.cfg", "conda-meta"];

/// The environment in the project folder `project` that `path`, relative to it, is or lies in.
pub(super) fn environment_of<'p>(project: &Path, path: &'p str) -> Option<&'p str> {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let mut folders = ends.map(|end| &path[..end]).filter(|folder| !folder.is_empty());
    folders.find(|folder| {
        let name = folder.rsplit_once('/').map_or(*folder, |(_, name)| name);
        let is_marked = || MARKS.iter().any(|mark| project.join(folder).join(mark).exists());
        NAMES.contains(&name) || is_marked()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_told_by_their_names_and_by_what_lies_in_them() {
        let project = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(project.path().join("tools/my-env/bin")).unwrap();
        std::fs::write(project.path().join("tools/my-env/pyvenv.cfg"), "").unwrap();
        let found = |path| environment_of(project.path(), path);
        assert_eq!(found("tools/my-env/bin/python"), Some("tools/my-env"));
        assert_eq!(found("tools/my-env"), Some("tools/my-env"));
        assert_eq!(found(".venv/bin/python"), Some(".venv"));
        assert_eq!(found("web/node_modules/.bin/tsc"), Some("web/node_modules"));
        assert_eq!((found("tools/plot.py"), found("tools")), (None, None));
    }
}
