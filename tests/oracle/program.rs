//! One case through the program: real processes, a real file system, real kills.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fastrand::Rng;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::edits::{self, Size};
use super::model::{Computation, Key, World, compute};
use super::pipeline::{Project, Work};

pub const SIZE: Size = Size { stages: 5, instances: 9, built_in: 12 };

/// A project folder and a cache.
pub struct Workplace {
    pub folder: PathBuf,
    pub cache: PathBuf,
}

/// What one run of the program came to.
#[derive(Debug, Default)]
pub struct Ran {
    /// Its exit code; `None` if it was killed.
    pub code: Option<i32>,
    /// Instances that were started at least once.
    pub started: HashSet<String>,
    /// Instances that were said to be finished.
    pub finished: HashSet<String>,
    /// All it said.
    pub said: String,
}

/// A run that goes on.
pub struct Going {
    child: Child,
    events: BufReader<std::process::ChildStdout>,
    said: String,
}

impl Workplace {
    /// Writes the project's files and its pipeline, and which work is to fail.
    pub fn write(&self, project: &Project, broken: &[u32]) {
        for (path, content) in &project.files {
            write_if_other(&self.folder.join(path), content);
        }
        write_if_other(&self.folder.join("p.yaml"), &project.yaml(&[]));
        let folder = self.folder.join("broken");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        broken.iter().for_each(|word| std::fs::write(folder.join(word.to_string()), "").unwrap());
    }

    /// Starts a run.
    pub fn start(&self, project: &Project, jobs: u32) -> Going {
        let cpus = project.stages.iter().map(|stage| stage.cpus).max().unwrap_or(1).max(jobs).to_string();
        let mut command = Command::new(env!("CARGO_BIN_EXE_athanor"));
        command
            .current_dir(&self.folder)
            .args(["run", "p.yaml", "-k", "--json", "-j", &cpus, "--cache"])
            .arg(&self.cache);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let events = BufReader::new(child.stdout.take().unwrap());
        Going { child, events, said: String::new() }
    }

    /// The user has the results that the model computes.
    pub fn holds(&self, project: &Project, computation: &Computation) -> Result<(), String> {
        for instance in &computation.instances {
            let Some(contents) = &instance.contents else { continue };
            let found = self.result(project, instance);
            if found.as_ref() != Some(&contents[0]) {
                return Err(format!("`{}` holds {found:?} and should hold {:?}", instance.name, contents[0]));
            }
        }
        Ok(())
    }

    fn result(&self, project: &Project, at: &super::model::Computed) -> Option<Vec<u8>> {
        let path = project.result_path(&project.stages[at.stage], &at.point);
        std::fs::read(self.folder.join("results/oracle").join(path)).ok()
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
    pub fn hear(&mut self, events: u32) {
        for _ in 0..events {
            if self.events.read_line(&mut self.said).unwrap_or(0) == 0 {
                return;
            }
        }
    }

    /// Kills the run itself, as nothing could prevent.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Kills one of its children: a worker, a shell, or the guardian.
    pub fn kill_a_child(&self, rng: &mut Rng) -> bool {
        let list = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(list).unwrap_or_default();
        let children: Vec<i32> = children.split_whitespace().filter_map(|pid| pid.parse().ok()).collect();
        let child = (!children.is_empty()).then(|| children[rng.usize(0..children.len())]);
        child.is_some_and(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok())
    }

    /// Waits for the end.
    pub fn end(mut self) -> Ran {
        while self.events.read_line(&mut self.said).unwrap_or(0) > 0 {}
        let output = self.child.wait_with_output().unwrap();
        let mut ran = Ran { code: output.status.code(), ..Ran::default() };
        for line in self.said.lines() {
            // The last line of a killed run may be cut off.
            let Ok(event) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            let instance = || event["instance"].as_str().unwrap_or_default().to_owned();
            match event["event"].as_str() {
                Some("started") => drop(ran.started.insert(instance())),
                Some("finished") => drop(ran.finished.insert(instance())),
                _ => {}
            }
        }
        ran.said = self.said + &String::from_utf8_lossy(&output.stderr);
        ran
    }
}

/// A case in progress.
struct Case {
    rng: Rng,
    place: Workplace,
    project: Project,
    earlier: Vec<Project>,
    known: HashSet<Key>,
    /// What built-in kinds were seen to make. That it is right is seen at the end, when everything is made again.
    learned: HashMap<Key, Vec<u8>>,
    runs: u64,
    kills: u64,
    _folder: TempDir,
}

/// Goes through the case with this seed; says how many runs that were.
pub fn case(seed: u64) -> Result<u64, String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let place = Workplace { folder: root.join("project"), cache: root.join("cache") };
    std::fs::create_dir(&place.folder).unwrap();
    let mut rng = Rng::with_seed(seed);
    let project = edits::project(&mut rng, SIZE);
    let (known, learned, earlier) = (HashSet::new(), HashMap::new(), Vec::new());
    let mut case = Case { rng, place, project, earlier, known, learned, runs: 0, kills: 0, _folder: folder };
    let outcome = (0..5).try_for_each(|_| case.step()).and_then(|()| case.end());
    super::KILLS.fetch_add(case.kills, std::sync::atomic::Ordering::Relaxed);
    outcome.map(|()| case.runs).map_err(|problem| format!("{problem}\n\n{}", case.project.yaml(&[])))
}

impl Case {
    fn step(&mut self) -> Result<(), String> {
        if self.rng.u32(0..5) == 0 && !self.earlier.is_empty() {
            let at = self.rng.usize(0..self.earlier.len());
            self.project = self.earlier[at].clone();
        } else {
            self.earlier.push(self.project.clone());
            for _ in 0..self.rng.u32(0..4) {
                edits::edit(&mut self.project, &mut self.rng, SIZE, false);
            }
        }
        match self.rng.u32(0..8) {
            0..5 => self.killed(),
            5 => self.changed_under_it(),
            6 => self.failing(),
            _ => self.whole(&HashSet::new(), &HashSet::new()),
        }
    }

    fn start(&mut self, project: &Project, broken: &[u32]) -> Going {
        self.place.write(project, broken);
        self.runs += 1;
        let jobs = self.rng.u32(1..9);
        self.place.start(project, jobs)
    }

    /// What the model says, once it knows what the built-in kinds have made in the run before.
    fn computed(&mut self, broken: &[u32]) -> Result<Computation, String> {
        loop {
            let learned = &self.learned;
            let world =
                World { fails: &|_, word| broken.contains(&word), built_in: &|key, _, _, _| learned.get(key).cloned() };
            let computation = compute(&self.project, &self.known, &world);
            let is_built_in = |stage: usize| !matches!(self.project.stages[stage].work, Work::Command { .. });
            let unknown = computation.instances.iter().find(|instance| {
                is_built_in(instance.stage) && instance.key.as_ref().is_some_and(|key| !self.learned.contains_key(key))
            });
            let Some(instance) = unknown else { return Ok(computation) };
            let made = self.place.result(&self.project, instance);
            let made = made.ok_or_else(|| format!("`{}` has no result", instance.name))?;
            self.learned.extend(instance.key.clone().map(|key| (key, made)));
        }
    }

    /// A run that goes through, after runs that were cut off: `acknowledged` was said to be finished there, `begun` may be.
    fn whole(&mut self, acknowledged: &HashSet<String>, begun: &HashSet<String>) -> Result<(), String> {
        let project = self.project.clone();
        let ran = self.start(&project, &[]).end();
        let computation = self.computed(&[])?;
        self.is_right(&computation, &ran, 0)?;
        let keys = |names: &HashSet<String>| -> HashSet<Key> {
            computation
                .instances
                .iter()
                .filter(|one| names.contains(&one.name))
                .filter_map(|one| one.key.clone())
                .collect()
        };
        let (acknowledged, begun, executed) = (keys(acknowledged), keys(begun), keys(&ran.started));
        let everything = computation.needed_by(&[]);
        let needed = computation.needed(&everything, &self.known);
        if ran.started.len() != executed.len() {
            return Err(format!("the same work was done twice: {:?}", ran.started));
        }
        if let Some(key) = executed.iter().find(|key| !needed.contains(*key) || acknowledged.contains(*key)) {
            return Err(format!("done again, though it was there: {key}\n{}", ran.said));
        }
        if let Some(key) = needed.iter().find(|key| !executed.contains(*key) && !begun.contains(*key)) {
            return Err(format!("not done: {key}\n{}", ran.said));
        }
        self.known.extend(needed);
        Ok(())
    }

    /// What is said is true, and results hold what they should.
    fn is_right(&self, computation: &Computation, ran: &Ran, code: i32) -> Result<(), String> {
        if ran.code != Some(code) {
            return Err(format!("it ended with {:?} instead of {code}:\n{}", ran.code, ran.said));
        }
        self.place.holds(&self.project, computation).map_err(|problem| format!("{problem}\n{}", ran.said))
    }

    /// Runs that are killed, or whose stages are, one after the other, and then one that goes through.
    fn killed(&mut self) -> Result<(), String> {
        let (mut acknowledged, mut begun) = (HashSet::new(), HashSet::new());
        for _ in 0..self.rng.u32(1..5) {
            let project = self.project.clone();
            let mut going = self.start(&project, &[]);
            going.hear(self.rng.u32(0..12));
            std::thread::sleep(Duration::from_micros(self.rng.u64(0..15_000)));
            if self.rng.u32(0..3) == 0 {
                self.kills += u64::from(going.kill_a_child(&mut self.rng));
            } else {
                going.kill();
                self.kills += 1;
            }
            let ran = going.end();
            if let Some(again) = ran.started.iter().find(|name| acknowledged.contains(*name)) {
                return Err(format!("`{again}` was done again, though it was said to be finished\n{}", ran.said));
            }
            acknowledged.extend(ran.finished);
            begun.extend(ran.started);
        }
        self.whole(&acknowledged, &begun)
    }

    /// An input file is changed while stages run, and changed back later.
    fn changed_under_it(&mut self) -> Result<(), String> {
        let before = self.project.clone();
        let mut going = self.start(&before, &[]);
        going.hear(self.rng.u32(1..6));
        let path = ["data/a.txt", "data/b.txt", "c.txt"][self.rng.usize(0..3)];
        let content = format!("changed {}\n", self.rng.u32(0..3));
        self.project.files.insert(path.to_owned(), content.clone());
        // In place, so that a stage that has the file open sees it too.
        std::fs::write(self.place.folder.join(path), content).unwrap();
        going.end();
        for project in [self.project.clone(), before] {
            self.project = project;
            let ran = {
                let project = self.project.clone();
                self.start(&project, &[]).end()
            };
            let computation = self.computed(&[])?;
            self.is_right(&computation, &ran, 0)?;
            self.known.extend(computation.instances.iter().filter_map(|instance| instance.key.clone()));
        }
        Ok(())
    }

    /// A run in which some work fails.
    fn failing(&mut self) -> Result<(), String> {
        let broken: Vec<u32> = (0..2).map(|_| self.rng.u32(0..4)).collect();
        let project = self.project.clone();
        let ran = self.start(&project, &broken).end();
        let computation = self.computed(&broken)?;
        let all_well = computation.instances.iter().all(|instance| instance.contents.is_some());
        self.is_right(&computation, &ran, i32::from(!all_well))?;
        let by_name = computation.by_name();
        for name in &ran.started {
            let key = by_name[name.as_str()].key.as_ref();
            if key.is_none_or(|key| self.known.contains(key)) {
                return Err(format!("`{name}` need not or cannot be done\n{}", ran.said));
            }
        }
        let done = computation.instances.iter().filter(|instance| instance.contents.is_some());
        self.known.extend(done.filter_map(|instance| instance.key.clone()));
        Ok(())
    }

    /// At the end everything is made again from nothing, with another cache: the same bytes.
    fn end(&mut self) -> Result<(), String> {
        self.whole(&HashSet::new(), &HashSet::new())?;
        let verified = Command::new(env!("CARGO_BIN_EXE_athanor"))
            .args(["cache", "verify", "--cache"])
            .arg(&self.place.cache)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        if !said.contains("0 damaged") {
            return Err(format!("the cache is damaged: {said}"));
        }
        self.place.cache = self.place.cache.with_file_name("fresh");
        self.known.clear();
        self.whole(&HashSet::new(), &HashSet::new())
    }
}
