//! A project folder to run the program in.
//!
//! **Tests that need the superuser** have `as_root` in their names and begin with [`is_root`], so that a run as an ordinary user
//! says that it skips them, and `cargo test --workspace as_root`, as the superuser, runs them alone. All others pass as any user.
#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use tempfile::TempDir;

/// Time after which a program that has not ended is taken to hang.
const MAX_TIME: Duration = Duration::from_secs(1200);

/// A project folder that goes away with the test.
pub(crate) struct Project {
    folder: TempDir,
}

/// A pipeline that trains one small network on a GPU.
pub(crate) const TRAINING: &str = "athanor: 1
name: t
stages:
  cells: { kind: synthetic_cells, params: { train: 24, external: 4, test: 8, size: 64 } }
  train: { kind: pack_images, inputs: { images: cells.train_images } }
  test: { kind: pack_images, inputs: { images: cells.test_images } }
  model:
    kind: train_classifier
    inputs: { images: [train, test], train: cells.train, validation: cells.test_labels }
    params: { arch: resnet18, crop: 32, batch: 8, epochs: 1 }
    resources: { gpus: 1 }
results: { training: model.metrics }
";

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Outcome {
    /// Runs a command to its end, for which it has [`MAX_TIME`].
    pub(crate) fn of(mut command: Command) -> Outcome {
        Outcome::of_child(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Waits for the end of a program, for which it has [`MAX_TIME`].
    pub(crate) fn of_child(child: Child) -> Outcome {
        let (ended, watched) = channel::<()>();
        let process = Pid::from_raw(child.id().cast_signed());
        let watch = std::thread::spawn(move || {
            let hangs = watched.recv_timeout(MAX_TIME) == Err(RecvTimeoutError::Timeout);
            hangs.then(|| (threads(process), kill(process, Signal::SIGKILL)))
        });
        let output = child.wait_with_output().unwrap();
        drop(ended);
        if let Some((threads, _)) = watch.join().unwrap() {
            panic!("the program hangs: {output:?}, its threads: {threads:?}");
        }
        Outcome {
            // A signal is told from an exit status by its sign.
            code: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(1)),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// State of a process's threads: what each waits for in the kernel.
fn threads(process: Pid) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    tasks.map(|task| ["comm", "wchan", "syscall"].map(|name| read(task.path().join(name))).join(" ")).collect()
}

impl Drop for Project {
    /// Lets the folders of stored results be removed, which an ordinary user cannot do as they are.
    fn drop(&mut self) {
        unlock(self.folder.path());
    }
}

/// Makes a folder and all folders below it writable.
fn unlock(folder: &Path) {
    let is_folder = folder.symlink_metadata().is_ok_and(|found| found.is_dir());
    // A folder that cannot be unlocked stays behind.
    if is_folder && std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).is_ok() {
        std::fs::read_dir(folder).into_iter().flatten().flatten().for_each(|entry| unlock(&entry.path()));
    }
}

impl Project {
    pub(crate) fn new(pipeline: &str) -> Project {
        let project = Project { folder: tempfile::tempdir().unwrap() };
        project.write("p.yaml", pipeline);
        project
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Replaces a piece of the pipeline.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let text = self.read("p.yaml");
        assert!(text.contains(from), "{from} is not in {text}");
        self.write("p.yaml", &text.replace(from, to));
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_athanor"));
        command.current_dir(self.folder.path()).args(arguments);
        for name in [
            "ATHANOR_CACHE",
            "ATHANOR_CACHE_VERIFY_ON_USE",
            "ATHANOR_ENVIRONMENT",
            "ATHANOR_EXECUTOR",
            "ATHANOR_LOG_LIMIT",
            "ATHANOR_ON_NO_GPU",
            "ATHANOR_REMOTE",
            "ATHANOR_REMOTE_KEY",
            "ATHANOR_REMOTE_MODE",
            "ATHANOR_REMOTE_PROGRAM",
            "ATHANOR_RESULTS",
            "ATHANOR_SANDBOX_READS",
            "ATHANOR_SANDBOX_WRITES",
        ] {
            command.env_remove(name);
        }
        // A run that a failed test leaves behind may wait for ever, and holds the pipe that the tests print to.
        // SAFETY: `prctl` allocates nothing and takes no lock.
        unsafe { command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?)) };
        // Stages of most tests leave signs in the project folder; `sandboxed` is for those about the sandbox.
        command.env("ATHANOR_SANDBOX", "off");
        // The settings of who runs the tests are not to decide them.
        command.env("XDG_CONFIG_HOME", self.path("config"));
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        command
    }

    /// As [`Project::command`], with the sandbox that users have.
    pub(crate) fn sandboxed(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env_remove("ATHANOR_SANDBOX");
        command
    }

    pub(crate) fn athanor(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(arguments))
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.athanor(&[&["run", "p.yaml"], arguments].concat())
    }

    /// Runs and returns the instances that were made, in the order they finished.
    pub(crate) fn made(&self, arguments: &[&str]) -> Vec<String> {
        let outcome = self.run(&[&["--json"], arguments].concat());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        events(&outcome.out, "finished")
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(&[&["run", "p.yaml"], arguments].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }
}

/// Instances of the events of one type.
pub(crate) fn events(json_lines: &str, event: &str) -> Vec<String> {
    let lines = json_lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).map(|line| line["instance"].as_str().unwrap().to_owned()).collect()
}

/// Waits for a file that a stage makes, as long as `process` lives.
pub(crate) fn wait_for(path: &Path, process: &mut Child) {
    wait_while_running(process, &format!("there is {}", path.display()), || path.exists());
}

/// Waits until something holds that `process` brings about; fails if it ends before.
pub(crate) fn wait_while_running(process: &mut Child, what: &str, mut holds: impl FnMut() -> bool) {
    wait_until(what, || {
        let has_ended = process.try_wait().unwrap().is_some();
        // Asked after that: it may be the last that the process does.
        let it_holds = holds();
        assert!(it_holds || !has_ended, "the program ended before it came to this: {what}");
        it_holds
    });
}

/// Waits until something holds; fails once it has not come to hold for [`MAX_TIME`], since a test that waits for ever says nothing.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + MAX_TIME;
    while !holds() {
        assert!(Instant::now() < patience, "it never came to this: {what}");
        // A test that asks without a pause takes a processor from the program that it waits for.
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A library to preload, made from a source of the repository; `None`, and a message, where there is no C compiler.
pub(crate) fn library(source: &str) -> Option<(TempDir, PathBuf)> {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("shim.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library);
    compiler.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(source)).arg("-ldl");
    match compiler.output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            skips(&format!("this needs a C compiler: {error}"));
            return None;
        }
    }
    Some((folder, library))
}

/// The folder of the challenge's real tables, if it is here; says so if not.
pub(crate) fn real_tables() -> Option<PathBuf> {
    real_data("hpa-meta", "the challenge's real tables")
}

/// The folder of real images, if it is here; says so if not.
pub(crate) fn real_images() -> Option<PathBuf> {
    real_data("hpa-images", "real images")
}

/// A Python that has this module: that of the environment which `ATHANOR_PEERS` names, else the one on the path; says so if there is
/// none.
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    let peers = std::env::var_os("ATHANOR_PEERS").map(|folder| Path::new(&folder).join("bin/python"));
    let python = peers.unwrap_or_else(|| PathBuf::from("python3"));
    let mut import = Command::new(&python);
    import.args(["-c", &format!("import {module}")]);
    let found = import.output().is_ok_and(|output| output.status.success()).then_some(python);
    if found.is_none() {
        skips(&format!("there is no Python with {module}; tests/requirements-peers.txt says which"));
    }
    found
}

/// Says why the calling test skips. Unlike `println!` this is seen even if the test passes.
pub(crate) fn skips(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // In one piece, as other tests write, too.
    let _ = std::io::stderr().write_all(format!("skipped: {test}: {why}\n").as_bytes());
}

/// Whether this is the superuser; if not, says that the calling test skips.
pub(crate) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skips("only the superuser can do what it needs");
    }
    is_root
}

fn real_data(name: &str, what: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("ATHANOR_SHARED_DATA").map(PathBuf::from);
    let shared = shared.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data"));
    let found =
        Some(shared.join(name)).filter(|folder| folder.join("README.md").exists() || folder.join("train.csv").exists());
    if found.is_none() {
        skips(&format!("{what} are not here"));
    }
    found
}
