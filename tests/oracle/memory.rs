//! A cache, folders of attempts and processes, all in memory: under the program's own planner, fingerprints and dispatcher.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use athanor::language::Shell;
use athanor::plan::{Instance, InstanceId};
use athanor::run::attempts::attempt::{AttemptOptions, CommitError, Stored};
use athanor::run::attempts::backend::{Abandoned, PrepareError, RunBackend};
use athanor::run::executor::job::{Executor, Exit, Job, Launch, Script, Stop};
use athanor::run::executor::resources::Allocation;
use athanor::run::inputs::fingerprint::{Recipe, Resolved};
use athanor::run::inputs::link::Target;
use athanor::run::inputs::mutation_guard::readers::{Reader, Readers};
use athanor::run::inputs::mutation_guard::{Findings, InputError, name_of};
use athanor::run::inputs::resolve::Inputs;
use athanor::run::state::outputs::Outputs;
use athanor_cache::{ActionRecord, Artifact, CacheError, Digest, InputState, OutputRecord};
use athanor_stages::context::StageReport;
use fastrand::Rng;
use serde_json::Map;

use super::made::Made;
use super::pack;
use super::shelf::Shelf;
use super::shell::{self, Folder};
use super::spoils::{Spoil, is_writable};
use super::yaml::SHOWN;

/// The folder that projects seem to lie in.
pub(crate) const PROJECT: &str = "/project";

/// What outlives runs.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) records: HashMap<Digest, ActionRecord>,
    pub(crate) contents: HashMap<Digest, Made>,
    /// What lies there of it.
    pub(crate) shelf: Shelf,
    /// Runs that go on.
    pub(crate) running: usize,
    claims: HashSet<Digest>,
    /// The user's files.
    files: BTreeMap<String, String>,
    /// Folders of attempts.
    folders: HashMap<PathBuf, Tried>,
}

/// The folder of an attempt.
struct Tried {
    folder: Folder,
    /// Stored inputs that are read where they lie.
    links: Vec<(String, Artifact)>,
    /// Copies of stored inputs that are not to be written to.
    copies: Vec<(String, Artifact)>,
}

pub(crate) type Shared = Rc<RefCell<Store>>;

impl Store {
    /// A new run begins: nothing of an earlier one goes on, and the user's files are these.
    pub(crate) fn begin(&mut self, files: &BTreeMap<String, String>) {
        self.folders.clear();
        self.shelf.forget_spoilt();
        self.files.clone_from(files);
    }

    /// A copy of something stored, which is right; `None` if it is lost.
    fn copy(&mut self, artifact: &Artifact) -> Option<Made> {
        if self.shelf.seen(artifact).is_some_and(|seen| seen != self.contents[&artifact.digest]) {
            let now = self.shelf.move_mark();
            self.shelf.check_input(artifact, now);
        }
        self.shelf.seen(artifact)
    }

    /// Whether a result is recorded and all of it is there.
    pub(crate) fn has(&self, fingerprint: &Digest) -> bool {
        let is_whole = |output: &OutputRecord| self.shelf.is_whole(&output.artifact);
        self.records.get(fingerprint).is_some_and(|record| record.outputs.iter().all(is_whole))
    }
}

/// A claim, given back when it is dropped.
pub(crate) struct Claim {
    store: Shared,
    fingerprint: Digest,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.store.borrow_mut().claims.remove(&self.fingerprint);
    }
}

/// An attempt in memory.
pub(crate) struct Attempt {
    folder: PathBuf,
    fingerprint: Digest,
    recipe: Recipe,
    reader: Arc<Reader>,
    /// How much had been found changed when it began.
    incidents: usize,
    /// How often folders had been changed then.
    moves: usize,
    claim: Claim,
}

/// A stored result that is to be recorded, and the claim on it; should the run be killed, the next process records it.
pub(crate) type Unrecorded = (InstanceId, ActionRecord, Option<Claim>);

/// Jobs that run, attempts whose results are being stored, and results that are to be recorded.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) jobs: Vec<(Job, Option<Stop>)>,
    pub(crate) stores: Vec<(InstanceId, Instance, Attempt)>,
    pub(crate) unrecorded: Vec<Unrecorded>,
    /// Claims on results that are stored.
    claims: HashMap<InstanceId, Claim>,
}

/// The options of one run.
pub(crate) struct InMemory {
    pub(crate) store: Shared,
    /// Where folders of attempts seem to lie.
    pub(crate) scratch: PathBuf,
    pub(crate) desk: Rc<RefCell<Desk>>,
    pub(crate) readers: Readers,
}

impl RunBackend for InMemory {
    type Claim = Claim;
    type Attempt = Attempt;

    fn look_up(&self, fingerprint: &Digest) -> Result<Option<Outputs>, CacheError> {
        let Store { records, shelf, .. } = &mut *self.store.borrow_mut();
        let Some(record) = records.get(fingerprint) else { return Ok(None) };
        let lost = record.outputs.iter().filter(|output| !shelf.is_present(&output.artifact)).count();
        Ok((lost == 0).then(|| record.outputs.as_slice().into()))
    }

    fn is_news(&self, _: &str, _: &Digest) -> bool {
        true
    }

    fn try_claim(&self, fingerprint: &Digest) -> Result<Option<Claim>, CacheError> {
        let free = self.store.borrow_mut().claims.insert(*fingerprint);
        Ok(free.then(|| Claim { store: Rc::clone(&self.store), fingerprint: *fingerprint }))
    }

    fn prepare(
        &mut self,
        inputs: &Inputs<'_>,
        id: InstanceId,
        Resolved { recipe, fingerprint }: Resolved,
        claim: Claim,
        options: AttemptOptions,
    ) -> Result<Attempt, PrepareError> {
        let at = self.scratch.join(format!("{}.{}", id.0, options.number));
        let store = &mut *self.store.borrow_mut();
        let reader = self.readers.begin(inputs.stored(id, &recipe));
        let (incidents, moves) = (store.shelf.incident_mark(), store.shelf.move_mark());
        let mut tried = Tried { folder: Folder::new(), links: Vec::new(), copies: Vec::new() };
        for link in inputs.links(id, &recipe, options.private_inputs) {
            let content = match link.target {
                Target::Stored(artifact) => {
                    let seen = match link.copy {
                        true => store.copy(&artifact),
                        false => store.shelf.seen(&artifact),
                    };
                    let seen = seen.ok_or_else(|| CacheError::Gone { path: PathBuf::from(&link.at) })?;
                    match link.copy {
                        false => tried.links.push((link.at.clone(), artifact)),
                        true if is_writable(link.at.trim_start_matches("inputs/")) => {}
                        true => tried.copies.push((link.at.clone(), artifact)),
                    }
                    seen
                }
                Target::ProjectFile(path) | Target::NamedFile(path) => {
                    pack::content(&store.files, in_project(&path)).expect("the project has its files")
                }
            };
            tried.folder.insert(link.at, content);
        }
        let in_place = inputs.read_in_place(id);
        for path in in_place.iter().flat_map(|path| pack::read_in_place(in_project(path))) {
            let content = store.files[path].clone().into_bytes();
            tried.folder.insert(format!("$P/{path}"), Made::File(content));
        }
        assert!(store.folders.insert(at.clone(), tried).is_none(), "a try's folder is its own");
        Ok(Attempt { folder: at, fingerprint, recipe, reader, incidents, moves, claim })
    }

    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Attempt, _: &Allocation) -> Job {
        let instance = &inputs.plan.instances[id.index()];
        let line = |text| Launch::Script(Script { shell: Shell::Default, path: "", text, container: None });
        let launch = match &instance.work {
            athanor::plan::Work::Command(command) => {
                let set = command.env.iter().find(|variable| variable.name == SHOWN);
                let shown = set.map_or_else(String::new, |variable| format!(" {}", variable.value));
                line(command.line.replace(&format!(" ${{{SHOWN}-}}"), &shown))
            }
            // What a worker gets is the kind, its parameters, the seed and files; here all are in the line.
            athanor::plan::Work::BuiltIn { params } => {
                let (kind, revision, seed) = (instance.kind.name(), instance.kind.revision(), instance.seed);
                let files: Vec<&str> =
                    instance.inputs.iter().flat_map(|input| &input.files).map(String::as_str).collect();
                let output = &instance.outputs[0].file;
                line(format!("built-in {kind} {revision} {seed} {params} {output} {}", files.join(" ")))
            }
        };
        Job {
            id,
            fingerprint: attempt.fingerprint,
            launch,
            folder: attempt.folder.clone(),
            attempt: attempt.folder.clone(),
            outputs: Vec::new(),
            log: PathBuf::new(),
            environment: Vec::new(),
            secrets: Vec::new(),
            gpus: Vec::new(),
            access: None,
            state: None,
        }
    }

    fn note(&self, _: &mut Attempt, _: &StageReport) -> bool {
        true
    }

    fn kept_state(&self, _: &Digest) -> Option<PathBuf> {
        None
    }

    fn store(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Attempt) {
        let instance = inputs.plan.instances[id.index()].clone();
        self.desk.borrow_mut().stores.push((id, instance, attempt));
    }

    fn record(&mut self, id: InstanceId, stored: &Stored) {
        let desk = &mut *self.desk.borrow_mut();
        desk.unrecorded.push((id, stored.record.clone(), desk.claims.remove(&id)));
    }

    fn flush(&self) {}

    fn abandon(&mut self, _: &Inputs<'_>, _: InstanceId, attempt: Attempt) -> Abandoned {
        let disturbed = match attempt.check(&mut self.store.borrow_mut()) {
            Err(error @ InputError::Disturbed { .. }) => Some(error.to_string()),
            _ => None,
        };
        self.store.borrow_mut().folders.remove(&attempt.folder);
        Abandoned { disturbed, ..Abandoned::default() }
    }
}

impl Attempt {
    /// Looks at its stored inputs again.
    fn check(&self, store: &mut Store) -> Result<Vec<String>, InputError> {
        let Store { shelf, contents, folders, running, .. } = store;
        let tried = &folders[&self.folder];
        let incidents: HashSet<Digest> = shelf.incidents_since(self.incidents).iter().copied().collect();
        let mut findings = Findings::default();
        for (_, artifact) in &tried.links {
            let state = shelf.check_input(artifact, self.moves);
            let shared = self.reader.overlapped(|other| shelf.share_content(artifact, other));
            let blameless = || shared || *running > 1;
            let from = name_of(&self.recipe, artifact);
            findings.stored(from, state, incidents.contains(&artifact.digest), blameless);
        }
        for (at, artifact) in &tried.copies {
            let state = compare(&contents[&artifact.digest], &tried.folder[at]);
            findings.copy(name_of(&self.recipe, artifact), state);
        }
        findings.conclude()
    }
}

/// What became of a copy.
fn compare(before: &Made, now: &Made) -> InputState {
    match (before, now) {
        _ if before == now => InputState::Intact,
        (Made::Folder(before), Made::Folder(now))
            if before.iter().all(|(path, content)| now.get(path) == Some(content)) =>
        {
            InputState::Added(now.keys().filter(|path| !before.contains_key(*path)).cloned().collect())
        }
        _ => InputState::Changed { paths: Vec::new(), lost: false },
    }
}

fn in_project(path: &Path) -> &str {
    path.strip_prefix(PROJECT).ok().and_then(Path::to_str).expect("paths of the project lie in its folder")
}

/// Stores the result of an attempt.
pub(crate) fn store(
    desk: &mut Desk,
    store: &Shared,
    id: InstanceId,
    instance: &Instance,
    attempt: Attempt,
) -> Result<Stored, CommitError> {
    let (outputs, removed) = take(&mut store.borrow_mut(), instance, &attempt);
    let removed = removed?;
    let Attempt { fingerprint, claim, .. } = attempt;
    let record = ActionRecord {
        fingerprint,
        recipe: serde_json::Value::Null,
        outputs,
        metrics: Map::new(),
        log: None,
        duration_ms: 1,
        finished_at: jiff::Timestamp::UNIX_EPOCH,
        program: String::new(),
        sequence: 0,
        annex: None,
        extensions: Map::new(),
    };
    desk.claims.insert(id, claim);
    Ok(Stored { record, undeclared: Vec::new(), removed })
}

/// Stores the outputs of an attempt and looks at its inputs again; its folder is gone then.
fn take(
    store: &mut Store,
    instance: &Instance,
    attempt: &Attempt,
) -> (Vec<OutputRecord>, Result<Vec<String>, InputError>) {
    let mut outputs = Vec::new();
    for output in &instance.outputs {
        // The built-in kinds' outputs that nobody reads are left out.
        let Some(content) = store.folders[&attempt.folder].folder.get(&output.file) else { continue };
        let artifact = store.shelf.store(content);
        store.contents.insert(artifact.digest, content.clone());
        outputs.push(OutputRecord { name: output.name.clone(), file: output.file.clone(), artifact });
    }
    let checked = attempt.check(store);
    store.folders.remove(&attempt.folder);
    (outputs, checked)
}

/// Records a stored result, and gives up the claim on it; says whether it was still whole.
pub(crate) fn record(store: &Shared, (_, record, claim): Unrecorded) -> bool {
    let is_whole = {
        let Store { records, shelf, .. } = &mut *store.borrow_mut();
        let lost = record.outputs.iter().filter(|output| !shelf.is_present(&output.artifact)).count();
        if lost == 0 {
            records.insert(record.fingerprint, record);
        }
        lost == 0
    };
    drop(claim);
    is_whole
}

/// Starts jobs by putting them on the desk.
pub(crate) struct OnTheDesk(pub(crate) Rc<RefCell<Desk>>);

impl Executor for OnTheDesk {
    fn start(&mut self, job: Job) {
        self.0.borrow_mut().jobs.push((job, None));
    }

    fn stop(&mut self, id: InstanceId, how: Stop) {
        self.0
            .borrow_mut()
            .jobs
            .iter_mut()
            .filter(|(job, _)| job.id == id)
            .for_each(|(_, stopped)| *stopped = Some(how));
    }
}

/// A job's stage does something to the inputs that it is only to read.
pub(crate) fn spoil(store: &Shared, job: &Job, spoil: Spoil) {
    let Store { shelf, folders, .. } = &mut *store.borrow_mut();
    let Tried { folder, links, copies } = folders.get_mut(&job.folder).expect("a try has its folder");
    links.iter().for_each(|(_, artifact)| shelf.spoil(artifact, spoil));
    for (at, _) in copies {
        spoil.apply(folder.get_mut(at).expect("copies are in the folder"));
    }
}

/// Does a job's work; `fails` says whether this line fails, by its first word. Stored inputs are read as they lay there when it
/// began or as they do now.
pub(crate) fn work(store: &Shared, job: &Job, rng: &mut Rng, fails: impl FnOnce(&str) -> bool) -> Exit {
    let Launch::Script(Script { text: line, .. }) = &job.launch else { unreachable!("every job here is a line") };
    let Store { shelf, folders, .. } = &mut *store.borrow_mut();
    let Tried { folder, links, .. } = folders.get_mut(&job.folder).expect("a try has its folder");
    for (at, artifact) in links.iter().filter(|_| rng.bool()) {
        match shelf.seen(artifact) {
            Some(seen) => drop(folder.insert(at.clone(), seen)),
            None => {
                shell::fail(folder);
                return Exit::Status(1);
            }
        }
    }
    if fails(line) {
        shell::fail(folder);
        return Exit::Status(1);
    }
    shell::carry_out(line, folder);
    Exit::Success
}
