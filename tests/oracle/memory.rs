//! A cache, folders of tries and processes, all in memory: under the program's own planner, fingerprints and dispatcher.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use athanor::plan::{Instance, InstanceId};
use athanor::run::attempt::{Place, Stored};
use athanor::run::executor::{Executor, Exit, Job, Launch, Stop};
use athanor::run::flights::Outputs;
use athanor::run::recipe::Resolved;
use athanor::run::resolve::Inputs;
use athanor::run::resources::Allocation;
use athanor::run::workshop::{Abandoned, Workshop};
use athanor::run::workspace::Target;
use athanor_cache::{ActionRecord, Artifact, ArtifactKind, CacheError, Digest, OutputRecord};
use athanor_stages::context::StageReport;
use serde_json::Map;

use super::made::Made;
use super::shell::{self, Folder};

/// The folder that projects seem to lie in.
pub const PROJECT: &str = "/project";

/// What outlives runs.
#[derive(Default)]
pub struct Store {
    pub records: HashMap<Digest, ActionRecord>,
    pub contents: HashMap<Digest, Made>,
    claims: HashSet<Digest>,
    /// The user's files.
    files: BTreeMap<String, String>,
    /// Folders of tries.
    folders: HashMap<PathBuf, Folder>,
}

pub type Shared = Rc<RefCell<Store>>;

impl Store {
    /// A new run begins: nothing of an earlier one goes on, and the user's files are these.
    pub fn begin(&mut self, files: &BTreeMap<String, String>) {
        self.folders.clear();
        self.files.clone_from(files);
    }
}

/// What something holds, as the cache would say.
pub fn artifact(made: &Made) -> Artifact {
    match made {
        Made::File(content) => {
            Artifact { kind: ArtifactKind::File, digest: Digest::of(content), bytes: content.len() as u64, files: 1 }
        }
        Made::Folder(entries) => Artifact {
            kind: ArtifactKind::Folder,
            digest: Digest::of(format!("{entries:?}").as_bytes()),
            bytes: entries.values().flatten().map(|content| content.len() as u64).sum(),
            files: entries.values().flatten().count() as u64,
        },
    }
}

/// A claim, given back when it is dropped.
pub struct Claim {
    store: Shared,
    fingerprint: Digest,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.store.borrow_mut().claims.remove(&self.fingerprint);
    }
}

/// A try in memory.
pub struct Attempt {
    folder: PathBuf,
    fingerprint: Digest,
    claim: Claim,
}

/// A stored result that is to be recorded, and the claim on it; should the run be killed, the next process records it.
pub type Unrecorded = (InstanceId, ActionRecord, Option<Claim>);

/// Jobs that run, tries whose results are being stored, and results that are to be recorded.
#[derive(Default)]
pub struct Desk {
    pub jobs: Vec<(Job, Option<Stop>)>,
    pub stores: Vec<(InstanceId, Instance, Attempt)>,
    pub unrecorded: Vec<Unrecorded>,
    /// Claims on results that are stored.
    claims: HashMap<InstanceId, Claim>,
}

/// The place of one run.
pub struct InMemory {
    pub store: Shared,
    /// Where folders of tries seem to lie.
    pub scratch: PathBuf,
    pub desk: Rc<RefCell<Desk>>,
}

impl Workshop for InMemory {
    type Claim = Claim;
    type Attempt = Attempt;

    fn look_up(&self, fingerprint: &Digest) -> Result<Option<Outputs>, CacheError> {
        let outputs = self.store.borrow().records.get(fingerprint).map(|record| record.outputs.as_slice().into());
        Ok(outputs)
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
        place: Place,
    ) -> Result<Attempt, CacheError> {
        let at = self.scratch.join(format!("{}.{}", id.0, place.number));
        let store = &mut *self.store.borrow_mut();
        let mut folder = Folder::new();
        for link in inputs.links(id, &recipe, place.private) {
            let content = match link.target {
                Target::Stored(artifact) => store.contents[&artifact.digest].clone(),
                Target::OnDisk(path) => Made::File(store.files[in_project(&path)].clone().into_bytes()),
            };
            folder.insert(link.at, content);
        }
        assert!(store.folders.insert(at.clone(), folder).is_none(), "a try's folder is its own");
        Ok(Attempt { folder: at, fingerprint, claim })
    }

    fn job(&self, inputs: &Inputs<'_>, id: InstanceId, attempt: &Attempt, _: &Allocation) -> Job {
        let instance = &inputs.plan.instances[id.index()];
        let launch = match &instance.work {
            athanor::plan::Work::Command(command) => Launch::Shell(command.line.clone()),
            // What a worker gets is the kind, its parameters, the seed and files; here all are in the line.
            athanor::plan::Work::BuiltIn { params } => {
                let (kind, revision, seed) = (instance.kind.name(), instance.kind.revision(), instance.seed);
                let files: Vec<&str> =
                    instance.inputs.iter().flat_map(|input| &input.files).map(String::as_str).collect();
                let output = &instance.outputs[0].file;
                Launch::Shell(format!("built-in {kind} {revision} {seed} {params} {output} {}", files.join(" ")))
            }
        };
        Job { id, launch, folder: attempt.folder.clone(), log: PathBuf::new(), environment: Vec::new() }
    }

    fn note(&self, _: &mut Attempt, _: &StageReport) {}

    fn store(&mut self, inputs: &Inputs<'_>, id: InstanceId, attempt: Attempt) {
        let instance = inputs.plan.instances[id.index()].clone();
        self.desk.borrow_mut().stores.push((id, instance, attempt));
    }

    fn record(&mut self, id: InstanceId, stored: &Stored) {
        let desk = &mut *self.desk.borrow_mut();
        desk.unrecorded.push((id, stored.record.clone(), desk.claims.remove(&id)));
    }

    fn hurry(&self) {}

    fn abandon(&mut self, attempt: Attempt) -> Abandoned {
        self.store.borrow_mut().folders.remove(&attempt.folder);
        drop(attempt.claim);
        Abandoned::default()
    }
}

fn in_project(path: &Path) -> &str {
    path.strip_prefix(PROJECT).ok().and_then(Path::to_str).expect("paths of the project lie in its folder")
}

/// Stores the result of a try.
pub fn store(desk: &mut Desk, store: &Shared, id: InstanceId, instance: &Instance, attempt: Attempt) -> Stored {
    let mut stored = store.borrow_mut();
    let folder = stored.folders.remove(&attempt.folder).expect("a try has its folder");
    let mut outputs = Vec::new();
    for output in &instance.outputs {
        // The built-in kinds' outputs that nobody reads are left out.
        let Some(content) = folder.get(&output.file) else { continue };
        let artifact = artifact(content);
        stored.contents.insert(artifact.digest, content.clone());
        outputs.push(OutputRecord { name: output.name.clone(), file: output.file.clone(), artifact });
    }
    let record = ActionRecord {
        fingerprint: attempt.fingerprint,
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
    desk.claims.insert(id, attempt.claim);
    Stored { record, undeclared: Vec::new(), removed: Vec::new() }
}

/// Records a stored result, and gives up the claim on it.
pub fn record(store: &Shared, (_, record, claim): Unrecorded) {
    store.borrow_mut().records.insert(record.fingerprint, record);
    drop(claim);
}

/// Starts jobs by putting them on the desk.
pub struct OnTheDesk(pub Rc<RefCell<Desk>>);

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

/// Does a job's work; `fails` says whether this line fails, by its first word.
pub fn work(store: &Shared, job: &Job, fails: impl FnOnce(&str) -> bool) -> Exit {
    let Launch::Shell(line) = &job.launch else { unreachable!("every job here is a line") };
    let mut stored = store.borrow_mut();
    let folder = stored.folders.get_mut(&job.folder).expect("a try has its folder");
    if fails(line) {
        shell::fail(folder);
        return Exit::Status(1);
    }
    shell::carry_out(line, folder);
    Exit::Success
}
