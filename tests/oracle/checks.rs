//! What has to be true of a run in memory.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use athanor::events::{Outcome, RunEvent};

use super::in_memory::Case;
use super::made::Made;
use super::model::{Computation, Computed, Key};
use super::pipeline::Project;
use super::request::Failing;
use super::shelf::digests;
use super::simulation::Report;

/// Beginnings of why a stage failed in a run whose inputs another run spoilt at the same time: each leader of the same work is held to the
/// first of them by itself.
const EXCUSES: [&str; 2] = ["It could not be made: ", "It is the same work as "];

impl Case {
    /// Checks of runs that do not come to everything: no more than what is needed was done, and what is said is true.
    pub(crate) fn at_most_what_is_needed(&mut self, computation: &Computation, report: &Report) -> Result<(), String> {
        let everything = computation.needed_by(&[]);
        let needed = computation.needed(&everything, &self.known);
        for (key, times) in self.executed(computation, report)? {
            let same: Vec<_> = computation.instances.iter().filter(|one| one.key.as_ref() == Some(&key)).collect();
            let most = if same[0].contents.is_some() { 1 } else { same.len() };
            if times > most || !needed.contains(&key) {
                return Err(format!("executed {times} times, where at most {most} were expected: {key}"));
            }
        }
        self.holds(computation, report, &everything, false)
    }

    /// How often which work was executed; checks on the way that fingerprints stand for work one to one.
    pub(crate) fn executed(
        &mut self,
        computation: &Computation,
        report: &Report,
    ) -> Result<HashMap<Key, usize>, String> {
        let by_name = computation.by_name();
        let mut executed = HashMap::new();
        for event in &report.events {
            let (instance, fingerprint, is_execution) = match event {
                RunEvent::Started { instance, fingerprint, attempt, .. } => (instance, fingerprint, *attempt == 1),
                RunEvent::Cached { instance, fingerprint } => (instance, fingerprint, false),
                _ => continue,
            };
            let computed = by_name.get(instance.as_str()).ok_or_else(|| format!("`{instance}` is no instance"))?;
            let key = computed.key.clone().ok_or_else(|| format!("`{instance}` cannot be begun"))?;
            let known = self.fingerprints.entry(Rc::clone(&key)).or_insert(*fingerprint);
            if *known != *fingerprint {
                return Err(format!("two fingerprints for the same work: {key}"));
            }
            let known = self.keys.entry(*fingerprint).or_insert_with(|| Rc::clone(&key));
            if *known != key {
                return Err(format!("one fingerprint for\n{known}\nand\n{key}"));
            }
            if is_execution {
                *executed.entry(key).or_default() += 1;
            }
        }
        Ok(executed)
    }

    /// What is said to be up to date holds what the model says; takes note of what is recorded now.
    pub(crate) fn holds(
        &mut self,
        computation: &Computation,
        report: &Report,
        wanted: &HashSet<usize>,
        all: bool,
    ) -> Result<(), String> {
        let by_name = computation.by_name();
        let finished = report.events.iter().filter_map(|event| match event {
            RunEvent::Finished { instance, .. } => Some(instance),
            _ => None,
        });
        if let Some(instance) = finished.clone().find(|instance| !report.recorded.contains(*instance)) {
            return Err(format!("`{instance}` is said to be finished and is not recorded"));
        }
        for instance in &report.recorded {
            let computed = by_name[instance.as_str()];
            if computed.contents.is_none() {
                return Err(format!("`{instance}` was recorded, but fails"));
            }
            self.known.extend(computed.key.clone());
        }
        let Some((_, contents)) = &report.end else { return Ok(()) };
        for (at, computed) in computation.instances.iter().enumerate() {
            let made = contents.get(&computed.name);
            match (&computed.contents, made) {
                (Some(expected), Some(made)) if **expected == *made => {}
                (None, None) => {}
                (_, None) if !all || !wanted.contains(&at) => {}
                (expected, made) => {
                    return Err(format!("`{}` holds {made:?} and should hold {expected:?}", computed.name));
                }
            }
        }
        Ok(())
    }

    /// Checks of a run in which stages wrote to what they were only to read: whatever is recorded or said to be up to date is
    /// right, nobody fails for what others did, and nothing is made again that was not touched. If the run went through
    /// (`whole`), all is done that can be.
    pub(crate) fn nothing_is_spoilt(
        &mut self,
        project: &Project,
        failing: &Failing,
        report: &Report,
        whole: bool,
    ) -> Result<(), String> {
        let right = self.computed_with(project, failing, &self.known, true)?;
        let by_name = right.by_name();
        let executed = self.executed(&right, report)?;
        let kept = self.known.iter().filter(|key| !executed.contains_key(*key)).cloned().collect();
        let possible = self.computed_with(project, failing, &kept, false)?;
        self.is_excusable(&right, &executed)?;
        for event in &report.events {
            if let RunEvent::Failed { instance, cause, retrying: false, .. } = event
                && !by_name[instance.as_str()].fails
                // In its second pass a run cannot mend what another one spoils, but says so, also of the same work elsewhere.
                && !(self.is_concurrent && EXCUSES.iter().any(|excuse| cause.starts_with(excuse)))
            {
                return Err(format!("`{instance}` failed for what others did: {cause}"));
            }
        }
        if let Some(instance) = report.recorded.iter().find(|instance| by_name[instance.as_str()].fails) {
            return Err(format!("`{instance}` was recorded, but fails"));
        }
        self.holds(&right, report, &HashSet::new(), false)?;
        if let Some((outcome, contents)) = report.end.as_ref().filter(|_| whole) {
            let is_missing = |one: &&Computed| one.contents.is_some() && !contents.contains_key(&one.name);
            if let Some(missing) = possible.instances.iter().find(is_missing) {
                return Err(format!("`{}` was not done", missing.name));
            }
            let all = contents.len() == right.instances.len();
            if all != (*outcome == Outcome::UpToDate) {
                return Err(format!("the run ended as {outcome:?} with {} instances up to date", contents.len()));
            }
        }
        Ok(())
    }

    /// Takes note of what was recorded and is lost.
    pub(crate) fn forget_lost(&mut self) {
        let lost: Vec<Key> = self.known.iter().filter(|key| !self.is_recorded(key)).cloned().collect();
        for key in lost {
            self.known.remove(&key);
            // As a collection would: otherwise it could be whole again in the middle of a run, once the same content is stored.
            self.store.borrow_mut().records.remove(&self.fingerprints[&key]);
        }
    }

    /// Takes note of what was lost and is whole again, since another result had the same content.
    pub(crate) fn remember_revived(&mut self) {
        let revived: Vec<Key> = self.fingerprints.keys().filter(|key| self.is_recorded(key)).cloned().collect();
        self.known.extend(revived);
    }

    /// Whether work is recorded and all of its result is there.
    pub(crate) fn is_recorded(&self, key: &Key) -> bool {
        self.fingerprints.get(key).is_some_and(|fingerprint| self.store.borrow().has(fingerprint))
    }

    /// Nothing was executed without need: only once what nobody touched, and again only what was lost.
    fn is_excusable(&self, right: &Computation, executed: &HashMap<Key, usize>) -> Result<(), String> {
        let store = self.store.borrow();
        let is_touched = |made: &Made| !digests(made).is_disjoint(store.shelf.spoilt());
        for (key, times) in executed {
            let same: Vec<_> = right.instances.iter().filter(|one| one.key.as_ref() == Some(key)).collect();
            let is_lost = same[0].contents.iter().any(|made| made.iter().any(is_touched));
            if self.known.contains(key) && !is_lost {
                return Err(format!("executed, though it is recorded and nobody touched it: {key}"));
            }
            let is_touched = is_lost || right.read_by(same[0]).any(is_touched);
            // In the first pass each of those that are the same work may be disturbed.
            let most = match (same[0].fails, is_touched) {
                (true, _) => same.len() * (1 + usize::from(is_touched)),
                (false, true) => same.len() + 1,
                (false, false) => 1,
            };
            if *times > most {
                return Err(format!("executed {times} times, where at most {most} were expected: {key}"));
            }
        }
        Ok(())
    }
}
