//! Runs in memory, driven step by step: every choice that time would make is made by the generator.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use athanor::events::{EventSink, Outcome, RunEvent, Stamped};
use athanor::language::SourceText;
use athanor::plan::{InstanceId, Overrides, Plan, compile_with};
use athanor::run::attempts::backend::BackendEvent;
use athanor::run::attempts::group_commit::Recorded;
use athanor::run::engine::dispatcher::{Dispatcher, PassResult, RunPolicy};
use athanor::run::engine::message::Message;
use athanor::run::engine::scheduler::Scheduler;
use athanor::run::executor::job::{Exit, Job, JobEvent, Launch, Script, Stop};
use athanor::run::executor::resources::Capacity;
use athanor::run::inputs::contents::Contents;
use athanor::run::inputs::mutation_guard::readers::Readers;
use athanor::run::inputs::project_reads::{Mentions, mentions};
use athanor::run::inputs::resolve::Inputs;
use athanor::run::inputs::versions::Versions;
use athanor::run::needed_by;
use athanor::run::session::second_pass::{SecondPass, joined, tasks};
use athanor::run::state::journal::Journal;
use athanor::run::state::outputs::UpToDate;
use athanor_cache::Digest;
use athanor_stages::context::StageReport;
use fastrand::Rng;

use super::kinds::kinds;
use super::made::Made;
use super::memory::{Desk, InMemory, OnTheDesk, PROJECT, Shared, record, spoil, store as store_result, work};
use super::pack::{self, PACK};
use super::pipeline::Project;
use super::request::{Failing, Request};
use super::shelf::artifact;
use super::shell::first_word;
use super::spoils::Spoil;

/// Early end of a run, after a number of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Kill(u32),
    Interrupt(u32),
}

/// How a run ended, with the contents of the outputs of every instance that is up to date.
pub(crate) type End = (Outcome, HashMap<String, Vec<Made>>);

/// What one run came to.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) events: Vec<RunEvent>,
    /// Instances whose results were recorded, in the order they were.
    pub(crate) recorded: Vec<String>,
    /// How it ended; `None` if it was killed.
    pub(crate) end: Option<End>,
}

/// A pipeline and its files as the program sees them.
pub(crate) struct Prepared {
    plan: Plan,
    contents: Contents,
    mentions: Mentions,
    versions: Versions,
    request: Request,
    wanted: Vec<InstanceId>,
    force: HashSet<InstanceId>,
}

impl Prepared {
    /// Compiles a project; an error is what the user would be told.
    pub(crate) fn new(project: &Project, request: Request) -> Result<Prepared, String> {
        let source = SourceText { name: "p.yaml".to_owned(), text: project.yaml(&request.set) };
        let overrides = Overrides { set: project.settings(&request.set), ..Overrides::default() };
        let plan = compile_with(&source, &overrides, kinds(project.revisions));
        let plan = plan.map_err(|mistakes| mistakes.diagnostics.render(false, 100))?;
        let id = |name: &String| {
            let found = plan.instances.iter().find(|instance| instance.name == *name);
            found.map(|instance| instance.id).ok_or_else(|| format!("the plan has no instance `{name}`"))
        };
        let targets = request.targets.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        let force = request.force.iter().map(id).collect::<Result<_, _>>()?;
        let wanted = needed_by(&plan, &targets);
        let mentions = mentions(&plan, &wanted, Path::new(PROJECT), |mut words| {
            words.retain(|word| project.files.contains_key(*word));
            words
        });
        let files = project.files.iter();
        let paths = files.map(|(path, _)| path.as_str()).chain([PACK]);
        let known = |path: &str| Some((path.to_owned(), artifact(&pack::content(&project.files, path)?)));
        let contents = paths.filter_map(known).collect();
        Ok(Prepared { plan, contents, mentions, versions: Versions::default(), request, wanted, force })
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            plan: &self.plan,
            project: Path::new(PROJECT),
            mentions: &self.mentions,
            contents: &self.contents,
            versions: &self.versions,
        }
    }

    fn scheduler(&self, wanted: &HashSet<InstanceId>) -> Scheduler {
        let capacity = Capacity { cpus: 0, memory: 1 << 30, gpus: Vec::new(), cpu_fallback: false };
        let tasks = tasks(&self.plan, wanted, &capacity);
        let cpus = tasks.iter().filter_map(|task| task.resources.cpus).max().unwrap_or(1).max(self.request.jobs);
        Scheduler::new(&tasks, &self.plan.order(), &Capacity { cpus, ..capacity })
    }

    fn name(&self, id: InstanceId) -> &str {
        &self.plan.instances[id.index()].name
    }
}

#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<RunEvent>>>);

impl EventSink for Collector {
    fn event(&mut self, event: &Stamped) {
        self.0.lock().expect("no test panics here").push(event.event.clone());
    }
}

struct Nobody;

impl EventSink for Nobody {
    fn event(&mut self, _: &Stamped) {}
}

struct Run<'p> {
    prepared: &'p Prepared,
    /// For which number of its folder.
    number: usize,
    /// The pass that goes on; `None` when all is done.
    dispatcher: Option<Dispatcher<'p, InMemory>>,
    /// For the second pass.
    journal: Option<&'p mut Journal>,
    /// What the first pass came to, if it left something to the second.
    first: Option<(PassResult, SecondPass)>,
    done: Option<PassResult>,
    desk: Rc<RefCell<Desk>>,
    recorded: Vec<String>,
    /// How much had been found changed when it began …
    incidents: usize,
    /// … and when it last looked for results that were lost, after its first pass.
    incidents_at_last_look: usize,
}

/// Carries out runs side by side on one store.
pub(crate) fn run(
    rng: &mut Rng,
    store: &Shared,
    prepared: &[Prepared],
    failing: &Failing,
    cut: Option<Cut>,
) -> Result<Vec<Report>, String> {
    let collectors: Vec<Collector> = prepared.iter().map(|_| Collector::default()).collect();
    let journal = |collector: &Collector| Journal::new(Box::new(collector.clone()), Box::new(Nobody));
    let mut journals: Vec<[Journal; 2]> = collectors.iter().map(|one| [journal(one), journal(one)]).collect();
    let begin = |((number, prepared), journals)| Run::begin(rng, store, number, prepared, journals);
    let mut runs: Vec<Run<'_>> = prepared.iter().enumerate().zip(&mut journals).map(begin).collect();
    let with_events = |why: String| {
        let lists = collectors.iter().map(|collector| format!("{:#?}", collector.0.lock().expect("as above")));
        format!("{why}; events so far:\n{}", lists.collect::<Vec<_>>().join("\n"))
    };
    let whole = drive(rng, store, &mut runs, failing, cut).map_err(with_events)?;
    let mut ends = Vec::new();
    for run in runs {
        let Run { prepared, done, desk, mut recorded, incidents_at_last_look, .. } = run;
        // What was stored is recorded by the next process; what was being stored when the kill came is lost.
        let unrecorded = std::mem::take(&mut desk.borrow_mut().unrecorded);
        for result in unrecorded {
            let name = prepared.name(result.0).to_owned();
            recorded.extend(record(store, result).then_some(name));
        }
        let end = done.map(|done| conclude(prepared, store, done, incidents_at_last_look)).transpose()?;
        ends.push((recorded, end.filter(|_| whole)));
    }
    let events = collectors.into_iter().map(|collector| std::mem::take(&mut *collector.0.lock().expect("as above")));
    Ok(events.zip(ends).map(|(events, (recorded, end))| Report { events, recorded, end }).collect())
}

/// Lets things happen in any order until all runs have ended; says whether they did, or were killed.
fn drive(
    rng: &mut Rng,
    store: &Shared,
    runs: &mut [Run<'_>],
    failing: &Failing,
    cut: Option<Cut>,
) -> Result<bool, String> {
    let (mut happened, mut idle) = (0, 0);
    loop {
        for run in runs.iter_mut() {
            run.advance(rng, store)?;
        }
        let going = runs.iter().filter(|run| run.dispatcher.is_some()).count();
        store.borrow_mut().running = going;
        if going == 0 {
            return Ok(true);
        }
        match cut {
            Some(Cut::Kill(at)) if at == happened => return Ok(false),
            Some(Cut::Interrupt(at)) if at == happened || at + 2 == happened && rng.bool() => {
                runs.iter_mut().for_each(|run| run.handle(Message::Interrupt));
            }
            _ => {}
        }
        happened += 1;
        let busy: Vec<usize> = (0..runs.len()).filter(|at| runs[*at].is_busy()).collect();
        idle = if busy.is_empty() { idle + 1 } else { 0 };
        if idle > 3 {
            return Err("no job runs, nothing is being recorded, and the run has not ended".to_owned());
        }
        if !busy.is_empty() {
            let at = busy[rng.usize(0..busy.len())];
            runs[at].happen(rng, store, failing);
        }
        for dispatcher in runs.iter_mut().filter_map(|run| run.dispatcher.as_mut()) {
            dispatcher.poll().map_err(|error| error.to_string())?;
        }
    }
}

impl<'p> Run<'p> {
    fn begin(
        rng: &mut Rng,
        store: &Shared,
        number: usize,
        prepared: &'p Prepared,
        [journal, second]: &'p mut [Journal; 2],
    ) -> Run<'p> {
        let mut run = Run {
            prepared,
            number,
            dispatcher: None,
            journal: Some(second),
            first: None,
            done: None,
            desk: Rc::new(RefCell::new(Desk::default())),
            recorded: Vec::new(),
            incidents: store.borrow().shelf.incident_mark(),
            incidents_at_last_look: 0,
        };
        let wanted = prepared.wanted.iter().copied().collect();
        run.dispatcher = Some(run.dispatcher(rng, store, &wanted, journal, prepared.force.clone()));
        run
    }

    /// A pass over the instances in `wanted`.
    fn dispatcher(
        &self,
        rng: &mut Rng,
        store: &Shared,
        wanted: &HashSet<InstanceId>,
        journal: &'p mut Journal,
        force: HashSet<InstanceId>,
    ) -> Dispatcher<'p, InMemory> {
        let (prepared, desk) = (self.prepared, &self.desk);
        let scratch = PathBuf::from(format!("/scratch/{}", self.number));
        let backend = InMemory { store: Rc::clone(store), scratch, desk: Rc::clone(desk), readers: Readers::default() };
        let policy = RunPolicy {
            keep_going: prepared.request.keep_going,
            force,
            logs: PathBuf::new(),
            cpu_fallback: false,
            private_inputs: self.first.is_some(),
            ..RunPolicy::default()
        };
        let executor = Box::new(OnTheDesk(Rc::clone(desk)));
        let expected: Vec<f64> = prepared.plan.instances.iter().map(|_| rng.f64()).collect();
        let durations = Box::new(move || expected);
        let scheduler = prepared.scheduler(wanted);
        Dispatcher::new(prepared.inputs(), backend, scheduler, journal, policy, executor, durations)
    }

    /// Starts all that can be now; when a pass is over, the next one.
    fn advance(&mut self, rng: &mut Rng, store: &Shared) -> Result<(), String> {
        let Some(dispatcher) = &mut self.dispatcher else { return Ok(()) };
        if !dispatcher.advance().map_err(|error| error.to_string())? {
            return Ok(());
        }
        let over = self.dispatcher.take().expect("it was there a moment ago").finish();
        if let Some((first, pass)) = self.first.take() {
            self.done = Some(joined(first, &pass, over));
            return Ok(());
        }
        let Prepared { plan, wanted, request, force, .. } = self.prepared;
        self.incidents_at_last_look = store.borrow().shelf.incident_mark();
        let look_for_lost = self.incidents_at_last_look != self.incidents;
        let is_lost = |settled: &UpToDate| {
            let shelf = &mut store.borrow_mut().shelf;
            let lost = settled.outputs.iter().filter(|output| !shelf.is_present(&output.artifact));
            look_for_lost && lost.count() > 0
        };
        let Some(mut pass) = SecondPass::after(&over, plan, wanted, request.keep_going, is_lost) else {
            self.done = Some(over);
            return Ok(());
        };
        let journal = self.journal.take().expect("there is one second pass");
        for (id, missing) in &pass.skipped {
            let name = |id: &InstanceId| self.prepared.name(*id).to_owned();
            journal.record(RunEvent::Skipped { instance: name(id), because: name(missing) });
        }
        let force = SecondPass::left_of(force.clone(), &over);
        let (wanted, made) = (pass.wanted.clone(), std::mem::take(&mut pass.made));
        self.first = Some((over, pass));
        let mut dispatcher = self.dispatcher(rng, store, &wanted, journal, force);
        dispatcher.seed_made(made);
        self.dispatcher = Some(dispatcher);
        self.advance(rng, store)
    }

    fn handle(&mut self, message: Message) {
        if let Some(dispatcher) = &mut self.dispatcher {
            dispatcher.handle(message);
        }
    }

    /// What the stage of a job does to its inputs.
    fn spoils(&self, pick: usize, failing: &Failing) -> Option<Spoil> {
        let desk = self.desk.borrow();
        let Launch::Script(Script { text: line, .. }) = &desk.jobs[pick].0.launch else { return None };
        failing.spoiling.get(&first_word(line)).copied()
    }

    /// Whether an attempt with state stops in good order before its work is done, as the first ones of some instances do. Of two
    /// runs the other one would go on with it.
    fn pauses(&self, job: &Job, failing: &Failing) -> bool {
        let Launch::Script(Script { text: line, .. }) = &job.launch else { return false };
        let is_flaky = failing.flaky.contains_key(&first_word(line));
        self.prepared.plan.instances[job.id.index()].state && !is_flaky && try_number(job) <= job.id.0 % 3
    }

    fn is_busy(&self) -> bool {
        let desk = self.desk.borrow();
        !desk.jobs.is_empty() || !desk.stores.is_empty() || !desk.unrecorded.is_empty()
    }

    /// One job goes on or ends, or one result is recorded.
    fn happen(&mut self, rng: &mut Rng, store: &Shared, failing: &Failing) {
        let (jobs, stores) = (self.desk.borrow().jobs.len(), self.desk.borrow().stores.len());
        let pick = rng.usize(0..jobs + stores + self.desk.borrow().unrecorded.len());
        if pick >= jobs + stores {
            // Some of those that wait, and always this one.
            let mut waiting = std::mem::take(&mut self.desk.borrow_mut().unrecorded);
            let first = waiting.swap_remove(pick - jobs - stores);
            let (with_it, later): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|_| rng.bool());
            self.desk.borrow_mut().unrecorded = later;
            let (mut ids, mut lost) = (Vec::new(), Vec::new());
            for result in std::iter::once(first).chain(with_it) {
                let id = result.0;
                ids.push(id);
                match record(store, result) {
                    true => self.recorded.push(self.prepared.name(id).to_owned()),
                    false => lost.push(id),
                }
            }
            return self.handle(Message::Backend(BackendEvent::Recorded(Recorded { ids, lost, refusal: None })));
        }
        if pick >= jobs {
            let stored = {
                let desk = &mut *self.desk.borrow_mut();
                let (id, instance, attempt) = desk.stores.swap_remove(pick - jobs);
                (id, store_result(desk, store, id, &instance, attempt))
            };
            return self.handle(Message::Backend(BackendEvent::Stored(stored.0, Box::new(stored.1))));
        }
        if rng.u32(0..8) == 0 {
            let id = self.desk.borrow().jobs[pick].0.id;
            let report = StageReport::Metric { name: "loss".to_owned(), value: rng.f64(), step: None };
            self.handle(Message::Job(JobEvent::Report(id, report)));
        }
        let kind = self.spoils(pick, failing);
        if let Some(kind) = kind.filter(|kind| *kind != Spoil::Add) {
            spoil(store, &self.desk.borrow().jobs[pick].0, kind);
            if rng.bool() {
                return;
            }
        }
        let (job, stopped) = self.desk.borrow_mut().jobs.swap_remove(pick);
        let exit = match stopped {
            Some(Stop::Now) => Exit::Signal { number: 9, out_of_memory: false },
            Some(Stop::Gently) if rng.bool() => Exit::Failed {
                message: "It was asked to stop.".to_owned(),
                help: None,
                interrupted: true,
                again: false,
            },
            None if store.borrow().running == 1 && self.pauses(&job, failing) => {
                Exit::Stopped { state: Some(Digest::of(job.folder.as_os_str().as_encoded_bytes())) }
            }
            _ => work(store, &job, rng, |line| failing.fails(first_word(line), try_number(&job))),
        };
        // What is added would show in what the stage itself makes, as it may.
        if let Some(Spoil::Add) = kind {
            spoil(store, &job, Spoil::Add);
        }
        self.handle(Message::Job(JobEvent::Exited(job.id, exit)));
    }
}

/// Folders of attempts are named by the instance and the number of the attempt.
fn try_number(job: &Job) -> u32 {
    debug_assert!(matches!(job.launch, Launch::Script(_)));
    job.folder.extension().and_then(|number| number.to_str()?.parse().ok()).expect("tries have numbers")
}

/// Instances that are up to date at the end of a run, with their content. Results that another run has lost since this one last
/// looked are left out:
/// its own second pass reads copies, and loses nothing; `incidents` had been found then.
fn conclude(prepared: &Prepared, store: &Shared, done: PassResult, incidents: usize) -> Result<End, String> {
    let PassResult { outcome, counts, outputs, .. } = done;
    let store = &mut *store.borrow_mut();
    let mut contents = HashMap::new();
    let more_found = store.shelf.incident_mark() > incidents;
    let mut lost_since = 0;
    for (instance, records) in prepared.plan.instances.iter().zip(&outputs) {
        let Some(records) = records else { continue };
        let lost = records.iter().filter(|record| !store.shelf.is_present(&record.artifact)).count();
        if lost > 0 && more_found {
            lost_since += 1;
            continue;
        }
        // Who interrupts a run gets what is there.
        if lost > 0 && outcome != Outcome::Interrupted {
            return Err(format!("`{}` is said to be up to date, and an output is gone", instance.name));
        }
        let content = |record: &athanor_cache::OutputRecord| store.contents[&record.artifact.digest].clone();
        contents.insert(instance.name.clone(), records.iter().map(content).collect());
    }
    if counts.ran + counts.cached != contents.len() + lost_since {
        return Err(format!("{counts:?}, but {} instances are up to date", contents.len()));
    }
    Ok((outcome, contents))
}
