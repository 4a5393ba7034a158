//! Execution of one run of a session, in three steps: prepare, execute, finish.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use athanor_cache::{Cache, CacheError};
use jiff::Timestamp;

use crate::events::{EVENTS_VERSION, EventSink, Outcome, ResultAction, RunEvent};
use crate::plan::InstanceId;
use crate::run::attempts::backend::KnownResults;
use crate::run::attempts::facts::RunFacts;
use crate::run::control::ControlListener;
use crate::run::engine::dispatcher::PassResult;
use crate::run::engine::message::Message;
use crate::run::engine::time_limit::TimeEnds;
use crate::run::executor::local::LocalExecutorConfig;
use crate::run::inputs::contents::Contents;
use crate::run::inputs::versions::Versions;
use crate::run::provenance::Provenance;
use crate::run::publish::{Publication, PublishRequest, Published};
use crate::run::state::history::{InstanceOutcome, RegisteredRun, RunId, RunLog};
use crate::run::state::journal::Journal;
use crate::run::state::last_run::{LastRun, PlanInputs, Summary};
use crate::run::state::outputs::{Outputs, UpToDate};

use super::durations::expected_durations;
use super::passes::Passes;
use super::remote::{Needed, finish_pushes, outputs_here, remote_use};
use super::room::scaled_down;
use super::run_summary::{RunEnd, add_summary};
use super::time::{limit, what_was_left};
use super::{InterruptOutcome, Interrupter, Project, RunError, RunReport, RunRequest, Session};

/// A run that has begun: its log is open and its input files are hashed.
pub(super) struct Execution<'s> {
    session: &'s Session<'s>,
    begun: Instant,
    run: RunId,
    log_folder: PathBuf,
    journal: Journal,
    /// The newest run before this one.
    previous: Option<RunId>,
    last_run: LastRun,
    contents: Contents,
    versions: Versions,
    sender: Sender<Message>,
    messages: Receiver<Message>,
}

/// A run whose instances are settled and whose results are published.
pub(super) struct Executed {
    pass: PassResult,
    publication: Publication,
    /// Registration in the history; `None` if there was nothing to do.
    registered: Option<RegisteredRun>,
    /// Provenance of its results.
    provenance: Option<Provenance>,
    /// Whether its time was limited.
    is_limited: bool,
}

impl<'s> Execution<'s> {
    /// Opens the log of a new run of the pipeline `file` and hashes its input files. `on_start` is given a way to interrupt the
    /// run before that.
    pub(super) fn prepare(
        session: &'s Session<'s>,
        file: String,
        view: Box<dyn EventSink>,
        on_start: impl FnOnce(Interrupter),
    ) -> Result<Execution<'s>, RunError> {
        let begun = Instant::now();
        let cache = &session.project.cache;
        let (sender, messages) = channel();
        let may_start = Arc::new(AtomicBool::new(false));
        on_start(interrupter(Arc::clone(cache), sender.clone(), Arc::clone(&may_start)));
        let versions = session.ask_versions()?;
        let last_run = session.last_run();
        let previous = session.history.last_run()?;
        let log = session.history.begin(cache, previous.as_ref(), Timestamp::now())?;
        let RunLog { run, folder, .. } = &log;
        let (run, log_folder) = (run.clone(), folder.clone());
        let mut journal = Journal::new(Box::new(log), view);
        journal.record(RunEvent::RunStarted {
            version: EVENTS_VERSION,
            run: run.to_string(),
            pipeline: session.plan.name.clone(),
            file,
            instances: session.wanted.len(),
        });
        let contents = {
            let journal = Mutex::new(&mut journal);
            session.read_sources(&|done, total| {
                journal.lock().unwrap_or_else(PoisonError::into_inner).hashing(done, total);
            })?
        };
        may_start.store(true, Ordering::SeqCst);
        Ok(Execution {
            session,
            begun,
            run,
            log_folder,
            journal,
            previous,
            last_run,
            contents,
            versions,
            sender,
            messages,
        })
    }

    /// Brings the instances of the session up to date, and publishes their results.
    pub(super) fn execute(&mut self, request: RunRequest) -> Result<Executed, CacheError> {
        let session = self.session;
        let cache = &session.project.cache;
        let is_outdated = !self.last_run.is_of(self.previous.as_ref());
        let settled = if is_outdated { vec![None; session.plan.instances.len()] } else { self.settled(&request.force) };
        let nothing_new = session.wanted.iter().all(|id| settled[id.index()].is_some());
        // From now on a collection spares whatever this run makes, should it be killed.
        let registered =
            if nothing_new { None } else { Some(session.history.register_run(&self.run, session.names())?) };
        let unsettled: Vec<InstanceId> =
            session.wanted.iter().copied().filter(|id| settled[id.index()].is_none()).collect();
        let _control = (!nothing_new).then(|| ControlListener::begin(&self.log_folder, self.sender.clone()));
        let remote = if nothing_new { None } else { remote_use(session.project, &self.sender) };
        let withheld = session.withheld(&unsettled, &self.contents);
        withheld.events().for_each(|event| self.journal.record(event));
        self.tell_scaled_down(&unsettled, &request);
        let incidents = cache.incident_mark();
        let run = self.run.to_string();
        // A history that cannot be read counts as none: only the order of work depends on it.
        let facts = Arc::new(facts_of(session.project, &request, registered.is_some()));
        let ledger = || facts.ledger(|| session.history.ledger().unwrap_or_default());
        let durations = || expected_durations(session.plan, ledger());
        let ends = request.stop_after.map(|given| TimeEnds::new(self.begun, given));
        let time_limit = ends.map(|ends| limit(ends, session.plan, ledger()));
        let cluster = request.cluster.map(|slurm| session.cluster_config(slurm, &request.program, &run));
        let passes = Passes {
            plan: session.plan,
            wanted: &session.wanted,
            cache,
            durations: &durations,
            capacity: request.capacity,
            cluster,
            local: local_config(session.project, request.program, request.within, &run),
            policy: Arc::new(session.project.access_policy()),
            keep_going: request.keep_going,
            fresh_state: request.fresh_state,
            withheld: withheld.by_instance,
            variables: session.project.variables.clone(),
            keep_scratch: request.keep_scratch,
            time_limit,
            run: run.clone(),
            logs: self.log_folder.clone(),
            facts: &facts,
            remote: remote.clone(),
            sender: self.sender.clone(),
            messages: &self.messages,
        };
        let inputs = || session.inputs(&self.contents, &self.versions);
        let needed = Needed { plan: session.plan, wanted: &session.wanted, ends };
        let known = KnownResults { last_run: &self.last_run, is_outdated, facts: &facts };
        let journal = &mut self.journal;
        let mut first = passes.first(inputs(), known, settled, request.force.clone(), journal)?;
        let lacks = remote.as_ref().is_some_and(|remote| needed.fetch(remote, &mut first, &self.messages, journal));
        let look_for_lost = lacks || cache.incident_mark() != incidents;
        let mut pass = passes.second(inputs(), first, request.force, look_for_lost, journal)?;
        let here = |pass: &PassResult| outputs_here(remote.as_deref(), &pass.outputs);
        let mut publication = publish(session, &here(&pass), &pass, &run);
        if publication.refused.iter().any(|refused| refused.lost) {
            pass = passes.second(inputs(), pass, HashSet::new(), true, journal)?;
            publication = merged(publication, publish(session, &here(&pass), &pass, &run));
        }
        if let Some(remote) = &remote {
            finish_pushes(remote, ends, &self.messages, journal);
        }
        let provenance = facts.provenance.clone();
        Ok(Executed { pass, publication, registered, provenance, is_limited: ends.is_some() })
    }

    /// Says which stages of `ids` get fewer CPUs than they ask for; a cluster has its own.
    fn tell_scaled_down(&mut self, ids: &[InstanceId], request: &RunRequest) {
        if request.cluster.is_none() {
            let events = scaled_down(self.session.plan, ids, &request.capacity);
            events.into_iter().for_each(|event| self.journal.record(event));
        }
    }

    /// Results that follow from the last run without a look at the cache, for instances that are not forced.
    fn settled(&self, force: &HashSet<InstanceId>) -> Vec<Option<UpToDate>> {
        let session = self.session;
        let order: Vec<InstanceId> = session.wanted.iter().copied().filter(|id| !force.contains(id)).collect();
        self.last_run.unchanged(&session.plan_key, &session.inputs(&self.contents, &self.versions), &order)
    }

    /// Reports how the run ended, and summarises it for later runs and for collections.
    pub(super) fn finish(mut self, executed: Executed) -> Result<RunReport, CacheError> {
        let Executed { pass, publication, registered, provenance, is_limited } = executed;
        let mut counts = pass.counts;
        counts.not_started = self.session.wanted.len().saturating_sub(counts.total());
        let outcome = if publication.refused.is_empty() { pass.outcome } else { Outcome::Failed };
        let is_logged = self.session.history.has_log(&self.run) || publication.is_news();
        report(publication, is_logged, &mut self.journal);
        if is_limited && pass.outcome == Outcome::Interrupted {
            let message = what_was_left(self.session.plan, &pass);
            self.journal.record(RunEvent::Notice { message });
        }
        let duration_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.journal.record(RunEvent::RunFinished { outcome, counts, duration_ms });
        self.journal.flush();
        if self.session.history.has_log(&self.run) {
            let run = self.run.clone();
            let ended = RunEnd { run, outcome, counts, duration_ms, provenance };
            // A disk that refuses it costs a line of the list of runs.
            let _ = add_summary(self.session, &pass, ended);
        }
        self.summarise(&pass, registered)?;
        Ok(RunReport { outcome, counts, run: self.run })
    }

    fn summarise(&self, pass: &PassResult, registered: Option<RegisteredRun>) -> Result<(), CacheError> {
        let Session { history, snapshots, plan_key, project, .. } = self.session;
        // A plan without instances has nothing new either, and uses no more what the one before used.
        let nothing_new = registered.is_none() && self.last_run.is_for(plan_key);
        if nothing_new && self.last_run.list().is_some_and(|list| history.is_listed(list)) {
            self.last_run.note_record_folders(snapshots, &project.cache);
            return Ok(());
        }
        let settled = pass.fingerprints.iter().zip(&pass.outputs);
        let outcomes = self.session.names().zip(settled.clone()).map(|(name, (fingerprint, outputs))| {
            InstanceOutcome { name, fingerprint: *fingerprint, is_done: outputs.is_some() }
        });
        let list = history.record_usage(&self.run, registered, &outcomes.collect::<Vec<_>>())?;
        let logged = history.has_log(&self.run).then(|| self.run.clone());
        if let Some(run) = &logged {
            history.update_ledger(run)?;
        }
        let results = (0..).map(InstanceId).zip(settled);
        let results = results.filter_map(|(id, (fingerprint, outputs))| Some((id, (*fingerprint)?, outputs.as_ref()?)));
        let summary = Summary { last_run: logged.or_else(|| self.previous.clone()), list };
        let inputs = PlanInputs { plan_key: *plan_key, inputs: &self.session.inputs(&self.contents, &self.versions) };
        self.last_run.write(snapshots, &project.cache, summary, inputs, results);
        Ok(())
    }
}

/// Configuration of the processes of the run called `run`.
fn local_config(project: &Project, program: PathBuf, within: String, run: &str) -> LocalExecutorConfig {
    LocalExecutorConfig { program, mark: mark_of(run), within, log_limit: project.log_limit }
}

/// Mark of the processes of a run: runs of other caches may have the same name, and none may end another's processes.
fn mark_of(run: &str) -> String {
    format!("{run}.{}.{}", std::process::id(), Timestamp::now().as_nanosecond())
}

/// Facts of a run for the records of its results, if it `makes` any.
fn facts_of(project: &Project, request: &RunRequest, makes: bool) -> RunFacts {
    RunFacts::new(makes.then(|| Provenance::gather(&project.folder, &request.capacity)))
}

/// Passes interrupts on to a run. Until it `may_start`, hashing can take long and nobody receives messages.
fn interrupter(cache: Arc<Cache>, run: Sender<Message>, may_start: Arc<AtomicBool>) -> Interrupter {
    Box::new(move || {
        if may_start.load(Ordering::SeqCst) {
            // A run that has ended needs no interrupt.
            let _ = run.send(Message::Interrupt);
            return InterruptOutcome::Stopping;
        }
        // Digests that are not remembered are computed again.
        let _ = cache.flush_stat_index();
        InterruptOutcome::NothingStarted
    })
}

fn publish(session: &Session<'_>, outputs: &[Option<Outputs>], pass: &PassResult, run: &str) -> Publication {
    let Project { folder, cache, results, .. } = session.project;
    let (plan, history) = (session.plan, &session.history);
    let (fingerprints, has_failed) = (pass.fingerprints.as_slice(), pass.outcome == Outcome::Failed);
    let request = PublishRequest { plan, cache, history, project: folder, results, run, fingerprints, has_failed };
    request.publish(|id| outputs[id.index()].as_deref())
}

/// Outcome of publishing a second time, after lost results were made again.
fn merged(first: Publication, mut second: Publication) -> Publication {
    let done: HashMap<String, Published> =
        first.published.iter().cloned().map(|published| (published.path.clone(), published)).collect();
    for published in &mut second.published {
        if let Some(Published { action, aside, .. }) = done.get(&published.path)
            && published.action == ResultAction::Unchanged
        {
            (published.action, published.aside) = (*action, aside.clone());
        }
    }
    second.notices = first.notices;
    second
}

/// Reports what was done with each result. A notice alone makes no log of a run that has none.
fn report(publication: Publication, is_logged: bool, journal: &mut Journal) {
    for event in publication.into_events() {
        let is_old = match &event {
            RunEvent::Result { action, .. } => *action == ResultAction::Unchanged,
            RunEvent::Notice { .. } => !is_logged,
            _ => false,
        };
        if is_old { journal.show(event) } else { journal.record(event) }
    }
}
