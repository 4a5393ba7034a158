//! One case through the program: real processes, a real file system, real kills.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use fastrand::Rng;
use tempfile::TempDir;

use super::clock::Clock;
use super::edits;
use super::made::Made;
use super::model::{Computation, Computed, Key, World, compute};
use super::pack::CONTENT;
use super::pipeline::{Project, Work};
use super::project_dir::{Broken, Going, ProjectDir, Ran, RunEnvironment};
use super::request::Request;
use super::scale::Size;
use super::wiring::wire;
use super::yaml::GUARD;

pub(crate) const SIZE: Size = Size { stages: 5, instances: 9, built_in: 12 };

/// Beginning of the script of a stage with state that stops twice in good order.
const PAUSE: &str = "if test -n \"${ATHANOR_STATE-}\"; then echo x >> $ATHANOR_STATE/n; test $(wc -l < $ATHANOR_STATE/n) -gt 2 || exit 75; fi";

/// A case in progress.
pub(crate) struct Case {
    pub(crate) rng: Rng,
    pub(crate) place: ProjectDir,
    pub(crate) project: Project,
    earlier: Vec<Project>,
    /// Work whose results are there.
    pub(crate) known: HashSet<Key>,
    /// Work whose results may be there.
    pub(crate) maybe: HashSet<Key>,
    /// What built-in kinds were seen to make. That it is right is seen at the end, when everything is made again.
    learned: HashMap<Key, Vec<u8>>,
    runs: u64,
    pub(crate) kills: u64,
    /// Whether the cache is collected after every run that was cut off.
    pub(crate) collects_always: bool,
    /// Whether stages are about to write to what they are only to read.
    pub(crate) is_spoiling: bool,
    /// Whether something may have been spoilt that nobody has looked at since.
    pub(crate) is_doubtful: bool,
    /// The project as it was when a run last said that it had begun.
    pub(crate) begun: Option<Project>,
    /// What happened, in short.
    pub(crate) story: Vec<String>,
    _folder: TempDir,
}

/// Goes through the case with this seed; says how many runs that were.
pub(crate) fn case(seed: u64) -> Result<u64, String> {
    go_through(seed, false)
}

/// As [`case`], with runs that are cut off in every way, and a collection after each.
pub(crate) fn collections(seed: u64) -> Result<u64, String> {
    go_through(seed, true)
}

fn go_through(seed: u64, collects_always: bool) -> Result<u64, String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let (home, cache) = (root.join("project"), root.join("cache"));
    let place = ProjectDir { folder: home, cache, clock: Clock::Real, environment: RunEnvironment::default() };
    std::fs::create_dir(&place.folder).unwrap();
    let mut rng = Rng::with_seed(seed);
    let mut case = Case {
        project: edits::project(&mut rng, SIZE),
        rng,
        place,
        earlier: Vec::new(),
        known: HashSet::new(),
        maybe: HashSet::new(),
        learned: HashMap::new(),
        runs: 0,
        kills: 0,
        collects_always,
        is_spoiling: false,
        is_doubtful: false,
        begun: None,
        story: Vec::new(),
        _folder: folder,
    };
    let outcome = (0..5).try_for_each(|_| case.step()).and_then(|()| case.end());
    super::KILLS.fetch_add(case.kills, std::sync::atomic::Ordering::Relaxed);
    outcome
        .map(|()| case.runs)
        .map_err(|problem| format!("{problem}\n\nsteps: {:#?}\n\n{}", case.story, case.project.yaml(&[])))
}

impl Case {
    fn step(&mut self) -> Result<(), String> {
        let before = self.project.clone();
        if self.rng.u32(0..5) == 0 && !self.earlier.is_empty() {
            let at = self.rng.usize(0..self.earlier.len());
            self.project = self.earlier[at].clone();
        } else {
            self.earlier.push(self.project.clone());
            for _ in 0..self.rng.u32(0..4) {
                self.story.push(edits::edit(&mut self.project, &mut self.rng, SIZE, false).to_owned());
            }
        }
        if let Err(reason) = wire(&self.project) {
            return self.refused(&reason, before);
        }
        let sort = self.rng.u32(if self.collects_always { 18..26 } else { 0..18 });
        self.story.push(format!("sort {sort}"));
        match sort {
            18..23 => self.killed(),
            23 => self.stopping_at_failures(),
            24 => self.targeted(),
            25.. => self.spoilt(),
            14.. => self.spoilt(),
            0..5 => self.killed(),
            5 => self.changed_under_it(),
            6 | 7 => self.failing(),
            8 => self.stopping_at_failures(),
            9 => self.forced(),
            10 => self.targeted(),
            11 => self.collected(),
            12 => self.rotten(),
            _ => self.whole().map(drop),
        }
    }

    pub(crate) fn request(&mut self) -> Request {
        Request::new(&mut self.rng, &self.project)
    }

    pub(crate) fn start(&mut self, request: &Request, broken: &Broken) -> Going {
        self.place.write(&self.project, broken);
        self.place.clock = self.place.clock.jump(&mut self.rng);
        self.place.environment = RunEnvironment::any(&mut self.rng);
        // A sandbox keeps stages from writing to what they are only to read.
        self.place.environment.is_sandboxed &= !self.is_spoiling;
        self.runs += 1;
        let ProjectDir { clock, environment, .. } = &self.place;
        self.story.push(format!("run, broken {:?}, {clock:?}, {environment:?}", broken.keys()));
        self.place.start(&self.project, request)
    }

    /// Waits for the end of a run.
    pub(crate) fn end_of(&mut self, going: Going) -> Ran {
        let ran = going.end();
        if ran.said.contains("run_started") {
            self.begun = Some(self.project.clone());
        }
        ran
    }

    fn run(&mut self, request: &Request, broken: &Broken) -> Ran {
        let going = self.start(request, broken);
        self.end_of(going)
    }

    /// What may not be is refused before anything runs, and the user takes it back.
    fn refused(&mut self, reason: &str, before: Project) -> Result<(), String> {
        let request = self.request();
        let ran = self.run(&request, &Broken::new());
        if ran.code != Some(2) || !ran.started.is_empty() {
            return Err(format!("it was not refused ({reason}):\n{}", ran.said));
        }
        self.project = before;
        Ok(())
    }

    /// What the model says, once it knows from `ran` what was there of all that may have been, and what the built-in kinds made
    /// as far as they were brought up to date.
    pub(crate) fn computed(&mut self, ran: &Ran, fails: &dyn Fn(u32) -> bool) -> Result<Computation, String> {
        self.computed_with(ran, fails, &|_, _| false, false, &HashSet::new())
    }

    /// As [`Case::computed`], where some work `changes` its inputs and what was known is `lost`; `regardless` of what fails.
    pub(crate) fn computed_with(
        &mut self,
        ran: &Ran,
        fails: &dyn Fn(u32) -> bool,
        changes: &dyn Fn(u32, &Made) -> bool,
        regardless: bool,
        lost: &HashSet<Key>,
    ) -> Result<Computation, String> {
        loop {
            let learned = &self.learned;
            // Only lines can be made to fail.
            let fails = |key: &Key, word: u32| key.starts_with(GUARD) && fails(word);
            let changes = |key: &Key, word: u32, input: &Made| key.starts_with(GUARD) && changes(word, input);
            let built_in = |key: &Key, _: &Work, _, _: &[u8]| learned.get(key).cloned();
            let world = World { fails: &fails, changes: &changes, regardless, built_in: &built_in };
            let known = self.known.difference(lost).cloned().collect();
            let computation = compute(&self.project, &known, &world)?;
            let executed = computation.keys_of(&ran.started);
            let found = computation
                .keys_of(&ran.current)
                .into_iter()
                .find(|key| self.maybe.contains(key) && !self.known.contains(key) && !executed.contains(key));
            if let Some(key) = found {
                self.known.insert(key);
                continue;
            }
            let unknown = computation.instances.iter().find(|instance| {
                let is_current = !self.is_command(instance) && ran.current.contains(&instance.name);
                is_current && instance.key.as_ref().is_some_and(|key| !self.learned.contains_key(key))
            });
            let Some(instance) = unknown.filter(|_| ran.has_published()) else { return Ok(computation) };
            let Some(made) = self.place.result(&self.project, instance) else { return Ok(computation) };
            self.learned.extend(instance.key.clone().map(|key| (key, made.bytes().to_vec())));
        }
    }

    /// Whether an instance is a line.
    pub(crate) fn is_command(&self, instance: &Computed) -> bool {
        matches!(self.project.stages[instance.stage].work, Work::Command { .. })
    }

    /// A run that goes through. Exactly what is missing is done; says what that was.
    pub(crate) fn whole(&mut self) -> Result<HashSet<Key>, String> {
        self.whole_after(&HashSet::new(), &HashSet::new())
    }

    /// As [`Case::whole`], after runs that were cut off: `acknowledged` was said to be finished there, `begun` may be.
    pub(crate) fn whole_after(
        &mut self,
        acknowledged: &HashSet<String>,
        begun: &HashSet<String>,
    ) -> Result<HashSet<Key>, String> {
        let request = self.request();
        let ran = self.run(&request, &Broken::new());
        let computation = self.computed(&ran, &|_| false)?;
        self.is_right(&computation, &ran, 0)?;
        let (acknowledged, begun) = (computation.keys_of(acknowledged), computation.keys_of(begun));
        let executed = computation.keys_of(&ran.started);
        let needed = computation.needed(&computation.needed_by(&[]), &self.known);
        if ran.started.len() != executed.len() {
            return Err(format!("the same work was done twice: {:?}\n{}", ran.started, ran.said));
        }
        if let Some(key) = executed.iter().find(|key| !needed.contains(*key) || acknowledged.contains(*key)) {
            return Err(format!("done again, though it was there: {key}\n{}", ran.said));
        }
        let may_be_there = |key: &Key| begun.contains(key) || self.maybe.contains(key);
        if let Some(key) = needed.iter().find(|key| !executed.contains(*key) && !may_be_there(key)) {
            return Err(format!("not done: {key}\n{}", ran.said));
        }
        self.known.extend(needed);
        Ok(executed)
    }

    /// What is said is true, and results hold what they should.
    fn is_right(&self, computation: &Computation, ran: &Ran, code: i32) -> Result<(), String> {
        if ran.code != Some(code) {
            return Err(format!("it ended with {:?} instead of {code}:\n{}", ran.code, ran.said));
        }
        let holds = self.place.holds(&self.project, computation, |_| true);
        holds.map_err(|problem| format!("{problem}\n{}", ran.said))
    }

    /// Runs that are killed or interrupted, or whose stages are killed, one after the other, and then one that goes through.
    fn killed(&mut self) -> Result<(), String> {
        let (mut acknowledged, mut begun) = (HashSet::new(), HashSet::new());
        for _ in 0..self.rng.u32(1..5) {
            let request = self.request();
            // Every other time some stages are killed that have saved state.
            let pausing = if self.runs.is_multiple_of(2) { vec![] } else { vec![0, 1] };
            let mut going = self.start(&request, &pausing.iter().map(|word| (*word, format!("{PAUSE}\n"))).collect());
            going.hear(self.rng.u32(0..12));
            std::thread::sleep(Duration::from_micros(self.rng.u64(0..15_000)));
            match self.rng.u32(0..8) {
                0..3 => self.kills += u64::from(going.kill_a_child(&mut self.rng)),
                3 => going.interrupt(),
                _ => {
                    going.kill();
                    self.kills += 1;
                }
            }
            let ran = self.end_of(going);
            if let Some(again) = ran.started.iter().find(|name| acknowledged.contains(*name)) {
                return Err(format!("`{again}` was done again, though it was said to be finished\n{}", ran.said));
            }
            acknowledged.extend(ran.finished);
            begun.extend(ran.started);
            self.perhaps_collected()?;
        }
        self.whole_after(&acknowledged, &begun).map(drop)
    }

    /// An input file is changed while stages run, perhaps changed back at once, and changed back later.
    fn changed_under_it(&mut self) -> Result<(), String> {
        let before = self.project.clone();
        let request = self.request();
        let mut going = self.start(&request, &Broken::new());
        going.hear(self.rng.u32(1..6));
        let all = ["data/a.txt", "data/b.txt", "c.txt", CONTENT[0], CONTENT[1]];
        let path = all[self.rng.usize(0..all.len())];
        let content = format!("changed {}\n", self.rng.u32(0..3));
        // In place, so that a stage that has the file open sees it too.
        std::fs::write(self.place.folder.join(path), &content).unwrap();
        if self.rng.bool() {
            std::thread::sleep(Duration::from_micros(self.rng.u64(0..5_000)));
            std::fs::write(self.place.folder.join(path), &before.files[path]).unwrap();
        } else {
            self.project.files.insert(path.to_owned(), content);
        }
        self.end_of(going);
        for project in [self.project.clone(), before] {
            self.project = project;
            let request = self.request();
            let ran = self.run(&request, &Broken::new());
            let computation = self.computed(&ran, &|_| false)?;
            self.is_right(&computation, &ran, 0)?;
            self.known.extend(computation.instances.iter().filter_map(|instance| instance.key.clone()));
        }
        Ok(())
    }

    /// Work that fails for good, in every way there is, and work that fails at its first attempt; says which fails in the end.
    fn broken(&mut self) -> (Broken, impl Fn(u32) -> bool + use<>) {
        let mut broken = Broken::new();
        let (mut fail, mut hesitate) = (HashSet::new(), HashSet::new());
        for _ in 0..3 {
            let word = self.rng.u32(0..4);
            let line = match self.rng.u32(0..10) {
                0..3 => "exit 3",
                3..5 => {
                    "mkdir -p made.d/sub; echo half > made.d/sub/half; echo half | tee out.txt > second.txt; exit 1"
                }
                5 => "kill -9 $$",
                6 if self.project.retries == 0 => {
                    self.project.timeout = 3;
                    "sleep 1000"
                }
                9 => PAUSE,
                _ => "mkdir \"$ATHANOR_PROJECT/broken/tried-$ATHANOR_STAGE\" 2> /dev/null && exit 1; true",
            };
            broken.insert(word, format!("{line}\n"));
            fail.remove(&word);
            hesitate.remove(&word);
            if line.starts_with("mkdir \"") {
                hesitate.insert(word);
            } else if line != PAUSE {
                fail.insert(word);
            }
        }
        let is_tried_again = self.project.retries > 0;
        (broken, move |word| fail.contains(&word) || hesitate.contains(&word) && !is_tried_again)
    }

    /// A run in which some work fails, and everything else is done.
    fn failing(&mut self) -> Result<(), String> {
        let timeout = self.project.timeout;
        let (broken, fails) = self.broken();
        let request = self.request();
        let ran = self.run(&request, &broken);
        let computation = self.computed(&ran, &fails)?;
        let all_well = computation.instances.iter().all(|instance| instance.contents.is_some());
        self.is_right(&computation, &ran, i32::from(!all_well))?;
        self.is_needed(&computation, &ran)?;
        let executed = computation.keys_of(&ran.started);
        let done = computation.instances.iter().filter(|instance| instance.contents.is_some());
        let done: HashSet<Key> = done.filter_map(|instance| instance.key.clone()).collect();
        let is_there = |key: &&Key| self.known.contains(*key) || self.maybe.contains(*key);
        if let Some(key) = done.iter().find(|key| !executed.contains(*key) && !is_there(key)) {
            return Err(format!("not done: {key}\n{}", ran.said));
        }
        self.known.extend(done);
        self.project.timeout = timeout;
        Ok(())
    }

    /// Nothing was begun that was there or could not be begun.
    fn is_needed(&self, computation: &Computation, ran: &Ran) -> Result<(), String> {
        let by_name = computation.by_name();
        for name in &ran.started {
            let key = by_name[name.as_str()].key.as_ref();
            if key.is_none_or(|key| self.known.contains(key)) {
                return Err(format!("`{name}` need not or cannot be done\n{}", ran.said));
            }
        }
        Ok(())
    }

    /// A run that ends at the first failure.
    fn stopping_at_failures(&mut self) -> Result<(), String> {
        let timeout = self.project.timeout;
        let (broken, fails) = self.broken();
        let request = Request { keep_going: false, ..self.request() };
        let ran = self.run(&request, &broken);
        // What built-in kinds did not come to is found out in the next run.
        let computation = self.computed(&ran, &fails)?;
        self.is_needed(&computation, &ran)?;
        let fails =
            |key: &Key| computation.instances.iter().any(|one| one.key.as_ref() == Some(key) && one.contents.is_none());
        let failed = computation.keys_of(&ran.started).iter().any(fails);
        if ran.code != Some(i32::from(failed)) && ran.code != Some(1) {
            return Err(format!("it ended with {:?}:\n{}", ran.code, ran.said));
        }
        self.known.extend(computation.keys_of(&ran.finished));
        self.project.timeout = timeout;
        self.perhaps_collected()?;
        self.whole().map(drop)
    }

    /// A run that makes some instances again.
    fn forced(&mut self) -> Result<(), String> {
        let names: Vec<String> = wire(&self.project)?
            .iter()
            .map(|wired| self.project.instance_name(&self.project.stages[wired.stage], &wired.point))
            .collect();
        let force: Vec<String> = names.into_iter().filter(|_| self.rng.u32(0..3) == 0).collect();
        let request = Request { force: force.clone(), ..self.request() };
        let ran = self.run(&request, &Broken::new());
        let computation = self.computed(&ran, &|_| false)?;
        self.is_right(&computation, &ran, 0)?;
        let forced = computation.keys_of(&force.into_iter().collect());
        let needed = computation.needed(&computation.needed_by(&[]), &self.known);
        let executed = computation.keys_of(&ran.started);
        if let Some(key) = executed.iter().find(|key| !needed.contains(*key) && !forced.contains(*key)) {
            return Err(format!("done again, though nobody asked for it: {key}\n{}", ran.said));
        }
        let is_left = |key: &&Key| !executed.contains(*key) && !self.maybe.contains(*key);
        if let Some(key) = needed.iter().filter(is_left).chain(forced.difference(&executed)).next() {
            return Err(format!("not done: {key}\n{}", ran.said));
        }
        self.known.extend(needed);
        Ok(())
    }

    /// A run of one instance and what it reads from.
    fn targeted(&mut self) -> Result<(), String> {
        let wired = wire(&self.project)?;
        if wired.is_empty() {
            return Ok(());
        }
        let at = self.rng.usize(0..wired.len());
        let target = self.project.instance_name(&self.project.stages[wired[at].stage], &wired[at].point);
        let request = Request { targets: vec![target], ..self.request() };
        let ran = self.run(&request, &Broken::new());
        let computation = self.computed(&ran, &|_| false)?;
        let wanted = computation.needed_by(&[at]);
        let names: HashSet<String> = wanted.iter().map(|at| computation.instances[*at].name.clone()).collect();
        if let Some(name) = ran.started.iter().find(|name| !names.contains(*name)) {
            return Err(format!("`{name}` was not asked for\n{}", ran.said));
        }
        if ran.code != Some(0) {
            return Err(format!("it ended with {:?}:\n{}", ran.code, ran.said));
        }
        self.is_needed(&computation, &ran)?;
        self.place.holds(&self.project, &computation, |at| wanted.contains(&at))?;
        self.known.extend(computation.keys_of(&names));
        self.perhaps_collected()
    }

    /// At the end everything is made again from nothing, with another cache: the same bytes.
    fn end(&mut self) -> Result<(), String> {
        self.whole()?;
        let (_, mut said) = self.place.look_after(&["verify"]);
        if std::mem::take(&mut self.is_doubtful) {
            // What this project does not use was not looked at since.
            self.maybe.extend(self.known.drain());
            self.whole()?;
            said = self.place.look_after(&["verify"]).1;
        }
        if !said.contains(" 0 damaged") {
            return Err(format!("the cache is damaged: {said}"));
        }
        self.place.cache = self.place.cache.with_file_name("fresh");
        self.known.clear();
        self.maybe.clear();
        self.whole().map(drop)
    }
}
