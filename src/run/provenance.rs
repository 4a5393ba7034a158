//! Provenance of results: the program, the machine and the project's commit that a run works with.
//!
//! It is kept with each result for people to read, and is no part of a fingerprint.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::run::executor::resources::Capacity;
use crate::run::program::PROGRAM;

/// Time that git has to say what the project's commit is.
const GIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval at which it is looked whether git has ended.
const GIT_POLL: Duration = Duration::from_millis(1);
/// Bytes of git's answer that are read.
const MAX_ANSWER: usize = 64 << 10;

/// Provenance of the results of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Provenance {
    /// Name and version of the program.
    pub program: String,
    /// Name of the machine.
    pub host: String,
    /// Operating system with its kernel's version.
    pub system: String,
    /// Model of the processor.
    pub processor: String,
    /// CPUs that the run may use.
    pub cpus: u32,
    /// Bytes of main memory that the run may use.
    pub memory: u64,
    /// Models of the GPUs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<String>,
    /// Version of the GPUs' driver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// Commit of the project, if it is in git.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
}

/// Commit that is checked out.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct Commit {
    /// Its id.
    pub id: String,
    /// Branch, if one is checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Whether tracked files differ from it.
    pub dirty: bool,
}

impl Provenance {
    /// Provenance of results that this process makes in `project` with `capacity`. To be called while no stage runs: the executor takes processes
    /// that it did not start for remains of stages.
    pub(crate) fn gather(project: &Path, capacity: &Capacity) -> Provenance {
        let (gpus, driver) = gpus(Path::new("/proc/driver/nvidia"));
        Provenance {
            program: PROGRAM.to_owned(),
            host: first_line(Path::new("/proc/sys/kernel/hostname")),
            system: format!("Linux {}", first_line(Path::new("/proc/sys/kernel/osrelease"))),
            processor: processor(),
            cpus: capacity.cpus,
            memory: capacity.memory,
            gpus,
            driver,
            commit: commit(project),
        }
    }
}

fn first_line(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    value_of(&text, "model name").unwrap_or_default()
}

/// Value in lines of `name : value`.
fn value_of(text: &str, name: &str) -> Option<String> {
    let value = |line: &str| {
        line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    text.lines().find_map(value)
}

/// Models of the GPUs and the version of their driver, by the driver's files.
fn gpus(driver: &Path) -> (Vec<String>, Option<String>) {
    let entries = fs::read_dir(driver.join("gpus")).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path().join("information")).collect();
    paths.sort();
    let model = |path: &std::path::PathBuf| value_of(&fs::read_to_string(path).ok()?, "Model");
    let version = first_line(&driver.join("version"));
    let version = version.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    (paths.iter().filter_map(model).collect(), version.map(str::to_owned))
}

/// Commit of the repository that `project` lies in; `None` if there is none, or git is missing or slow.
fn commit(project: &Path) -> Option<Commit> {
    project.ancestors().find(|folder| folder.join(".git").exists())?;
    let mut command = Command::new("git");
    command.arg("-C").arg(project).args(["--no-optional-locks", "-c", "core.fsmonitor=false"]);
    command.args(["status", "--porcelain=v2", "--branch", "--untracked-files=no", "--ignore-submodules"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().ok()?;
    let mut out = child.stdout.take()?;
    // Read beside the wait: a long list of changed files must not fill the pipe.
    let reader = std::thread::Builder::new().spawn(move || {
        let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
        while let Ok(count @ 1..) = std::io::Read::read(&mut out, &mut chunk) {
            let room = MAX_ANSWER.saturating_sub(answer.len());
            answer.extend(&chunk[..count.min(room)]);
        }
        answer
    });
    let Ok(reader) = reader else {
        let _ = child.kill();
        let _ = child.wait();
        return None;
    };
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if begun.elapsed() < GIT_TIMEOUT => std::thread::sleep(GIT_POLL),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let answer = reader.join().ok()?;
    status.filter(std::process::ExitStatus::success)?;
    parse(&String::from_utf8_lossy(&answer))
}

fn parse(answer: &str) -> Option<Commit> {
    let head = |name: &str| answer.lines().find_map(|line| line.strip_prefix("# branch.")?.strip_prefix(name));
    let id = head("oid ").filter(|id| id.bytes().all(|c| c.is_ascii_hexdigit()))?.to_owned();
    let branch = head("head ").filter(|name| !name.starts_with('(')).map(str::to_owned);
    Some(Commit { id, branch, dirty: answer.lines().any(|line| !line.starts_with('#') && !line.is_empty()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_from_what_git_prints() {
        let clean = "# branch.oid 0123456789abcdef0123456789abcdef01234567\n# branch.head main\n# branch.ab +0 -0\n";
        let id = "0123456789abcdef0123456789abcdef01234567".to_owned();
        let commit = Commit { id: id.clone(), branch: Some("main".to_owned()), dirty: false };
        assert_eq!(parse(clean), Some(commit.clone()));
        let dirty = format!("{clean}1 .M N... 100644 100644 100644 a b README.md\n");
        assert_eq!(parse(&dirty), Some(Commit { dirty: true, ..commit }));
        assert_eq!(parse(&clean.replace("main", "(detached)")), Some(Commit { id, branch: None, dirty: false }));
        assert_eq!(parse("# branch.oid (initial)\n# branch.head main\n"), None);
    }

    #[test]
    fn gpus_are_named_by_the_driver() {
        let folder = tempfile::tempdir().unwrap();
        let gpu = folder.path().join("gpus/0000:65:00.0");
        fs::create_dir_all(&gpu).unwrap();
        fs::write(gpu.join("information"), "Model: \t\t NVIDIA H200\nIRQ:   \t\t 24\n").unwrap();
        let version = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025\nGCC\n";
        fs::write(folder.path().join("version"), version).unwrap();
        assert_eq!(gpus(folder.path()), (vec!["NVIDIA H200".to_owned()], Some("580.95.05".to_owned())));
        assert_eq!(gpus(&folder.path().join("none")), (Vec::new(), None));
    }
}
