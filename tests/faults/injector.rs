//! Runs the program with a library in its way that refuses one of its operations on files.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Outcome, Project};

/// Longest time a command may take, in seconds.
const PATIENCE: u64 = 120;
/// Size of the file in which processes count operations; the library maps all of it.
const REPORT_SIZE: usize = 4096;

const CHANGES: &str = "create write sync mkdir rename link symlink chmod remove";
const GROWTH: &str = "create write sync mkdir rename link symlink";

/// A kind of fault.
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// Kinds of operations that it hits.
    kinds: &'static str,
    /// The error number, or 0 for `kill -9`.
    errno: i32,
    /// Whether every later operation fails, too.
    pub(crate) stays: bool,
    /// The operation where samples begin, less one.
    pub(crate) offset: usize,
}

impl Fault {
    pub(crate) fn is_kill(&self) -> bool {
        self.errno == 0
    }
}

pub(crate) const EIO: Fault = Fault { name: "EIO", kinds: CHANGES, errno: 5, stays: false, offset: 3 };
pub(crate) const ENOSPC: Fault = Fault { name: "ENOSPC", kinds: GROWTH, errno: 28, stays: false, offset: 7 };
pub(crate) const FULL_DISK: Fault = Fault { name: "a full disk", kinds: GROWTH, errno: 28, stays: true, offset: 11 };
pub(crate) const READ: Fault = Fault { name: "EIO on reading", kinds: "open read", errno: 5, stays: false, offset: 15 };
pub(crate) const KILL: Fault = Fault { name: "kill -9", kinds: CHANGES, errno: 0, stays: false, offset: 19 };

/// A run in which an operation was refused.
pub(crate) struct Injected {
    pub(crate) outcome: Outcome,
    /// The operation that was refused; `None` where there were fewer.
    pub(crate) operation: Option<String>,
    pub(crate) timed_out: bool,
}

/// The library that refuses operations.
pub(crate) struct Injector {
    folder: tempfile::TempDir,
}

impl Injector {
    /// Compiles the library; `None`, and a message, where there is no C compiler.
    pub(crate) fn new() -> Option<Injector> {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/inject.c");
        let injector = Injector { folder };
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(injector.library()).arg(source).arg("-ldl");
        match compiler.stderr(Stdio::null()).status() {
            Ok(status) => assert!(status.success(), "tests/faults/inject.c does not compile"),
            Err(error) => {
                crate::support::skips(&format!("this needs a C compiler: {error}"));
                return None;
            }
        }
        Some(injector)
    }

    fn library(&self) -> PathBuf {
        self.folder.path().join("inject.so")
    }

    /// Runs the program with this fault at operation `at`, counted from 1.
    pub(crate) fn run(&self, project: &Project, arguments: &[&str], fault: &Fault, at: usize) -> Injected {
        let report = self.folder.path().join("report");
        std::fs::write(&report, vec![0; REPORT_SIZE]).unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_athanor")).canonicalize().unwrap();
        let plain = project.command(arguments);
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL"]).arg(PATIENCE.to_string()).arg(&program).args(plain.get_args());
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let folder = project.path("").canonicalize().unwrap();
        command.current_dir(&folder).stdin(Stdio::null());
        command.env("LD_PRELOAD", self.library()).env("FAULT_REPORT", &report).env("FAULT_PROGRAM", &program);
        command.env("FAULT_BELOW", &folder).env("FAULT_KINDS", fault.kinds).env("FAULT_AT", at.to_string());
        command.env("FAULT_ERRNO", fault.errno.to_string());
        if fault.stays {
            command.env("FAULT_STAYS", "1");
        }
        let begun = std::time::Instant::now();
        let output = command.output().unwrap();
        let timed_out = begun.elapsed().as_secs() >= PATIENCE;
        let code = output.status.code().unwrap_or(-output.status.signal().unwrap_or(1));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let outcome = Outcome { code, out: text(&output.stdout), err: text(&output.stderr) };
        Injected { outcome, operation: refused(&std::fs::read(&report).unwrap()), timed_out }
    }
}

/// What the library wrote: two numbers, of which the second says whether an operation was refused, and a text.
fn refused(report: &[u8]) -> Option<String> {
    let (numbers, text) = report.split_at(2 * size_of::<i64>());
    let was_refused = numbers[size_of::<i64>()..].iter().any(|byte| *byte != 0);
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    was_refused.then(|| String::from_utf8_lossy(text).into_owned())
}
