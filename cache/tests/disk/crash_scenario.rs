//! Crash scenarios: random steps on a cache, the promises made on the way, and what must hold after any crash.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use athanor_cache::{
    ActionRecord, Artifact, ArtifactKind, Cache, CacheError, Digest, DigestHints, DiskHook, GcRequest, ItemRecord,
    ItemStore, Lookup, OutputRecord, StoredResult, Tree, Unsynced,
};
use fastrand::Rng;
use serde_json::{Map, json};

use super::promises::{Promise, Promised, Recording};
use super::simulated::Recorder;

const SCOPE: &str = "kind 1";
/// Places for results: works take turns in them.
const PLACES: usize = 3;

/// Output of a work.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Output {
    /// A file; whether it is executable.
    File(Vec<u8>, bool),
    /// A folder: path to content and whether that is executable.
    Folder(BTreeMap<String, (Vec<u8>, bool)>),
    /// A folder with the file of each of these items.
    Items(Vec<u32>),
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// Work is done, or done again, and its result recorded.
    Work(usize),
    /// The item is computed and kept by work that may never end.
    Item(u32),
    /// The user gets the result.
    Publish(usize),
    /// All but the results of these works goes.
    Collect(Vec<usize>),
    /// The stored files with this content rot, which is found.
    Rot(u32),
}

/// Works, by number, and what happens.
#[derive(Debug)]
pub(crate) struct CrashScenario {
    outputs: Vec<Output>,
    /// Steps, each with the number of operations after which its process is killed.
    steps: Vec<(Step, Option<usize>)>,
}

/// The content of an item: several have the same.
fn item_content(item: u32) -> Vec<u8> {
    content(item % 5)
}

fn content(number: u32) -> Vec<u8> {
    format!("content {number}").repeat(1 + number as usize % 4).into_bytes()
}

impl CrashScenario {
    /// A random scenario. Contents are few, so that works and items share some.
    pub(crate) fn new(rng: &mut Rng) -> CrashScenario {
        let outputs: Vec<Output> = (0..6)
            .map(|_| match rng.u32(0..3) {
                0 => Output::File(content(rng.u32(0..6)), rng.u32(0..4) == 0),
                1 => {
                    let paths = ["a", "b", "sub/c", "sub/deep/d"];
                    let some: Vec<_> = paths.iter().filter(|_| rng.bool()).collect();
                    let file = |path: &&str| ((*path).to_owned(), (content(rng.u32(0..6)), rng.u32(0..4) == 0));
                    Output::Folder(some.iter().copied().map(file).collect())
                }
                _ => Output::Items((0..4).filter(|_| rng.bool()).collect()),
            })
            .collect();
        let step = |rng: &mut Rng| match rng.u32(0..11) {
            0..6 => Step::Work(rng.usize(0..6)),
            6 | 7 => Step::Item(rng.u32(0..8)),
            8 => Step::Publish(rng.usize(0..6)),
            9 => Step::Collect((0..6).filter(|_| rng.bool()).collect()),
            _ => Step::Rot(rng.u32(0..6)),
        };
        let steps = (0..12).map(|_| (step(rng), (rng.u32(0..6) == 0).then(|| rng.usize(0..25))));
        CrashScenario { steps: steps.collect(), outputs }
    }

    /// Lets the scenario happen on the disk that `recorder` watches.
    pub(crate) fn run(&self, base: &Path, recorder: &Arc<Recorder>) -> Recording {
        let watch: Arc<dyn DiskHook> = Arc::clone(recorder) as _;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| self.run_alone(base, recorder, watch))
    }

    fn run_alone(&self, base: &Path, recorder: &Recorder, watch: Arc<dyn DiskHook>) -> Recording {
        let cache = Cache::open_hooked(&base.join("cache"), Some(watch)).unwrap();
        let stage = Stage(Some(recorder));
        let mut recording = Recording::default();
        for (number, (step, killed_after)) in self.steps.iter().enumerate() {
            let began = recorder.length();
            recorder.kill_after(*killed_after);
            let outcome = self.step(step, number, &cache, base, stage);
            recorder.kill_after(None);
            let ended = recorder.length();
            let goes = |what: &Promised| match (step, what) {
                (Step::Collect(kept), Promised::Recorded(work)) => !kept.contains(work),
                (Step::Rot(number), Promised::Recorded(work)) => self.consists_of(*work, &content(*number)),
                // The user's old result gives way to the new one.
                (Step::Publish(work), Promised::Published(other)) => work % PLACES == other % PLACES,
                _ => false,
            };
            let gone = recording.promises.iter_mut().filter(|promise| goes(&promise.what));
            gone.for_each(|promise| promise.until = promise.until.min(began));
            if let Step::Rot(_) = step {
                // A verification that is killed leaves the rest to the next one.
                let verified = outcome.is_ok() || cache.verify(&|_, _| {}).is_ok();
                assert!(verified, "a cache can be verified");
                recording.rotten.push(began..recorder.length());
            }
            match outcome {
                Ok(Some(what)) => recording.promises.push(Promise { since: ended, until: usize::MAX, what }),
                Ok(None) => {}
                Err(error) => assert!(killed_after.is_some(), "{error}"),
            }
        }
        recording
    }

    /// Whether a file of a work has this content.
    fn consists_of(&self, work: usize, content: &[u8]) -> bool {
        self.expected(work).values().any(|(own, _)| own == content)
    }

    /// The scenario once more, on a disk that may refuse anything; what fails is left undone.
    pub(crate) fn try_to_run(&self, base: &Path, watch: Arc<dyn DiskHook>) {
        let Ok(cache) = Cache::open_hooked(&base.join("cache"), Some(watch)) else { return };
        for (number, (step, _)) in self.steps.iter().enumerate() {
            let outcome = self.step(step, number, &cache, base, Stage(None));
            assert!(outcome.as_ref().err().is_none_or(|error| !error.to_string().is_empty()));
        }
    }

    fn step(
        &self,
        step: &Step,
        number: usize,
        cache: &Cache,
        base: &Path,
        stage: Stage<'_>,
    ) -> Result<Option<Promised>, CacheError> {
        match step {
            Step::Work(work) => {
                self.work(*work, number, cache, stage)?;
                Ok(Some(Promised::Recorded(*work)))
            }
            Step::Item(item) => {
                let items = cache.items(SCOPE, &cache.resume_state_path(&fingerprint(99)))?;
                keep(&items, cache, *item, stage)?;
                Ok(None)
            }
            Step::Publish(work) => match cache.lookup(&fingerprint(*work))? {
                Lookup::Hit(record) => {
                    publish(cache, &record.outputs[0].artifact, &published(base, *work), number)?;
                    Ok(Some(Promised::Published(*work)))
                }
                _ => Ok(None),
            },
            Step::Collect(works) => {
                let keep = works.iter().map(|work| fingerprint(*work)).collect();
                let keep_items = [SCOPE.to_owned()].into();
                cache.collect(&GcRequest { keep, keep_items, ..GcRequest::default() }, None)?;
                Ok(None)
            }
            Step::Rot(number) => {
                let digest = Digest::of(&content(*number));
                for kind in [ArtifactKind::File, ArtifactKind::Executable] {
                    let path = cache.path_of(&Artifact { kind, digest, bytes: 0, files: 1 });
                    if path.exists() {
                        stage.rot(&path);
                    }
                }
                cache.verify(&|_, _| {}).map(|_| None)
            }
        }
    }

    /// Does the work and records its result.
    fn work(&self, work: usize, number: usize, cache: &Cache, stage: Stage<'_>) -> Result<(), CacheError> {
        let folder = cache.scratch_root().join(format!("{number}.{work}"));
        let path = folder.join("out");
        let mut hints = std::collections::HashMap::new();
        match &self.outputs[work] {
            Output::File(content, executable) => stage.write(&path, content, *executable),
            Output::Folder(files) => {
                stage.make_folder(&path);
                for (name, (content, executable)) in files {
                    stage.write(&path.join(name), content, *executable);
                }
            }
            Output::Items(wanted) => {
                stage.make_folder(&path);
                let items = cache.items(SCOPE, &cache.resume_state_path(&fingerprint(work)))?;
                let list = DigestHints::create(&folder.join("placements"))?;
                for item in wanted {
                    let record = match items.find(&item_key(*item)) {
                        Some(record) => record,
                        None => keep(&items, cache, *item, stage)?,
                    };
                    items.link(&record.files[0], &path.join(item.to_string()), &list)?;
                }
                items.sync()?;
                drop(list);
                hints = DigestHints::read(&folder.join("placements"), &folder);
            }
        }
        let mut unsynced = Unsynced::default();
        let artifact = cache.ingest_unsynced(&path, &hints, &mut unsynced)?;
        let outputs = vec![OutputRecord { name: "out".to_owned(), file: "out".to_owned(), artifact }];
        let record = ActionRecord {
            fingerprint: fingerprint(work),
            recipe: json!({ "work": work }),
            outputs,
            metrics: Map::new(),
            log: None,
            duration_ms: 1,
            finished_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            program: "test".to_owned(),
            sequence: 0,
            annex: None,
            extensions: Map::new(),
        };
        cache.record_all(&[StoredResult { record: &record.seal().unwrap(), unsynced: &unsynced }])?;
        cache.remove_resume_state(&record.fingerprint)
    }

    /// Expected files of a work; a single file has no name.
    fn expected(&self, work: usize) -> BTreeMap<String, (Vec<u8>, bool)> {
        match &self.outputs[work] {
            Output::File(content, executable) => BTreeMap::from([(String::new(), (content.clone(), *executable))]),
            Output::Folder(files) => files.clone(),
            Output::Items(items) => items.iter().map(|item| (item.to_string(), (item_content(*item), false))).collect(),
        }
    }

    /// The cache says nothing wrong of a work; says whether it has its result.
    fn is_right(&self, work: usize, cache: &Cache) -> Result<bool, String> {
        let found = cache.lookup(&fingerprint(work)).map_err(|error| format!("work {work}: {error}"))?;
        let Lookup::Hit(record) = found else { return Ok(false) };
        let artifact = &record.outputs[0].artifact;
        same(&format!("work {work}"), &read(&cache.path_of(artifact), artifact), &self.expected(work))?;
        Ok(true)
    }
}

/// Checks the disk at `base` after a crash: promises hold, nothing is wrong, and the rest can be computed. Something
/// that `is_rotten` is to be found first.
pub(crate) fn check(
    scenario: &CrashScenario,
    base: &Path,
    promises: &[&Promise],
    is_rotten: bool,
) -> Result<(), String> {
    reboot(&base.join("cache/items"));
    let cache = Cache::open(&base.join("cache")).map_err(|error| format!("the cache cannot be opened: {error}"))?;
    if is_rotten {
        cache.verify(&|_, _| {}).map_err(|error| format!("the cache cannot be verified: {error}"))?;
    }
    for Promise { what, .. } in promises {
        match what {
            Promised::Recorded(work) if !scenario.is_right(*work, &cache)? => {
                let found = cache.lookup(&fingerprint(*work));
                let lies = match &found {
                    Ok(Lookup::Incomplete { record, .. }) => read_any(&cache.path_of(&record.outputs[0].artifact)),
                    _ => BTreeMap::new(),
                };
                return Err(format!("the promised result of work {work} is not there: {found:?}; there is {lies:?}"));
            }
            Promised::Recorded(_) => {}
            Promised::Published(work) => {
                let found = read_any(&published(base, *work));
                same(&format!("the user's result of work {work}"), &found, &scenario.expected(*work))?;
            }
        }
    }
    let items = cache.items(SCOPE, &cache.resume_state_path(&fingerprint(98))).map_err(|error| error.to_string())?;
    for item in 0..8 {
        let Some(record) = items.find(&item_key(item)) else { continue };
        let content = fs::read(items.path_of(&record.files[0])).ok();
        if content != Some(item_content(item)) {
            return Err(format!("item {item} is found with {content:?}"));
        }
    }
    drop(items);
    compute_the_rest(scenario, base, &cache)
}

/// Everything that is missing can be made, and then is right: nothing that the cut has left behind is in the way.
pub(crate) fn compute_the_rest(scenario: &CrashScenario, base: &Path, cache: &Cache) -> Result<(), String> {
    for work in 0..scenario.outputs.len() {
        if !scenario.is_right(work, cache)? {
            scenario.work(work, 1000, cache, Stage(None)).map_err(|error| format!("work {work} again: {error}"))?;
        }
        if !scenario.is_right(work, cache)? {
            return Err(format!("work {work} was done again, and its result is not there"));
        }
    }
    for work in 0..scenario.outputs.len() {
        let step = scenario.step(&Step::Publish(work), 0, cache, base, Stage(None));
        step.map_err(|error| format!("result {work}: {error}"))?;
        same("the user's result", &read_any(&published(base, work)), &scenario.expected(work))?;
        scenario.is_right(work, cache)?;
    }
    let report = cache.verify(&|_, _| {}).map_err(|error| error.to_string())?;
    match report.lost.is_empty() {
        true => Ok(()),
        false => Err(format!("results that are there do not verify: {:?}", report.damaged)),
    }
}

/// Makes logs of items look as if they were written before the machine started.
fn reboot(folder: &Path) {
    for shard in list(folder) {
        for log in list(&shard).iter().flat_map(|scope| list(scope)) {
            let text = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
            if let Some(rest) = text.strip_prefix("boot ")
                && let Some((_, rest)) = rest.split_once('\n')
            {
                fs::write(&log, format!("boot {} earlier\n{rest}", Digest::of(b"earlier"))).unwrap();
            }
        }
    }
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

fn keep(items: &ItemStore<'_>, cache: &Cache, item: u32, stage: Stage<'_>) -> Result<ItemRecord, CacheError> {
    let folder = cache.scratch_root().join(format!("item{item}"));
    stage.write(&folder.join("out"), &item_content(item), false);
    items.insert(&item_key(item), json!({ "item": item }), &folder)
}

/// Changes that stages make, which the recorder of a hooked disk records.
#[derive(Clone, Copy)]
struct Stage<'r>(Option<&'r Recorder>);

impl Stage<'_> {
    fn write(self, path: &Path, content: &[u8], executable: bool) {
        match self.0 {
            Some(recorder) => recorder.write(path, content, executable),
            None => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let _ = fs::remove_file(path);
                fs::write(path, content).unwrap();
                let mode = if executable { 0o755 } else { 0o644 };
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }

    /// A bit of a stored file flips.
    fn rot(self, path: &Path) {
        match self.0 {
            Some(recorder) => recorder.rot(path, 3),
            None => {
                let mut bytes = fs::read(path).unwrap();
                bytes[3] ^= 4;
                fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
    }

    fn make_folder(self, path: &Path) {
        match self.0 {
            Some(recorder) => recorder.make_folders(path),
            None => fs::create_dir_all(path).unwrap(),
        }
    }
}

fn fingerprint(work: usize) -> Digest {
    Digest::of(format!("work {work}").as_bytes())
}

fn item_key(item: u32) -> Digest {
    Digest::of(format!("item {item}").as_bytes())
}

fn published(base: &Path, work: usize) -> PathBuf {
    base.join(format!("project/results/{}", work % PLACES))
}

/// The user gets a result in the place of whatever is there; every other time, files of folders are swapped one by one.
fn publish(cache: &Cache, artifact: &Artifact, target: &Path, number: usize) -> Result<(), CacheError> {
    let mut checkout = cache.checkout();
    let both_folders = artifact.kind == ArtifactKind::Folder && target.is_dir();
    let swaps = if both_folders && number.is_multiple_of(2) {
        let new = cache.read_tree(&artifact.digest)?;
        Tree::of_folder(target)?.swaps(&new).map(|swaps| (swaps, new))
    } else {
        None
    };
    let staged = match swaps {
        Some((swaps, new)) => checkout.stage_swaps(swaps, new, target)?,
        None => checkout.stage(artifact, target)?,
    };
    checkout.sync()?;
    checkout.put(&staged)?;
    checkout.sync_folders()
}

fn same(
    what: &str,
    found: &BTreeMap<String, (Vec<u8>, bool)>,
    expected: &BTreeMap<String, (Vec<u8>, bool)>,
) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?} and should be {expected:?}")) }
}

fn read(path: &Path, artifact: &Artifact) -> BTreeMap<String, (Vec<u8>, bool)> {
    let mut found = read_any(path);
    if let (ArtifactKind::File | ArtifactKind::Executable, Some(file)) = (artifact.kind, found.get_mut("")) {
        file.1 = artifact.kind == ArtifactKind::Executable;
    }
    found
}

fn read_any(path: &Path) -> BTreeMap<String, (Vec<u8>, bool)> {
    let mut found = BTreeMap::new();
    visit(path, path, &mut found);
    found
}

fn visit(root: &Path, at: &Path, found: &mut BTreeMap<String, (Vec<u8>, bool)>) {
    if at.is_dir() {
        list(at).iter().for_each(|path| visit(root, path, found));
    } else if let Ok(content) = fs::read(at) {
        let executable = fs::metadata(at).unwrap().permissions().mode() & 0o111 != 0;
        found.insert(at.strip_prefix(root).unwrap().to_str().unwrap().to_owned(), (content, executable));
    }
}

/// Removes a folder with read-only folders in it.
pub(crate) fn clear(folder: &Path) {
    fn unlock(folder: &Path) {
        let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
        list(folder).iter().filter(|path| path.is_dir() && !path.is_symlink()).for_each(|path| unlock(path));
    }
    unlock(folder);
    fs::remove_dir_all(folder).unwrap();
}
