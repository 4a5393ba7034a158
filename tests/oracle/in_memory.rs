//! One case in memory: a project, some edits, a run after each, and what has to be true of it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use athanor::events::Outcome;
use athanor_cache::Digest;
use fastrand::Rng;

use super::edits;
use super::made::Made;
use super::memory::{Shared, Store};
use super::model::{Computation, Key, World, compute};
use super::pipeline::{Project, Work};
use super::request::{Failing, Request};
use super::scale::Size;
use super::shell::pretend;
use super::simulation::{Cut, Prepared, Report, run};
use super::spoils::Spoil;
use super::wiring::wire;

const SIZE: Size = Size { stages: 6, instances: 14, built_in: 30 };

/// A case in progress.
pub struct Case {
    rng: Rng,
    pub store: Shared,
    pub project: Project,
    /// Earlier projects, to go back to.
    earlier: Vec<Project>,
    /// Work that is recorded.
    pub known: HashSet<Key>,
    /// Work and its fingerprint: the same for the same, and only for the same.
    pub fingerprints: HashMap<Key, Digest>,
    pub keys: HashMap<Digest, Key>,
    runs: u64,
    /// Whether another run goes on beside.
    pub is_concurrent: bool,
    story: Vec<String>,
}

/// Goes through the case with this seed; says how many runs that were.
pub fn case(seed: u64) -> Result<u64, String> {
    let mut rng = Rng::with_seed(seed);
    let project = edits::project(&mut rng, SIZE);
    let store = Rc::new(RefCell::new(Store::default()));
    let mut case = Case {
        rng,
        store,
        project,
        earlier: Vec::new(),
        known: HashSet::new(),
        fingerprints: HashMap::new(),
        keys: HashMap::new(),
        runs: 0,
        is_concurrent: false,
        story: Vec::new(),
    };
    for _ in 0..case.rng.u32(3..7) {
        if let Err(problem) = case.step() {
            let yaml = case.project.yaml(&[]);
            return Err(format!("{problem}\n\nsteps: {:#?}\n\n{yaml}\n{:?}", case.story, case.project.files));
        }
    }
    Ok(case.runs)
}

impl Case {
    fn step(&mut self) -> Result<(), String> {
        let before = self.project.clone();
        let what = self.edit();
        let sort = self.rng.u32(0..21);
        self.story.push(format!("{what}, sort {sort}"));
        if let Err(reason) = wire(&self.project) {
            return self.refused(&reason, before);
        }
        match sort {
            0 | 1 => self.cut_short(),
            2 => self.stopping_at_failures(),
            3 => self.forced(),
            4 => self.concurrent_processes(before),
            5 => {
                self.collect();
                self.plain()
            }
            6..9 => self.spoilt(None),
            10 => self.spoilt_while_concurrent(before),
            9 => {
                let at = self.rng.u32(0..12);
                let cut = if self.rng.bool() { Cut::Kill(at) } else { Cut::Interrupt(at) };
                self.spoilt(Some(cut))
            }
            _ => self.plain(),
        }
    }

    /// What may not be is refused, and the user takes it back.
    fn refused(&mut self, reason: &str, before: Project) -> Result<(), String> {
        let request = self.request();
        if Prepared::new(&self.project, request).is_ok() {
            return Err(format!("it was not refused: {reason}"));
        }
        self.project = before;
        Ok(())
    }

    /// Some results go, as a collection or a bad disk would have it.
    fn collect(&mut self) {
        let mut known: Vec<Key> = self.known.iter().cloned().collect();
        known.sort();
        for key in known.into_iter().filter(|_| self.rng.u32(0..3) == 0) {
            self.store.borrow_mut().records.remove(&self.fingerprints[&key]);
            self.known.remove(&key);
        }
    }

    fn edit(&mut self) -> String {
        if self.rng.u32(0..6) == 0 && !self.earlier.is_empty() {
            let at = self.rng.usize(0..self.earlier.len());
            self.project = self.earlier[at].clone();
            return "back to an earlier state".to_owned();
        }
        self.earlier.push(self.project.clone());
        let edits = self.rng.u32(0..3);
        let edits = (0..edits).map(|_| edits::edit(&mut self.project, &mut self.rng, SIZE, true));
        edits.collect::<Vec<_>>().join(", ")
    }

    fn request(&mut self) -> Request {
        Request::new(&mut self.rng, &self.project)
    }

    fn failing(&mut self) -> Failing {
        if self.rng.bool() {
            return Failing::default();
        }
        let broken = (0..self.rng.u32(0..3)).map(|_| self.rng.u32(0..4)).collect();
        let flaky = (0..self.rng.u32(0..3)).map(|_| (self.rng.u32(0..4), self.rng.u32(1..3))).collect();
        Failing { broken, flaky, ..Failing::default() }
    }

    /// What the model makes of the project.
    fn computed(&self, project: &Project, failing: &Failing) -> Result<Computation, String> {
        self.computed_with(project, failing, &self.known, false)
    }

    /// What the model makes of the project where `known` is recorded; `regardless` of what fails.
    pub fn computed_with(
        &self,
        project: &Project,
        failing: &Failing,
        known: &HashSet<Key>,
        regardless: bool,
    ) -> Result<Computation, String> {
        // What is tried again may succeed at last.
        let fails = |_: &Key, word: u32| failing.fails(word, project.retries + 1);
        let built_in = |key: &Key, work: &Work, number: u32, read: &[u8]| {
            let revision =
                if matches!(work, Work::Rows(_)) { project.revisions.rows } else { project.revisions.tables };
            Some(pretend(work, revision, seed_in(key), number, read))
        };
        let changes = |_: &Key, word: u32, input: &Made| failing.changes(word, input);
        compute(project, known, &World { fails: &fails, changes: &changes, regardless, built_in: &built_in })
    }

    fn simulate(&mut self, prepared: &[Prepared], failing: &Failing, cut: Option<Cut>) -> Result<Vec<Report>, String> {
        self.store.borrow_mut().begin(&self.project.files);
        self.runs += prepared.len() as u64;
        run(&mut self.rng, &self.store, prepared, failing, cut)
    }

    /// A run that goes through everything, with targets now and then, and failures.
    fn plain(&mut self) -> Result<(), String> {
        let failing = self.failing();
        let computation = self.computed(&self.project, &failing)?;
        let mut request = self.request();
        let mut targets = Vec::new();
        if self.rng.u32(0..5) == 0 && !computation.instances.is_empty() {
            targets.push(self.rng.usize(0..computation.instances.len()));
            request.targets = vec![computation.instances[targets[0]].name.clone()];
        }
        let prepared = [Prepared::new(&self.project, request)?];
        let reports = self.simulate(&prepared, &failing, None)?;
        let wanted = computation.needed_by(&targets);
        let needed = computation.needed(&wanted, &self.known);
        let executed = self.executed(&computation, &reports[0])?;
        for (key, times) in &executed {
            let same: Vec<_> = computation.instances.iter().filter(|one| one.key.as_ref() == Some(key)).collect();
            // Work that fails may be tried by every instance that is the same work.
            let most = if same[0].contents.is_some() { 1 } else { same.len() };
            if *times > most || !needed.contains(key) {
                return Err(format!("executed {times} times, where {most} were expected: {key}"));
            }
        }
        if let Some(key) = needed.iter().find(|key| !executed.contains_key(*key)) {
            return Err(format!("not executed: {key}"));
        }
        self.holds(&computation, &reports[0], &wanted, true)?;
        let all_well = wanted.iter().all(|at| computation.instances[*at].contents.is_some());
        let expected = if all_well { Outcome::UpToDate } else { Outcome::Failed };
        let outcome = reports[0].end.as_ref().map(|end| end.0);
        if outcome != Some(expected) {
            return Err(format!("the run ended as {outcome:?}, not {expected:?}"));
        }
        Ok(())
    }

    /// A run that is killed or interrupted.
    fn cut_short(&mut self) -> Result<(), String> {
        let failing = self.failing();
        let computation = self.computed(&self.project, &failing)?;
        let at = self.rng.u32(0..12);
        let cut = if self.rng.bool() { Cut::Kill(at) } else { Cut::Interrupt(at) };
        let request = self.request();
        let prepared = [Prepared::new(&self.project, request)?];
        let reports = self.simulate(&prepared, &failing, Some(cut))?;
        self.at_most_what_is_needed(&computation, &reports[0])
    }

    /// A run that ends at the first failure.
    fn stopping_at_failures(&mut self) -> Result<(), String> {
        let failing = self.failing();
        let computation = self.computed(&self.project, &failing)?;
        let request = Request { keep_going: false, ..self.request() };
        let prepared = [Prepared::new(&self.project, request)?];
        let reports = self.simulate(&prepared, &failing, None)?;
        self.at_most_what_is_needed(&computation, &reports[0])?;
        let outcome = reports[0].end.as_ref().map(|end| end.0);
        let all_well = computation.instances.iter().all(|instance| instance.contents.is_some());
        match (outcome, all_well) {
            (Some(Outcome::UpToDate), true) | (Some(Outcome::Failed), false) => Ok(()),
            other => Err(format!("(outcome, everything can succeed): {other:?}")),
        }
    }

    /// A run in which some stages write to what they are only to read; perhaps one that is cut short, or ends at the first
    /// failure.
    fn spoilt(&mut self, cut: Option<Cut>) -> Result<(), String> {
        let failing = self.spoiling();
        let keep_going = self.rng.u32(0..4) > 0;
        let request = Request { keep_going, ..self.request() };
        let prepared = [Prepared::new(&self.project, request)?];
        let reports = self.simulate(&prepared, &failing, cut)?;
        self.nothing_is_spoilt(&self.project.clone(), &failing, &reports[0], keep_going && cut.is_none())?;
        self.forget_lost();
        Ok(())
    }

    /// Work that fails, and work that writes to what it is only to read.
    fn spoiling(&mut self) -> Failing {
        let mut failing = self.failing();
        for _ in 0..self.rng.u32(1..3) {
            let spoil = [Spoil::Alter, Spoil::Alter, Spoil::Remove, Spoil::Add][self.rng.usize(0..4)];
            failing.spoiling.insert(self.rng.u32(0..4), spoil);
        }
        failing
    }

    /// Two runs side by side in which some stages write to what they are only to read.
    fn spoilt_while_concurrent(&mut self, before: Project) -> Result<(), String> {
        let other = Project { files: self.project.files.clone(), revisions: self.project.revisions, ..before };
        let failing = self.spoiling();
        let [one, two] = [self.request(), self.request()];
        let prepared = [Prepared::new(&self.project, one)?, Prepared::new(&other, two)?];
        let reports = self.simulate(&prepared, &failing, None)?;
        let known = self.known.clone();
        self.is_concurrent = true;
        for (project, report) in [self.project.clone(), other].iter().zip(&reports) {
            let more = std::mem::replace(&mut self.known, known.clone());
            self.nothing_is_spoilt(project, &failing, report, false)?;
            self.known.extend(more);
        }
        self.is_concurrent = false;
        self.forget_lost();
        Ok(())
    }

    /// A run that makes some instances again.
    fn forced(&mut self) -> Result<(), String> {
        let computation = self.computed(&self.project, &Failing::default())?;
        let forced: Vec<usize> = (0..computation.instances.len()).filter(|_| self.rng.u32(0..4) == 0).collect();
        let force = forced.iter().map(|at| computation.instances[*at].name.clone()).collect();
        let request = Request { force, ..self.request() };
        let prepared = [Prepared::new(&self.project, request)?];
        let reports = self.simulate(&prepared, &Failing::default(), None)?;
        let everything = computation.needed_by(&[]);
        let mut needed: HashMap<Key, usize> =
            computation.needed(&everything, &self.known).into_iter().map(|key| (key, 1)).collect();
        for key in forced.iter().filter_map(|at| computation.instances[*at].key.clone()) {
            *needed.entry(key).or_default() += 1;
        }
        let executed = self.executed(&computation, &reports[0])?;
        for (key, times) in &executed {
            let most = needed.get(key).copied().unwrap_or(0);
            if *times > most {
                return Err(format!("executed {times} times, at most {most} were expected: {key}"));
            }
        }
        if let Some(key) = needed.keys().find(|key| !executed.contains_key(*key)) {
            return Err(format!("not executed: {key}"));
        }
        self.holds(&computation, &reports[0], &everything, true)
    }

    /// Two runs side by side on one cache, of this project and of what it was before: nothing is done twice.
    fn concurrent_processes(&mut self, before: Project) -> Result<(), String> {
        let other = Project { files: self.project.files.clone(), revisions: self.project.revisions, ..before };
        let computations =
            [self.computed(&self.project, &Failing::default())?, self.computed(&other, &Failing::default())?];
        let requests = [self.request(), self.request()];
        let [one, two] = requests;
        let prepared = [Prepared::new(&self.project, one)?, Prepared::new(&other, two)?];
        let reports = self.simulate(&prepared, &Failing::default(), None)?;
        let mut needed = HashSet::new();
        let mut executed: HashMap<Key, usize> = HashMap::new();
        for (computation, report) in computations.iter().zip(&reports) {
            needed.extend(computation.needed(&computation.needed_by(&[]), &self.known));
            for (key, times) in self.executed(computation, report)? {
                *executed.entry(key).or_default() += times;
            }
        }
        if let Some((key, times)) = executed.iter().find(|(key, times)| **times > 1 || !needed.contains(*key)) {
            return Err(format!("executed {times} times by two runs: {key}"));
        }
        if let Some(key) = needed.iter().find(|key| !executed.contains_key(*key)) {
            return Err(format!("executed by neither run: {key}"));
        }
        for (computation, report) in computations.iter().zip(&reports) {
            self.holds(computation, report, &computation.needed_by(&[]), true)?;
        }
        Ok(())
    }
}

/// The seed that a description of work ends with, before its inputs.
fn seed_in(key: &Key) -> u32 {
    key.split(' ').nth(3).and_then(|word| word.parse().ok()).expect("built-in kinds are described by four words first")
}
