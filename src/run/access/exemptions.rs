//! Files of a project that stay readable: environments in it, and programs and settings of the user where the project holds them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::config::UserFolders;
use super::outside::{Entry, list};

/// Names of folders that are environments whatever is in them.
const NAMES: [&str; 3] = [".venv", "node_modules", ".pixi"];
/// Names of environments that are looked for in the folders of the project.
const NESTED: [&str; 5] = [".venv", "node_modules", ".pixi", "venv", "env"];
/// Names of folders that hold environments.
const HOLDERS: [&str; 3] = ["envs", ".conda", ".virtualenvs"];
/// Names in an environment: open where the project is itself one.
const INSIDE: [&str; 9] = ["bin", "lib", "lib64", "include", "share", "etc", "ssl", "conda-meta", "pyvenv.cfg"];
/// Folders of the system: open where the project holds them.
const SYSTEM: [&str; 12] =
    ["/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/nix", "/opt", "/proc", "/sys", "/usr", "/var"];

/// Whether a folder is an environment of Python, Conda, Node or Pixi.
fn is_environment(folder: &Path) -> bool {
    folder.file_name().is_some_and(|name| NAMES.iter().any(|known| name == *known)) || is_marked(folder)
}

/// Whether an environment says so in its folder.
fn is_marked(folder: &Path) -> bool {
    folder.join("pyvenv.cfg").is_file() || folder.join("conda-meta").is_dir()
}

/// The environments in a project, as far as they are where people put them.
pub(super) fn environments(project: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if is_marked(project) {
        found.extend(INSIDE.map(|name| project.join(name)));
    }
    for Entry { name, .. } in list(project).into_iter().filter(|entry| entry.name != ".git") {
        let folder = project.join(&name);
        if !folder.is_dir() {
            continue;
        }
        if is_environment(&folder) {
            found.push(folder);
            continue;
        }
        found.extend(
            NESTED.map(|name| folder.join(name)).into_iter().filter(|inner| inner.is_dir() && is_environment(inner)),
        );
        if HOLDERS.iter().any(|holder| name == *holder) {
            let inner = list(&folder).into_iter().map(|entry| folder.join(entry.name));
            found.extend(inner.filter(|inner| is_environment(inner)));
        }
    }
    found
}

/// The environment in the project that `path` lies in, if any.
pub(super) fn environment_around(path: &Path, project: &Path) -> Option<PathBuf> {
    let above = path.ancestors().skip(1).take_while(|folder| *folder != project && folder.starts_with(project));
    above.into_iter().find(|folder| is_environment(folder)).map(Path::to_owned)
}

/// Exemptions of a project that is or holds the home folder, or programs on `PATH`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Exemptions {
    /// Paths that stay readable.
    pub paths: Vec<PathBuf>,
    /// The same for the user; `None` if nothing is exempted that is no environment.
    pub notice: Option<String>,
}

/// Finds the exemptions of `project`. Paths in `folders` are absolute and free of links.
pub(super) fn exemptions(project: &Path, folders: &UserFolders) -> Exemptions {
    let mut paths = Vec::new();
    let mut told: Vec<PathBuf> = Vec::new();
    let system = SYSTEM.iter().map(PathBuf::from).filter(|folder| folder.starts_with(project) && folder.exists());
    told.extend(system);
    for folder in folders.programs.iter().filter(|folder| folder.starts_with(project) && *folder != project) {
        match environment_around(folder, project) {
            Some(environment) => paths.push(environment),
            None => told.push(prefix(folder, project, folders.home.as_deref())),
        }
    }
    let home = folders.home.as_deref().filter(|home| home.starts_with(project));
    if let Some(home) = home {
        let hidden = list(home).into_iter().filter(|entry| entry.name.as_encoded_bytes().starts_with(b"."));
        paths.extend(
            hidden.filter(|entry| !entry.is_link && entry.name != ".athanor").map(|entry| home.join(entry.name)),
        );
    }
    told.sort();
    told.dedup();
    let notice = notice(home, &told);
    paths.extend(told);
    Exemptions { paths, notice }
}

/// The folder that programs in `folder` are installed in: the one above `bin`, if that is neither the project nor the home.
fn prefix(folder: &Path, project: &Path, home: Option<&Path>) -> PathBuf {
    let is_bin = folder.file_name().is_some_and(|name| name == OsStr::new("bin") || name == OsStr::new("sbin"));
    let above = folder.parent().filter(|above| {
        is_bin && above.starts_with(project) && *above != project && home.is_none_or(|home| !home.starts_with(above))
    });
    above.unwrap_or(folder).to_owned()
}

fn notice(home: Option<&Path>, told: &[PathBuf]) -> Option<String> {
    let mut open: Vec<String> = Vec::new();
    if let Some(home) = home {
        open.push(format!("hidden files of the home folder `{}`", home.display()));
    }
    open.extend(told.iter().map(|path| format!("`{}`", path.display())));
    let whose = if home.is_some() { "holds the home folder" } else { "holds programs on PATH" };
    (!open.is_empty()).then(|| format!("the project {whose}: {} stay readable in the sandbox", open.join(", ")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(paths: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in paths {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    fn relative(paths: &[PathBuf], folder: &Path) -> Vec<String> {
        let mut relative: Vec<String> =
            paths.iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect();
        relative.sort();
        relative
    }

    #[test]
    fn environments_are_found_where_people_put_them() {
        let project = folder(&[
            ".venv/bin/python",
            "py/pyvenv.cfg",
            "web/node_modules/a/index.js",
            "envs/train/conda-meta/history",
            "envs/notes/readme",
            "src/env/settings.py",
            "data/x.csv",
        ]);
        let found = relative(&environments(project.path()), project.path());
        assert_eq!(found, [".venv", "envs/train", "py", "web/node_modules"]);
        let around = |path: &str| environment_around(&project.path().join(path), project.path());
        assert_eq!(around("envs/train/bin/python"), Some(project.path().join("envs/train")));
        assert_eq!(around("data/x.csv"), None);
    }

    #[test]
    fn programs_and_the_home_folder_in_a_project_stay_readable_and_that_is_said() {
        let project = folder(&[".bashrc", ".athanor/format", "tools/bin/python", "bin/mine", "thesis/a.txt"]);
        let at = |name: &str| project.path().join(name);
        let folders = UserFolders {
            home: Some(project.path().to_owned()),
            programs: vec![at("tools/bin"), at("bin"), "/usr/bin".into()],
            ..UserFolders::default()
        };
        let Exemptions { paths, notice } = exemptions(project.path(), &folders);
        assert_eq!(relative(&paths, project.path()), [".bashrc", "bin", "tools"]);
        let notice = notice.unwrap();
        assert!(notice.contains("holds the home folder") && notice.contains("tools`"), "{notice}");
        let elsewhere = UserFolders { home: Some("/home/ann".into()), ..UserFolders::default() };
        assert_eq!(exemptions(project.path(), &elsewhere), Exemptions::default());
    }
}
