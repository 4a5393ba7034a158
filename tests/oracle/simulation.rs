//! Runs in memory, driven step by step: every choice that time would make is made by the generator.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use athanor::events::{EventSink, Outcome, RunEvent, Stamped};
use athanor::language::SourceText;
use athanor::plan::{InstanceId, Overrides, Plan, compile_with};
use athanor::run::dispatch::{Conduct, Dispatched, Dispatcher, Happening};
use athanor::run::executor::{Exit, Job, JobEvent, Launch, Stop};
use athanor::run::journal::Journal;
use athanor::run::needed_by;
use athanor::run::recorder::Recorded;
use athanor::run::resolve::Inputs;
use athanor::run::resources::Capacity;
use athanor::run::schedule::{Scheduler, Task};
use athanor::run::sources::{Contents, Mentions, mentions};
use athanor_stages::context::StageReport;
use fastrand::Rng;

use super::kinds::kinds;
use super::made::Made;
use super::memory::{Desk, InMemory, OnTheDesk, PROJECT, Shared, artifact, record, store as store_result, work};
use super::pipeline::Project;
use super::request::{Failing, Request};
use super::shell::first_word;

/// What ends runs early, after so many happenings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    Kill(u32),
    Interrupt(u32),
}

/// How a run ended, with the contents of the outputs of every instance that is up to date.
pub type End = (Outcome, HashMap<String, Vec<Made>>);

/// What one run came to.
#[derive(Debug)]
pub struct Report {
    pub events: Vec<RunEvent>,
    /// Instances whose results were recorded, in the order they were.
    pub recorded: Vec<String>,
    /// How it ended; `None` if it was killed.
    pub end: Option<End>,
}

/// A pipeline and its files as the program sees them.
pub struct Prepared {
    plan: Plan,
    contents: Contents,
    mentions: Mentions,
    request: Request,
    wanted: Vec<InstanceId>,
    force: HashSet<InstanceId>,
}

impl Prepared {
    /// Compiles a project; an error is what the user would be told.
    pub fn new(project: &Project, request: Request) -> Result<Prepared, String> {
        let source = SourceText { name: "p.yaml".to_owned(), text: project.yaml(&request.set) };
        let overrides = Overrides { profiles: Vec::new(), set: project.settings(&request.set) };
        let plan = compile_with(&source, &overrides, kinds(project.revisions));
        let plan = plan.map_err(|mistakes| mistakes.diagnostics.render(false, 100))?;
        let id = |name: &String| {
            let found = plan.instances.iter().find(|instance| instance.name == *name);
            found.map(|instance| instance.id).ok_or_else(|| format!("the plan has no instance `{name}`"))
        };
        let targets = request.targets.iter().map(id).collect::<Result<Vec<_>, _>>()?;
        let force = request.force.iter().map(id).collect::<Result<_, _>>()?;
        let wanted = needed_by(&plan, &targets);
        let mentions = mentions(&plan, &wanted, |mut words| {
            words.retain(|word| project.files.contains_key(*word));
            words
        });
        let files = project.files.iter();
        let contents =
            files.map(|(path, content)| (path.clone(), artifact(&Made::File(content.clone().into_bytes())))).collect();
        Ok(Prepared { plan, contents, mentions, request, wanted, force })
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs { plan: &self.plan, project: Path::new(PROJECT), mentions: &self.mentions, contents: &self.contents }
    }

    fn scheduler(&self) -> Scheduler {
        let wanted: HashSet<InstanceId> = self.wanted.iter().copied().collect();
        let task = |instance: &athanor::plan::Instance| Task {
            producers: self.plan.producers(instance.id).collect(),
            resources: instance.resources.clone(),
            wanted: wanted.contains(&instance.id),
        };
        let tasks: Vec<Task> = self.plan.instances.iter().map(task).collect();
        let cpus = tasks.iter().filter_map(|task| task.resources.cpus).max().unwrap_or(1).max(self.request.jobs);
        Scheduler::new(&tasks, &self.plan.order(), &Capacity { cpus, memory: 1 << 30, gpus: Vec::new() })
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
    dispatcher: Dispatcher<'p, InMemory>,
    desk: Rc<RefCell<Desk>>,
    recorded: Vec<String>,
    finished: bool,
}

/// Carries out runs side by side on one store.
pub fn run(
    rng: &mut Rng,
    store: &Shared,
    prepared: &[Prepared],
    failing: &Failing,
    cut: Option<Cut>,
) -> Result<Vec<Report>, String> {
    let collectors: Vec<Collector> = prepared.iter().map(|_| Collector::default()).collect();
    let journal = |collector: &Collector| Journal::new(Box::new(collector.clone()), Box::new(Nobody));
    let mut journals: Vec<Journal> = collectors.iter().map(journal).collect();
    let begin = |((number, prepared), journal)| begin(rng, store, number, prepared, journal);
    let mut runs: Vec<Run<'_>> = prepared.iter().enumerate().zip(&mut journals).map(begin).collect();
    let whole = drive(rng, store, &mut runs, failing, cut)?;
    let mut ends = Vec::new();
    for run in runs {
        let Run { prepared, dispatcher, desk, mut recorded, .. } = run;
        if !whole {
            // What was stored is recorded by the next process; what was being stored when the kill came is lost.
            let unrecorded = std::mem::take(&mut desk.borrow_mut().unrecorded);
            for result in unrecorded {
                recorded.push(prepared.name(result.0).to_owned());
                record(store, result);
            }
        }
        let end = if whole { Some(conclude(prepared, store, dispatcher)?) } else { None };
        ends.push((recorded, end));
    }
    let events = collectors.into_iter().map(|collector| std::mem::take(&mut *collector.0.lock().expect("as above")));
    Ok(events.zip(ends).map(|(events, (recorded, end))| Report { events, recorded, end }).collect())
}

fn begin<'p>(
    rng: &mut Rng,
    store: &Shared,
    number: usize,
    prepared: &'p Prepared,
    journal: &'p mut Journal,
) -> Run<'p> {
    let desk = Rc::new(RefCell::new(Desk::default()));
    let scratch = PathBuf::from(format!("/scratch/{number}"));
    let workshop = InMemory { store: Rc::clone(store), scratch, desk: Rc::clone(&desk) };
    let conduct = Conduct {
        keep_going: prepared.request.keep_going,
        force: prepared.force.clone(),
        logs: PathBuf::new(),
        private_inputs: false,
    };
    let executor = Box::new(OnTheDesk(Rc::clone(&desk)));
    let expected: Vec<f64> = prepared.plan.instances.iter().map(|_| rng.f64()).collect();
    let durations = Box::new(move || expected);
    let scheduler = prepared.scheduler();
    let dispatcher = Dispatcher::new(prepared.inputs(), workshop, scheduler, journal, conduct, executor, durations);
    Run { prepared, dispatcher, desk, recorded: Vec::new(), finished: false }
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
        for run in runs.iter_mut().filter(|run| !run.finished) {
            run.finished = run.dispatcher.advance().map_err(|error| error.to_string())?;
        }
        if runs.iter().all(|run| run.finished) {
            return Ok(true);
        }
        match cut {
            Some(Cut::Kill(at)) if at == happened => return Ok(false),
            Some(Cut::Interrupt(at)) if at == happened || at + 2 == happened && rng.bool() => {
                runs.iter_mut().filter(|run| !run.finished).for_each(|run| run.dispatcher.hear(Happening::Interrupt));
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
        for run in runs.iter_mut().filter(|run| !run.finished) {
            run.dispatcher.look_around().map_err(|error| error.to_string())?;
        }
    }
}

impl Run<'_> {
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
            let mut ids = Vec::new();
            for result in std::iter::once(first).chain(with_it) {
                ids.push(result.0);
                self.recorded.push(self.prepared.name(result.0).to_owned());
                record(store, result);
            }
            self.dispatcher.hear(Happening::Recorded(Recorded { ids, lost: Vec::new(), refusal: None }));
            return;
        }
        if pick >= jobs {
            let stored = {
                let desk = &mut *self.desk.borrow_mut();
                let (id, instance, attempt) = desk.stores.swap_remove(pick - jobs);
                (id, store_result(desk, store, id, &instance, attempt))
            };
            self.dispatcher.hear(Happening::Stored(stored.0, Box::new(Ok(stored.1))));
            return;
        }
        if rng.u32(0..8) == 0 {
            let id = self.desk.borrow().jobs[pick].0.id;
            let report = StageReport::Metric { name: "loss".to_owned(), value: rng.f64(), step: None };
            self.dispatcher.hear(Happening::Job(JobEvent::Report(id, report)));
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
            _ => work(store, &job, |line| failing.fails(first_word(line), try_number(&job))),
        };
        self.dispatcher.hear(Happening::Job(JobEvent::Exited(job.id, exit)));
    }
}

/// Folders of tries are named by the instance and the number of the try.
fn try_number(job: &Job) -> u32 {
    debug_assert!(matches!(job.launch, Launch::Shell(_)));
    job.folder.extension().and_then(|number| number.to_str()?.parse().ok()).expect("tries have numbers")
}

/// What is up to date at the end of a run, and what it holds.
fn conclude(prepared: &Prepared, store: &Shared, dispatcher: Dispatcher<'_, InMemory>) -> Result<End, String> {
    let Dispatched { outcome, counts, outputs, .. } = dispatcher.conclude();
    let store = store.borrow();
    let mut contents = HashMap::new();
    for (instance, records) in prepared.plan.instances.iter().zip(&outputs) {
        let Some(records) = records else { continue };
        let content = |record: &athanor_cache::OutputRecord| store.contents[&record.artifact.digest].clone();
        contents.insert(instance.name.clone(), records.iter().map(content).collect());
    }
    if counts.ran + counts.cached != contents.len() {
        return Err(format!("{counts:?}, but {} instances are up to date", contents.len()));
    }
    Ok((outcome, contents))
}
