//! How runs are asked for, and which work is to fail.

use std::collections::{HashMap, HashSet};

use fastrand::Rng;

use super::made::Made;
use super::pipeline::Project;
use super::spoils::Spoil;

/// How a run is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request {
    pub(crate) jobs: u32,
    pub(crate) keep_going: bool,
    /// Names of instances.
    pub(crate) targets: Vec<String>,
    pub(crate) force: Vec<String>,
    /// Variables that `--set` sets.
    pub(crate) set: Vec<usize>,
}

impl Request {
    /// Everything, with some number of jobs, and going on after failures.
    pub(crate) fn new(rng: &mut Rng, project: &Project) -> Request {
        let set = (0..project.vars.len()).filter(|_| rng.u32(0..4) == 0).collect();
        Request { jobs: rng.u32(1..9), keep_going: true, set, ..Request::default() }
    }
}

/// New work that fails, by its first word.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failing {
    /// For good.
    pub(crate) broken: HashSet<u32>,
    /// So many times.
    pub(crate) flaky: HashMap<u32, u32>,
    /// By what it does to the stored inputs that it is only to read.
    pub(crate) spoiling: HashMap<u32, Spoil>,
}

impl Failing {
    /// Whether the attempt with this number fails.
    pub(crate) fn fails(&self, word: u32, number: u32) -> bool {
        self.broken.contains(&word) || self.flaky.get(&word).is_some_and(|times| number <= *times)
    }

    /// Whether work with this first word changes what such an input holds.
    pub(crate) fn changes(&self, word: u32, input: &Made) -> bool {
        self.spoiling.get(&word).is_some_and(|spoil| spoil.changes(input))
    }
}
