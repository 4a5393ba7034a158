//! Eight processes on one cache: half of them of one project, in folders of their own or in the same, half of others; some are
//! killed, and of some a stage.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;

use super::KILLS;
use super::clock::Clock;
use super::edits;
use super::model::{Computation, Key, World, compute};
use super::pipeline::{Project, Work};
use super::program::SIZE;
use super::project_dir::{Broken, Going, ProjectDir, Ran, RunEnvironment};
use super::request::Request;
use super::scale::Size;

/// A project of commands alone, whose bytes the model knows beforehand.
fn commands(rng: &mut Rng) -> Project {
    edits::project(rng, Size { built_in: 0, ..SIZE })
}

/// Goes through the case with this seed; says how many runs that were.
pub(crate) fn case(seed: u64) -> Result<u64, String> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let mut rng = Rng::with_seed(seed);
    let (same, others) = (commands(&mut rng), [(); 4].map(|()| commands(&mut rng)));
    let projects: Vec<&Project> = (0..4).map(|_| &same).chain(&others).collect();
    let together = rng.bool();
    let place = |number: usize| {
        let folder = if together && number < 4 { 0 } else { number };
        ProjectDir {
            folder: root.join(folder.to_string()),
            cache: root.join("cache"),
            clock: Clock::Real,
            environment: RunEnvironment::default(),
        }
    };
    let places: Vec<ProjectDir> = (0..projects.len()).map(place).collect();
    for (place, project) in places.iter().zip(&projects) {
        std::fs::create_dir_all(&place.folder).unwrap();
        place.write(project, &Broken::new());
    }
    let request = Request { jobs: 2, keep_going: true, ..Request::default() };
    let mut picked = || (0..2).map(|_| rng.usize(0..projects.len())).collect::<BTreeSet<usize>>();
    let (killed, hurt) = (picked(), picked());
    let mut going: Vec<_> =
        places.iter().zip(&projects).map(|(place, project)| place.start(project, &request)).collect();
    for at in killed.union(&hurt) {
        std::thread::sleep(Duration::from_micros(rng.u64(0..20_000)));
        if killed.contains(at) {
            going[*at].kill();
            KILLS.fetch_add(1, Ordering::Relaxed);
        } else if going[*at].kill_a_child(&mut rng) {
            KILLS.fetch_add(1, Ordering::Relaxed);
        }
    }
    let ran: Vec<Ran> = going.into_iter().map(Going::end).collect();
    // Who was killed takes its claims with it: the next run of the same project waits for nobody.
    let once_more: Vec<usize> = killed.union(&hurt).copied().collect();
    let again: Vec<Ran> = once_more.iter().map(|at| places[*at].start(projects[*at], &request).end()).collect();

    let mut work = WorkDone::default();
    let runs = ran.iter().enumerate().chain(once_more.iter().copied().zip(&again));
    for (number, (at, ran)) in runs.enumerate() {
        let first = number < projects.len();
        let was_killed =
            first && (killed.contains(&at) && ran.code.is_none() || hurt.contains(&at) && ran.code == Some(1));
        if !was_killed && ran.code != Some(0) {
            return Err(format!("run {number} ended with {:?}:\n{}", ran.code, ran.said));
        }
        let computation = computation(projects[at])?;
        work.add(&computation, ran, was_killed);
        if !was_killed {
            places[at].holds(projects[at], &computation, |_| true)?;
        }
    }
    work.check()?;
    for arguments in [["verify"], ["gc"]] {
        let (code, said) = places[0].look_after(&arguments);
        if code != Some(0) {
            return Err(format!("{arguments:?}: {said}"));
        }
    }
    Ok((ran.len() + again.len()) as u64)
}

/// The model's computation of a project in which nothing fails.
fn computation(project: &Project) -> Result<Computation, String> {
    let world = World {
        fails: &|_, _| false,
        changes: &|_, _, _| false,
        regardless: false,
        built_in: &|_, _: &Work, _, _| None,
    };
    compute(project, &HashSet::new(), &world)
}

/// Starts of each piece of work, over all runs.
#[derive(Default)]
struct WorkDone {
    times: HashMap<Key, usize>,
    /// Of these, starts in runs that were killed before the work was finished.
    in_flight: HashMap<Key, usize>,
}

impl WorkDone {
    fn add(&mut self, computation: &Computation, ran: &Ran, was_killed: bool) {
        for instance in &computation.instances {
            let Some(key) = &instance.key else { continue };
            if !ran.started.contains(&instance.name) {
                continue;
            }
            *self.times.entry(key.clone()).or_default() += 1;
            if was_killed && !ran.finished.contains(&instance.name) {
                *self.in_flight.entry(key.clone()).or_default() += 1;
            }
        }
    }

    /// Fails where work was done again that nobody had to do again.
    fn check(&self) -> Result<(), String> {
        for (key, times) in &self.times {
            let most = 1 + self.in_flight.get(key).copied().unwrap_or(0);
            if *times > most {
                return Err(format!("done {times} times, where {most} are allowed: {key}"));
            }
        }
        Ok(())
    }
}
