//! A project folder and a cache, with the program at work in them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::clock::Clock;
use super::made::Made;
use super::model::{Computation, Computed};
use super::pack::IGNORED;
use super::pipeline::Project;
use super::request::Request;
use super::yaml::{PASSED, SHOWN};

/// A project folder and a cache.
pub(crate) struct ProjectDir {
    pub(crate) folder: PathBuf,
    pub(crate) cache: PathBuf,
    /// How the clock stands.
    pub(crate) clock: Clock,
    /// The user's variables and whether commands run in a sandbox, which change nothing.
    pub(crate) environment: RunEnvironment,
}

/// Environment of a run.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RunEnvironment {
    pub(crate) is_sandboxed: bool,
    /// The number in the user's variables.
    pub(crate) number: u32,
}

impl RunEnvironment {
    pub(crate) fn any(rng: &mut Rng) -> RunEnvironment {
        RunEnvironment { is_sandboxed: rng.bool(), number: rng.u32(0..3) }
    }
}

/// What lines do first that have such a first word.
pub(crate) type Broken = BTreeMap<u32, String>;

/// What one run of the program came to.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// Its exit code; `None` if it was killed.
    pub(crate) code: Option<i32>,
    /// Instances that were started at least once.
    pub(crate) started: HashSet<String>,
    /// Instances that were said to be finished.
    pub(crate) finished: HashSet<String>,
    /// Instances that were said to be finished or in the cache.
    pub(crate) current: HashSet<String>,
    /// Instances that failed for good.
    pub(crate) failed: HashSet<String>,
    /// How often instances were begun, in all passes.
    pub(crate) times: HashMap<String, usize>,
    /// All it said.
    pub(crate) said: String,
}

impl Ran {
    /// Whether it came to its end: one that was cut off leaves the results of an earlier one in their place.
    pub(crate) fn has_published(&self) -> bool {
        self.code.is_some() && self.said.contains("\"event\":\"run_finished\"")
    }
}

/// A run that goes on.
pub(crate) struct Going {
    child: Child,
    events: BufReader<ChildStdout>,
    said: String,
}

impl ProjectDir {
    /// Writes the project's files, and what work is to do first.
    pub(crate) fn write(&self, project: &Project, broken: &Broken) {
        for (path, content) in &project.files {
            write_if_other(&self.folder.join(path), content);
        }
        for gone in IGNORED.iter().filter(|path| !project.files.contains_key(**path)) {
            let _ = std::fs::remove_file(self.folder.join(gone));
        }
        let folder = self.folder.join("broken");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        broken.iter().for_each(|(word, line)| std::fs::write(folder.join(word.to_string()), line).unwrap());
    }

    /// Starts a run.
    pub(crate) fn start(&self, project: &Project, request: &Request) -> Going {
        write_if_other(&self.folder.join("p.yaml"), &project.yaml(&request.set));
        let cpus = project.stages.iter().map(|stage| stage.cpus).max().unwrap_or(1).max(request.jobs).to_string();
        let mut command = self.athanor();
        command.args(["run", "p.yaml", "--json", "-j", &cpus]).args(&request.targets);
        command.args(request.keep_going.then_some("-k"));
        command.args(project.settings(&request.set).into_iter().flat_map(|setting| ["--set".to_owned(), setting]));
        command.args(request.force.iter().flat_map(|name| ["--force", name]));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        Going { child, events, said: String::new() }
    }

    fn athanor(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_athanor"));
        command.current_dir(&self.folder).arg("--cache").arg(&self.cache);
        let RunEnvironment { is_sandboxed, number } = self.environment;
        command.env("ATHANOR_SANDBOX", if is_sandboxed { "on" } else { "off" });
        // Stages leave signs in the project folder.
        command.env("ATHANOR_SANDBOX_WRITES", "broken");
        command.envs([SHOWN, PASSED].map(|name| (name, format!("of the user {number}"))));
        self.clock.set(&mut command);
        command
    }

    /// What `athanor cache` says, and its exit code.
    pub(crate) fn look_after(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.athanor().arg("cache").args(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        match output.status.signal() {
            Some(signal) => (None, format!("{said}signal {signal} under {:?}", self.clock)),
            None => (output.status.code(), said),
        }
    }

    /// The user has the results that the model computes, of all instances that `which` picks.
    pub(crate) fn holds(
        &self,
        project: &Project,
        computation: &Computation,
        which: impl Fn(usize) -> bool,
    ) -> Result<(), String> {
        for (_, instance) in computation.instances.iter().enumerate().filter(|(at, _)| which(*at)) {
            let Some(contents) = &instance.contents else { continue };
            let found = self.result(project, instance);
            if found.as_ref() != Some(&contents[0]) {
                return Err(format!("`{}` holds {found:?} and should hold {:?}", instance.name, contents[0]));
            }
        }
        Ok(())
    }

    /// The user's result of an instance.
    pub(crate) fn result(&self, project: &Project, at: &Computed) -> Option<Made> {
        let path = project.result_path(&project.stages[at.stage], &at.point);
        Made::read(&self.folder.join("results/oracle").join(path))
    }
}

fn write_if_other(path: &Path, content: &str) {
    if std::fs::read_to_string(path).ok().as_deref() != Some(content) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

impl Going {
    /// Waits until so many events were said, or the run ends.
    pub(crate) fn hear(&mut self, events: u32) {
        for _ in 0..events {
            if self.events.read_line(&mut self.said).unwrap_or(0) == 0 {
                return;
            }
        }
    }

    /// Kills the run itself, as nothing could prevent.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Asks the run to stop.
    pub(crate) fn interrupt(&self) {
        // It may have ended.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGINT);
    }

    /// Kills one of its children: a worker, a shell, or the reaper.
    pub(crate) fn kill_a_child(&self, rng: &mut Rng) -> bool {
        // Every thread has children of its own.
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).into_iter().flatten().flatten();
        let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
        let children: Vec<i32> = lists
            .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
            .collect();
        let child = (!children.is_empty()).then(|| children[rng.usize(0..children.len())]);
        child.is_some_and(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok())
    }

    /// Waits for the end.
    pub(crate) fn end(mut self) -> Ran {
        while self.events.read_line(&mut self.said).unwrap_or(0) > 0 {}
        let output = self.child.wait_with_output().unwrap();
        let mut ran = Ran { code: output.status.code(), ..Ran::default() };
        for line in self.said.lines() {
            // The last line of a killed run may be cut off.
            let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let instance = || event["instance"].as_str().unwrap_or_default().to_owned();
            match event["event"].as_str() {
                Some("started") => {
                    *ran.times.entry(instance()).or_default() += usize::from(event["attempt"] == 1);
                    ran.started.insert(instance());
                }
                Some("failed") if event["retrying"] == false => drop(ran.failed.insert(instance())),
                Some("finished") => drop(ran.finished.insert(instance())),
                Some("cached") => drop(ran.current.insert(instance())),
                _ => {}
            }
        }
        ran.current.extend(ran.finished.iter().cloned());
        ran.said = self.said + &String::from_utf8_lossy(&output.stderr);
        ran
    }
}
