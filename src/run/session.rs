//! A project, a plan and the cache brought together: everything a command does with a pipeline starts here.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use athanor_cache::{Cache, CacheError, Digest};
use jiff::Timestamp;

use crate::events::{Counts, EventSink, Outcome, ResultAction, RunEvent};
use crate::language::{Diagnostic, Diagnostics};
use crate::plan::{InstanceId, Plan};
use crate::run::assess::{Known, Standing, assess};
use crate::run::dispatch::{Dispatched, Happening};
use crate::run::flights::Outputs;
use crate::run::history::{Announced, Ended, History, Ledger, RunId};
use crate::run::journal::Journal;
use crate::run::keep::Keep;
use crate::run::local::LocalSettings;
use crate::run::passes::Passes;
use crate::run::publish::{Publication, Published, Publishing, Refused, explain};
use crate::run::recall::{Recall, Settled};
use crate::run::resolve::Inputs;
use crate::run::resources::{Capacity, misfits};
use crate::run::sources::{self, Contents, Mentions};
use crate::settings::Settings;

/// A folder with pipelines, and the cache they use.
pub struct Project {
    /// The project folder, absolute.
    pub folder: PathBuf,
    /// The cache.
    pub cache: Arc<Cache>,
    /// The folder of all pipelines' results, absolute or relative to the project folder.
    pub results: PathBuf,
    /// Most bytes that are kept of what one stage prints.
    pub log_limit: u64,
}

impl Project {
    /// A project with the settings that are built in.
    pub fn new(folder: PathBuf, cache: Arc<Cache>) -> Project {
        let Settings { results, log_limit, .. } = Settings::default();
        Project { folder, cache, results: results.value, log_limit: log_limit.value.bytes() }
    }
}

/// Why a run could not be carried through, apart from stages that failed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Stages that no moment of the run has room for.
    #[error("{0}")]
    NeverFits(Box<Diagnostics>),
}

/// A plan in its project, ready to be looked at or run.
pub struct Session<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What it was compiled from.
    plan_key: Digest,
    pub(super) project: &'a Project,
    history: History,
    keep: Keep,
    pub(super) wanted: Vec<InstanceId>,
    mentions: Mentions,
}

/// How a run is to be carried out.
pub struct RunRequest {
    /// What it may use.
    pub capacity: Capacity,
    /// Whether to go on with what does not depend on a failed instance.
    pub keep_going: bool,
    /// Instances to make again.
    pub force: HashSet<InstanceId>,
    /// This program's binary.
    pub program: PathBuf,
    /// The pipeline file as given.
    pub file: String,
    /// The value of [`crate::run::ATTEMPT_VARIABLE`] in this process: empty if the run is not part of another one's stage.
    pub within: String,
}

/// What came of a run.
pub struct RunReport {
    /// How it ended.
    pub outcome: Outcome,
    /// How many instances ended how.
    pub counts: Counts,
}

/// Passes the user's wish to stop on to a run, from any thread.
pub type Interrupter = Box<dyn Fn() -> Heard + Send>;

/// What a wish to stop comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The run stops what it runs and then ends.
    Passed,
    /// No stage has been started yet, and what was hashed so far is remembered: the process may end at once.
    NothingRuns,
}

impl<'a> Session<'a> {
    /// `targets` and all they read from are what the session is about; no targets mean everything. The key of the plan covers
    /// all that it was compiled from.
    pub fn new(
        project: &'a Project,
        (plan, plan_key): (&'a Plan, Digest),
        file: &Path,
        profiles: &[String],
        targets: &[InstanceId],
    ) -> Result<Session<'a>, RunError> {
        project.cache.recover_wal()?;
        let wanted = needed_by(plan, targets);
        let mentions = sources::mentions(plan, &wanted, |words| {
            sources::project_files(words, &project.folder, project.cache.root())
        });
        let history = History::open(project.cache.root(), &project.folder, file, profiles);
        let keep = History::keep(project.cache.root(), &project.folder, file, profiles);
        Ok(Session { plan, plan_key, project, history, keep, wanted, mentions })
    }

    /// What is kept of the pipeline to be quick.
    pub fn keep(&self) -> &Keep {
        &self.keep
    }

    /// The pipeline's history.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// What is remembered of the pipeline's instances.
    pub fn ledger(&self) -> Result<Ledger, RunError> {
        Ok(self.history.ledger()?)
    }

    /// The instances the session is about, producers first.
    pub fn wanted(&self) -> &[InstanceId] {
        &self.wanted
    }

    /// Where each of them stands.
    pub fn assess(&self) -> Result<Vec<Option<Standing>>, RunError> {
        let contents = self.read_sources(&|_, _| {})?;
        let recall = Recall::read(&self.keep, &self.project.cache);
        let unchanged = recall.unchanged(&self.plan_key, &self.inputs(&contents), &self.wanted);
        let known = Known { cache: &self.project.cache, recall: &recall, unchanged, ledger: &|| self.ledger() };
        assess(&self.inputs(&contents), &known, &self.wanted)
    }

    fn read_sources(&self, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<Contents, CacheError> {
        let Project { folder, cache, .. } = self.project;
        Contents::read(self.plan, &self.wanted, &self.mentions, folder, cache, progress)
    }

    fn inputs<'s>(&'s self, contents: &'s Contents) -> Inputs<'s> {
        Inputs { plan: self.plan, project: &self.project.folder, mentions: &self.mentions, contents }
    }

    /// Brings the wanted instances up to date. `on_start` is given a way to interrupt the run before it begins.
    pub fn run(
        &self,
        request: RunRequest,
        view: Box<dyn EventSink>,
        on_start: impl FnOnce(Interrupter),
    ) -> Result<RunReport, RunError> {
        self.check_room(&request.capacity)?;
        let begun = Instant::now();
        let _use = self.project.cache.use_shared()?;
        let (sender, happenings) = channel();
        let may_start = Arc::new(AtomicBool::new(false));
        on_start(self.interrupter(sender.clone(), Arc::clone(&may_start)));
        let recall = Recall::read(&self.keep, &self.project.cache);
        let known_run = self.history.last_run()?;
        let log = self.history.begin(&self.project.cache, known_run.as_ref(), Timestamp::now())?;
        let (id, logs) = (log.run.clone(), log.folder.clone());
        let run = id.to_string();
        let mut journal = Journal::new(Box::new(log), view);
        journal.record(RunEvent::RunStarted {
            version: crate::events::EVENTS_VERSION,
            run: run.clone(),
            pipeline: self.plan.name.clone(),
            file: request.file.clone(),
            instances: self.wanted.len(),
        });
        let contents = {
            let journal = Mutex::new(&mut journal);
            self.read_sources(&|done, total| {
                journal.lock().unwrap_or_else(PoisonError::into_inner).hashing(done, total);
            })?
        };
        may_start.store(true, Ordering::SeqCst);
        // What is summed up there is no news; what came later might contradict it.
        let all_is_news = !recall.is_of(known_run.as_ref());
        let known = if all_is_news {
            vec![None; self.plan.instances.len()]
        } else {
            self.unchanged(&recall, &contents, &request.force)
        };
        let nothing_new = self.wanted.iter().all(|id| known[id.index()].is_some());
        // From now on a collection leaves alone whatever this run makes, should it be killed.
        let announced = if nothing_new { None } else { Some(self.history.announce(&id, self.names())?) };
        let inputs = self.inputs(&contents);
        let incidents = self.project.cache.incident_mark();
        let mut passes = Passes {
            session: self,
            recall: (&recall, all_is_news),
            capacity: request.capacity,
            local: LocalSettings {
                program: request.program,
                // Runs of other caches may have the same name, and none may end another's processes.
                mark: format!("{run}.{}.{}", std::process::id(), Timestamp::now().as_nanosecond()),
                within: request.within,
                log_limit: self.project.log_limit,
            },
            keep_going: request.keep_going,
            run: run.clone(),
            logs,
            sender,
            happenings,
        };
        let first = passes.first(inputs, known, request.force.clone(), &mut journal)?;
        let look_for_lost = self.project.cache.incident_mark() != incidents;
        let mut done = passes.second(self.inputs(&contents), first, request.force, look_for_lost, &mut journal)?;
        let mut publication = self.publish(&done.outputs, &run);
        if publication.refused.iter().any(|refused| refused.lost) {
            done = passes.second(self.inputs(&contents), done, HashSet::new(), true, &mut journal)?;
            publication = again(publication, self.publish(&done.outputs, &run));
        }
        let Dispatched { outcome, mut counts, outputs, fingerprints, .. } = done;
        counts.not_started = self.wanted.len().saturating_sub(counts.total());
        let outcome = if publication.refused.is_empty() { outcome } else { Outcome::Failed };
        report(self.plan, publication, &mut journal);
        journal.record(RunEvent::RunFinished {
            outcome,
            counts,
            duration_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        journal.flush();
        self.sum_up(&recall, (&id, announced, known_run), &contents, (&outputs, &fingerprints))?;
        Ok(RunReport { outcome, counts })
    }

    /// What the run before this one knows of instances that compute from just what they computed from then.
    fn unchanged(&self, recall: &Recall, contents: &Contents, force: &HashSet<InstanceId>) -> Vec<Option<Settled>> {
        let order: Vec<InstanceId> = self.wanted.iter().copied().filter(|id| !force.contains(id)).collect();
        recall.unchanged(&self.plan_key, &self.inputs(contents), &order)
    }

    /// Remembers for later runs, and for collections, what this one came to.
    fn sum_up(
        &self,
        recall: &Recall,
        (run, announced, known_run): (&RunId, Option<Announced>, Option<RunId>),
        contents: &Contents,
        (outputs, fingerprints): (&[Option<Outputs>], &[Option<Digest>]),
    ) -> Result<(), CacheError> {
        let nothing_new = announced.is_none();
        if nothing_new && recall.list().is_some_and(|list| self.history.is_listed(list)) {
            return Ok(());
        }
        let ended = |((name, fingerprint), outputs): ((_, &Option<Digest>), &Option<Outputs>)| Ended {
            name,
            fingerprint: *fingerprint,
            is_done: outputs.is_some(),
        };
        let ended: Vec<Ended<'_>> = self.names().zip(fingerprints).zip(outputs).map(ended).collect();
        let list = self.history.settle(run, announced, &ended)?;
        let logged = self.history.has_log(run).then(|| run.clone());
        if let Some(run) = &logged {
            self.history.sum_up(run)?;
        }
        let results = (0..).map(InstanceId).zip(fingerprints).zip(outputs);
        let results = results.filter_map(|((id, fingerprint), outputs)| Some((id, (*fingerprint)?, outputs.as_ref()?)));
        let made_from = (self.plan_key, &self.inputs(contents));
        recall.write((&self.keep, &self.project.cache), (logged.or(known_run), list), made_from, results);
        Ok(())
    }

    /// Names of the plan's instances.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.plan.instances.iter().map(|instance| instance.name.as_str())
    }

    /// Hashing large inputs can take long, and nobody hears messages meanwhile.
    fn interrupter(&self, run: Sender<Happening>, may_start: Arc<AtomicBool>) -> Interrupter {
        let cache = Arc::clone(&self.project.cache);
        Box::new(move || {
            if may_start.load(Ordering::SeqCst) {
                // A run that has ended needs no interrupt.
                let _ = run.send(Happening::Interrupt);
                return Heard::Passed;
            }
            // What is not remembered is hashed again.
            let _ = cache.flush_stat_index();
            Heard::NothingRuns
        })
    }

    fn publish(&self, outputs: &[Option<Outputs>], run: &str) -> Publication {
        let Project { folder, cache, results, .. } = self.project;
        let publishing = Publishing { plan: self.plan, cache, history: &self.history, project: folder, results, run };
        publishing.publish(|id| outputs[id.index()].as_deref())
    }

    /// Refuses stages that can never fit into `capacity`.
    pub fn check_room(&self, capacity: &Capacity) -> Result<(), RunError> {
        let mut problems = self.plan.diagnostics();
        for instance in self.wanted.iter().map(|id| &self.plan.instances[id.index()]) {
            let stage = &self.plan.stages[instance.stage].name;
            let many = (instance.name != *stage).then_some(instance.name.as_str());
            for misfit in misfits(&instance.resources, capacity) {
                let message = format!("the stage `{stage}` {}", misfit.why);
                let problem = Diagnostic::new(instance.resources_span, message).help(misfit.help);
                problems.push(problem.in_instance(many));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(RunError::NeverFits(Box::new(problems))) }
    }

    /// How long each instance is expected to take: as in earlier runs; an instance without one is taken to need what its
    /// stage's instances need on average, else what all do, else one unit, which makes the critical path the depth of the
    /// graph. A history that cannot be read counts as none: only the order of work depends on it.
    pub(super) fn expected_durations(&self) -> Vec<f64> {
        let ledger = self.ledger().unwrap_or_default();
        let known = |name: &str| ledger.instances.get(name)?.duration_ms.map(|ms| ms as f64);
        let known: Vec<Option<f64>> = self.plan.instances.iter().map(|instance| known(&instance.name)).collect();
        let mut by_stage = vec![(0.0, 0.0); self.plan.stages.len()];
        let mut overall = (0.0, 0.0);
        for (instance, duration) in self.plan.instances.iter().zip(&known) {
            if let Some(duration) = duration {
                for sum in [&mut by_stage[instance.stage], &mut overall] {
                    *sum = (sum.0 + duration, sum.1 + 1.0);
                }
            }
        }
        let mean = |(sum, count): (f64, f64)| (count > 0.0).then(|| sum / count);
        let guess = |stage: usize| mean(by_stage[stage]).or_else(|| mean(overall)).unwrap_or(1.0);
        let stages = self.plan.instances.iter().map(|instance| instance.stage);
        stages.zip(known).map(|(stage, known)| known.unwrap_or_else(|| guess(stage))).collect()
    }
}

/// What became of the results after those that were lost had been made again.
fn again(first: Publication, mut second: Publication) -> Publication {
    let done: HashMap<String, Published> =
        first.published.into_iter().map(|published| (published.path.clone(), published)).collect();
    for published in &mut second.published {
        if let Some(Published { action, aside, .. }) = done.get(&published.path)
            && published.action == ResultAction::Unchanged
        {
            (published.action, published.aside) = (*action, aside.clone());
        }
    }
    second
}

/// Says what became of the results.
fn report(plan: &Plan, publication: Publication, journal: &mut Journal) {
    for Published { path, action, aside } in publication.published {
        let event = RunEvent::Result { path, action, aside, cause: None, help: None };
        if action == ResultAction::Unchanged { journal.show(event) } else { journal.record(event) }
    }
    for Refused { path, error, lost, target, instance } in publication.refused {
        let (cause, help) = explain(&error, &target);
        let (action, cause) = match lost {
            true => (ResultAction::Lost, format!("What `{}` made is damaged.", plan.instances[instance.index()].name)),
            false => (ResultAction::Refused, cause),
        };
        journal.record(RunEvent::Result { path, action, aside: None, cause: Some(cause), help });
    }
}

/// `targets` (all instances if there are none) and everything they read from, producers first.
pub fn needed_by(plan: &Plan, targets: &[InstanceId]) -> Vec<InstanceId> {
    let order = plan.order();
    if targets.is_empty() {
        return order;
    }
    let mut needed: HashSet<InstanceId> = HashSet::new();
    let mut front = targets.to_vec();
    while let Some(id) = front.pop() {
        if needed.insert(id) {
            front.extend(plan.producers(id));
        }
    }
    order.into_iter().filter(|id| needed.contains(id)).collect()
}
