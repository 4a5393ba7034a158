//! A project whose containers are run by a stand-in.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Outcome, Project, events};

/// Programs that are engines.
const ENGINES: [&str; 3] = ["podman", "docker", "apptainer"];

/// A project, and a folder with a stand-in that has the names of engines.
pub(crate) struct Engine {
    pub(crate) project: Project,
    state: TempDir,
}

impl Engine {
    /// A project with this pipeline, and a stand-in with these names.
    pub(crate) fn new(names: &[&str], pipeline: &str) -> Engine {
        let engine = Engine { project: Project::new(pipeline), state: tempfile::tempdir().unwrap() };
        for folder in ["bin", "images", "containers"] {
            std::fs::create_dir(engine.path(folder)).unwrap();
        }
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers/engine");
        for name in names {
            symlink(&program, engine.path("bin").join(name)).unwrap();
        }
        engine
    }

    /// A path in the folder of the stand-in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    /// Lets the image of this name have this id.
    pub(crate) fn image(&self, name: &str, id: &str) {
        std::fs::write(self.path("images").join(name.replace('/', "_")), id).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        self.let_in(&mut command);
        command
    }

    /// Lets the process of a command find the stand-in, and no real engine.
    pub(crate) fn let_in(&self, command: &mut Command) {
        let own = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
        let path = own.map(OsString::from).or_else(|| std::env::var_os("PATH")).unwrap_or_default();
        // Folders with a real one have links to all others of their programs in their place.
        let links = self.path("programs");
        let _ = std::fs::create_dir(&links);
        for folder in std::env::split_paths(&path) {
            for program in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                if !ENGINES.iter().any(|name| program.file_name() == *name) {
                    // The first of a name counts.
                    let _ = symlink(program.path(), links.join(program.file_name()));
                }
            }
        }
        let folders = [self.path("bin"), links];
        command.env("PATH", std::env::join_paths(folders).unwrap()).env("FAKE_ENGINE", self.state.path());
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(&[&["run", "p.yaml"], arguments].concat()))
    }

    /// Runs and returns the instances that were made.
    pub(crate) fn made(&self, arguments: &[&str]) -> Vec<String> {
        let outcome = self.run(&[&["--json"], arguments].concat());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        events(&outcome.out, "finished")
    }

    /// Command lines so far that begin with `word`, with spaces between their words.
    pub(crate) fn lines(&self, word: &str) -> Vec<String> {
        let lines = std::fs::read_to_string(self.path("lines")).unwrap_or_default();
        // A script in a line has ends of lines in it, too; they are tabs here.
        let lines = lines.lines().map(|line| line.trim_end().replace('\t', " "));
        lines.filter(|line| line.split(' ').next() == Some(word)).collect()
    }

    /// Names of containers that are there.
    pub(crate) fn containers(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("containers")).unwrap().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}
