//! Transfers between the cache and a remote one: all results of a session, or those of its targets.

use std::time::Duration;

use athanor_cache::{ActionRecord, CacheError, Digest, Lookup, PlacedState};
use athanor_remote::{PushOptions, PushReport, Remote, RemoteError, RemoteResult, Transfer};

use crate::plan::InstanceId;
use crate::run::inputs::resolve::Inputs;
use crate::run::remote::{RemoteConfig, open, required};
use crate::run::state::outputs::Outputs;

use super::{RunError, Session};

/// Interval at which progress is told.
const TELL: Duration = Duration::from_millis(50);

/// Outcome of a push.
pub(crate) struct Pushed {
    pub report: PushReport,
    /// Number of instances that are not up to date.
    pub skipped: usize,
    /// Number of instances whose state was pushed.
    pub states: usize,
    /// Names of instances whose state was not, each with the reason.
    pub failures: Vec<(String, RemoteError)>,
}

/// Outcome of a pull.
#[derive(Default)]
pub(crate) struct Pulled {
    /// Number of results that were fetched.
    pub pulled: usize,
    /// Number of results that were here.
    pub here: usize,
    /// Bytes that were fetched.
    pub fetched: u64,
    /// Names of instances whose results are not there.
    pub missing: Vec<String>,
    /// Number of instances that read from these.
    pub waiting: usize,
    /// Names of instances whose results did not come, each with the reason.
    pub failures: Vec<(String, RemoteError)>,
    /// Number of instances whose state was fetched.
    pub states: usize,
    /// Number of links of these that are missing, since the cache's file system has none.
    pub links_left_out: usize,
}

/// Known results of a session.
struct Survey {
    outputs: Vec<Option<Outputs>>,
    /// Results that are here.
    here: Vec<(InstanceId, ActionRecord)>,
    /// Results that are elsewhere.
    elsewhere: Vec<(InstanceId, RemoteResult)>,
    /// Instances whose results are nowhere, with their fingerprints.
    nowhere: Vec<(InstanceId, Digest)>,
    /// Instances whose results elsewhere are damaged, and how.
    damaged: Vec<(InstanceId, RemoteError)>,
}

impl Session<'_> {
    /// Puts results that are up to date into a remote cache. `tell` gets the bytes that were sent, and that are to be sent.
    pub(crate) fn push(
        &self,
        config: &RemoteConfig,
        (unfinished, again): (bool, bool),
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<Pushed, RunError> {
        let remote = open(config)?;
        let cache = &self.project.cache;
        // A read-only cache has nobody who collects in it.
        let _use = if cache.is_read_only() { None } else { Some(cache.use_shared()?) };
        let survey = self.survey(None)?;
        let skipped = self.wanted.len() - survey.here.len();
        let records = survey.here.into_iter().map(|(_, record)| record).collect();
        let options = PushOptions { logs: config.push_logs, again };
        let transfer = Transfer::default();
        let report = watch(&transfer, tell, |transfer| remote.push(cache, records, options, transfer))?;
        let mut pushed = Pushed { report, skipped, states: 0, failures: Vec::new() };
        if unfinished {
            for (id, fingerprint) in &survey.nowhere {
                match remote.push_state(cache, fingerprint, &transfer) {
                    Ok(was_here) => pushed.states += usize::from(was_here),
                    Err(error) => pushed.failures.push((self.plan.instances[id.index()].name.clone(), error)),
                }
            }
        }
        Ok(pushed)
    }

    /// Fetches results of `targets`, or all if there are none, as far as a remote cache has them. Of what they read, only records
    /// are asked for.
    pub(crate) fn pull(
        &self,
        config: &RemoteConfig,
        targets: &[InstanceId],
        unfinished: bool,
        tell: &mut dyn FnMut(u64, u64),
    ) -> Result<Pulled, RunError> {
        let remote = open(config)?;
        let cache = &self.project.cache;
        let _use = cache.use_shared()?;
        let survey = self.survey(Some(&remote))?;
        let is_wanted = |id: &InstanceId| targets.is_empty() || targets.contains(id);
        let name = |id: &InstanceId| self.plan.instances[id.index()].name.clone();
        let wanted: Vec<&(InstanceId, RemoteResult)> =
            survey.elsewhere.iter().filter(|(id, _)| is_wanted(id)).collect();
        let results: Vec<&RemoteResult> = wanted.iter().map(|(_, result)| result).collect();
        let transfer = Transfer::default();
        let outcomes = watch(&transfer, tell, |transfer| remote.pull_all(cache, &results, transfer))?;
        let mut pulled = Pulled { fetched: transfer.done(), ..Pulled::default() };
        for ((id, _), outcome) in wanted.iter().zip(outcomes) {
            match outcome {
                Ok(()) => pulled.pulled += 1,
                Err(error) => pulled.failures.push((name(id), error)),
            }
        }
        if unfinished {
            for (id, fingerprint) in survey.nowhere.iter().filter(|(id, _)| is_wanted(id)) {
                match remote.pull_state(cache, fingerprint, &transfer) {
                    Ok(None) => {}
                    Ok(Some(PlacedState { links_left_out })) => {
                        pulled.states += 1;
                        pulled.links_left_out += links_left_out;
                    }
                    Err(error) => pulled.failures.push((name(id), error)),
                }
            }
        }
        pulled.here = survey.here.iter().filter(|(id, _)| is_wanted(id)).count();
        pulled.missing = survey.nowhere.iter().map(|(id, _)| name(id)).collect();
        let known = survey.outputs.iter().flatten().count() + survey.nowhere.len() + survey.damaged.len();
        pulled.waiting = self.wanted.len() - known;
        pulled.failures.extend(survey.damaged.into_iter().map(|(id, error)| (name(&id), error)));
        Ok(pulled)
    }

    /// Looks for the results of all instances of the session, here and, with `remote`, there.
    fn survey(&self, remote: Option<&Remote>) -> Result<Survey, RunError> {
        let contents = self.read_sources(&|_, _| {})?;
        let versions = if remote.is_some() { self.ask_versions()? } else { self.last_versions() };
        let inputs = self.inputs(&contents, &versions);
        let mut survey = Survey {
            outputs: vec![None; self.plan.instances.len()],
            here: Vec::new(),
            elsewhere: Vec::new(),
            nowhere: Vec::new(),
            damaged: Vec::new(),
        };
        let mut left = self.wanted.clone();
        loop {
            // All that wait for nothing are asked for at once.
            let is_ready =
                |id: &InstanceId| self.plan.producers(*id).all(|producer| survey.outputs[producer.index()].is_some());
            let (ready, later): (Vec<InstanceId>, Vec<InstanceId>) = left.into_iter().partition(is_ready);
            if ready.is_empty() {
                return Ok(survey);
            }
            left = later;
            let asked = self.look_here(&inputs, ready, &mut survey)?;
            let Some(remote) = remote else {
                survey.nowhere.extend(asked);
                continue;
            };
            let ports = |id: &InstanceId| required(&self.plan.instances[id.index()].outputs).collect();
            let questions: Vec<(Digest, Vec<&str>)> =
                asked.iter().map(|(id, fingerprint)| (*fingerprint, ports(id))).collect();
            for ((id, fingerprint), found) in asked.into_iter().zip(remote.find_all(&questions)?) {
                match found {
                    Err(error) => survey.damaged.push((id, error)),
                    Ok(Some(result)) => {
                        survey.outputs[id.index()] = Some(Outputs::from(result.record.outputs.as_slice()));
                        survey.elsewhere.push((id, result));
                    }
                    Ok(None) => survey.nowhere.push((id, fingerprint)),
                }
            }
        }
    }

    /// Looks for results of `ids` in the cache; returns those that are not there.
    fn look_here(
        &self,
        inputs: &Inputs<'_>,
        ids: Vec<InstanceId>,
        survey: &mut Survey,
    ) -> Result<Vec<(InstanceId, Digest)>, CacheError> {
        let mut absent = Vec::new();
        for id in ids {
            let outcome = |producer: InstanceId| survey.outputs[producer.index()].as_deref().unwrap_or_default();
            // One that cannot be resolved has no result.
            let Ok(fingerprint) = inputs.fingerprint(id, outcome) else { continue };
            match self.project.cache.lookup(&fingerprint)? {
                Lookup::Hit(record) => {
                    survey.outputs[id.index()] = Some(Outputs::from(record.outputs.as_slice()));
                    survey.here.push((id, record));
                }
                Lookup::Incomplete { .. } | Lookup::Miss => absent.push((id, fingerprint)),
            }
        }
        Ok(absent)
    }
}

/// Does a transfer on a thread of its own, and tells how far it is.
fn watch<T: Send>(
    transfer: &Transfer,
    tell: &mut dyn FnMut(u64, u64),
    work: impl FnOnce(&Transfer) -> Result<T, RemoteError> + Send,
) -> Result<T, RunError> {
    let outcome = std::thread::scope(|scope| {
        let worker = scope.spawn(|| work(transfer));
        while !worker.is_finished() {
            std::thread::sleep(TELL);
            tell(transfer.done(), transfer.total());
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    Ok(outcome?)
}
