//! Tests of a remote cache between two local ones, with storages that fail.

mod collection;
mod disturbed;
mod states;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use athanor_cache::{ActionRecord, Artifact, Cache, Digest, Lookup, OutputRecord, Unsynced, remove_tree};
use serde_json::{Map, json};
use tempfile::TempDir;

use crate::{FailureKind, Programs, PushOptions, Remote, RemoteError, RemoteOptions, TeamKey, Transfer};
use disturbed::{Disturbance, Disturbed, Nowhere};

const OPTIONS: PushOptions = PushOptions { logs: true, again: false };

/// Folder of a test, which goes at its end with the read-only folders in it.
struct TestFolder(TempDir);

impl TestFolder {
    fn new() -> TestFolder {
        TestFolder(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        remove_tree(self.path()).unwrap();
    }
}

/// Two machines and what they share.
struct Two {
    folder: TestFolder,
    here: Cache,
    there: Cache,
}

impl Two {
    fn new() -> Two {
        let folder = TestFolder::new();
        fs::create_dir(folder.path().join("team")).unwrap();
        let open = |name: &str| Cache::open(&folder.path().join(name)).unwrap();
        let (here, there) = (open("here"), open("there"));
        Two { folder, here, there }
    }

    fn team(&self) -> PathBuf {
        self.folder.path().join("team")
    }

    fn remote(&self) -> Remote {
        self.remote_with(None)
    }

    fn remote_with(&self, team_key: Option<&str>) -> Remote {
        let options = RemoteOptions {
            address: format!("file://{}", self.team().display()).parse().unwrap(),
            team_key: team_key.map(|key| TeamKey::new(key).unwrap()),
            variables: Vec::new(),
            program_there: String::new(),
            programs: Programs::default(),
        };
        Remote::open(&options).unwrap()
    }

    /// A remote cache whose storage is disturbed, and the way to disturb it.
    fn disturbed(&self) -> (Remote, Arc<Disturbance>) {
        let mut remote = self.remote();
        let disturbance = Arc::new(Disturbance::default());
        let inner = std::mem::replace(&mut remote.storage, Box::new(Nowhere));
        remote.storage = Box::new(Disturbed { inner, disturbance: Arc::clone(&disturbance) });
        (remote, disturbance)
    }

    /// The files of what is shared, without what is being written.
    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        list(&self.team(), &self.team(), &mut keys);
        keys.retain(|key| !key.starts_with("tmp/"));
        assert!(!keys.iter().any(|key| key.starts_with("leases/")), "a lease is left: {keys:?}");
        keys.sort();
        keys
    }
}

fn list(root: &Path, folder: &Path, keys: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            list(root, &path, keys);
        } else {
            keys.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

/// Stores an output in `cache`.
fn put(cache: &Cache, make: impl FnOnce(&Path)) -> Artifact {
    let path = cache.scratch_root().join("made");
    make(&path);
    cache.ingest(&path).unwrap()
}

fn file(cache: &Cache, content: &[u8]) -> Artifact {
    put(cache, |path| fs::write(path, content).unwrap())
}

/// A folder with all that a folder can have.
fn folder(cache: &Cache, files: usize, salt: &str) -> Artifact {
    put(cache, |path| {
        fs::create_dir_all(path.join("deep/er")).unwrap();
        fs::create_dir(path.join("empty")).unwrap();
        for number in 0..files {
            fs::write(path.join(format!("deep/{number}")), format!("{salt}{}", number % (files - 1).max(1))).unwrap();
        }
        fs::write(path.join("nothing"), "").unwrap();
        fs::write(path.join("deep/er/run"), format!("#!{salt}")).unwrap();
        fs::set_permissions(path.join("deep/er/run"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(path.join("large"), vec![salt.len() as u8; 3 << 20]).unwrap();
    })
}

/// Records a result.
fn record(cache: &Cache, name: &str, outputs: Vec<Artifact>) -> ActionRecord {
    let log = Some(file(cache, format!("log of {name}").as_bytes()));
    let mut unsynced = Unsynced::default();
    let annex = Some(cache.store_annex(format!("annex of {name}").as_bytes(), &mut unsynced).unwrap());
    let output = |(at, artifact)| OutputRecord { name: format!("out{at}"), file: format!("out{at}.bin"), artifact };
    let record = ActionRecord {
        fingerprint: Digest::of(name.as_bytes()),
        recipe: json!({ "name": name }),
        outputs: outputs.into_iter().enumerate().map(output).collect(),
        metrics: Map::new(),
        log,
        duration_ms: 5,
        finished_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        program: "test".into(),
        sequence: cache.next_sequence(0).unwrap(),
        annex,
        extensions: Map::new(),
    };
    cache.record(&record).unwrap();
    record
}

/// A result with a folder, a small, a large and an empty file.
fn result(cache: &Cache, name: &str) -> ActionRecord {
    let large: Vec<u8> = (0..5u32 << 20).map(|at| (at % 251) as u8).chain(name.bytes()).collect();
    let outputs = vec![folder(cache, 40, name), file(cache, name.as_bytes()), file(cache, &large), file(cache, b"")];
    record(cache, name, outputs)
}

fn push(remote: &Remote, cache: &Cache, records: &[&ActionRecord]) -> Result<crate::PushReport, RemoteError> {
    remote.push(cache, records.iter().map(|record| (*record).clone()).collect(), OPTIONS, &Transfer::default())
}

/// Finds a result and fetches all of it; whether there was one.
fn pull(remote: &Remote, cache: &Cache, record: &ActionRecord) -> Result<bool, RemoteError> {
    let Some(found) = remote.find(&record.fingerprint)? else { return Ok(false) };
    remote.pull(cache, &found, &Transfer::default())
}

fn is_hit(cache: &Cache, record: &ActionRecord) -> bool {
    matches!(cache.lookup(&record.fingerprint).unwrap(), Lookup::Hit(found) if found.outputs == record.outputs)
}

#[test]
fn results_arrive_whole_and_nothing_is_sent_twice() {
    let two = Two::new();
    let records = [result(&two.here, "a"), result(&two.here, "b")];
    assert!(!pull(&two.remote(), &two.there, &records[0]).unwrap());
    let report = push(&two.remote(), &two.here, &records.each_ref()).unwrap();
    assert_eq!((report.pushed, report.there), (2, 0));
    let keys = two.keys();
    let many = |area: &str| keys.iter().filter(|key| key.starts_with(area)).count();
    // Of each result the folder's pack; one pack for all small files that are outputs, logs and annexes. Both folders have the
    // same large file.
    assert_eq!([many("actions/"), many("folders/"), many("packs/"), many("objects/")], [2, 2, 3, 3], "{keys:?}");
    let (remote, disturbance) = two.disturbed();
    assert_eq!(push(&remote, &two.here, &records.each_ref()).unwrap().there, 2);
    assert_eq!(disturbance.puts.load(Ordering::SeqCst), 0);
    for record in &records {
        assert!(pull(&two.remote(), &two.there, record).unwrap());
        assert!(is_hit(&two.there, record));
        let found = two.there.read_record(&record.fingerprint).unwrap().unwrap();
        assert_eq!(
            fs::read(two.there.path_of(found.log.as_ref().unwrap())).unwrap(),
            fs::read(two.here.path_of(record.log.as_ref().unwrap())).unwrap()
        );
        assert_eq!(
            two.there.read_annex(&found.annex.unwrap()).unwrap(),
            two.here.read_annex(&record.annex.unwrap()).unwrap()
        );
    }
    let report = two.there.verify(&|_, _| {}).unwrap();
    assert!(report.damaged.is_empty() && report.checked > 80, "{report:?}");
}

#[test]
fn a_hit_needs_one_request_and_only_what_is_asked_for_is_fetched() {
    let two = Two::new();
    let made = result(&two.here, "a");
    push(&two.remote(), &two.here, &[&made]).unwrap();
    let (remote, disturbance) = two.disturbed();
    remote.is_begun().unwrap();
    let gets = disturbance.gets.load(Ordering::SeqCst);
    let found = remote.find(&made.fingerprint).unwrap().unwrap();
    assert_eq!(disturbance.gets.load(Ordering::SeqCst) - gets, 1);
    let small = &made.outputs[1].artifact;
    remote.fetch(&two.there, &found, &[small], &Transfer::default()).unwrap();
    assert!(two.there.path_of(small).exists());
    assert!(
        !two.there.path_of(&made.outputs[0].artifact).exists()
            && !two.there.path_of(&made.outputs[2].artifact).exists()
    );
    assert_eq!(two.there.lookup(&made.fingerprint).unwrap(), Lookup::Miss);
}

#[test]
fn the_first_of_two_different_results_stays() {
    let two = Two::new();
    let ours = record(&two.here, "a", vec![file(&two.here, b"ours")]);
    let theirs = record(&two.there, "a", vec![file(&two.there, b"theirs")]);
    push(&two.remote(), &two.here, &[&ours]).unwrap();
    assert_eq!(push(&two.remote(), &two.there, &[&theirs]).unwrap().differing, [theirs.fingerprint]);
    let found = two.remote().find(&ours.fingerprint).unwrap().unwrap();
    assert_eq!(found.record.outputs, ours.outputs);
}

#[test]
fn logs_stay_where_they_are_if_the_user_says_so() {
    let two = Two::new();
    let made = record(&two.here, "a", vec![file(&two.here, b"1")]);
    let options = PushOptions { logs: false, again: false };
    two.remote().push(&two.here, vec![made.clone()], options, &Transfer::default()).unwrap();
    assert!(pull(&two.remote(), &two.there, &made).unwrap());
    assert_eq!(two.there.read_record(&made.fingerprint).unwrap().unwrap().log, None);
}

#[test]
fn nothing_is_believed_that_the_team_did_not_seal() {
    let two = Two::new();
    let [plain, sealed] = ["plain", "sealed"].map(|name| record(&two.here, name, vec![file(&two.here, b"1")]));
    let [ours, others] = ["the key of this team", "the key of another team"].map(Some);
    push(&two.remote(), &two.here, &[&plain]).unwrap();
    push(&two.remote_with(ours), &two.here, &[&sealed]).unwrap();
    let find = |key, made: &ActionRecord| two.remote_with(key).find(&made.fingerprint).map(|found| found.is_some());
    assert!(find(None, &plain).unwrap() && find(None, &sealed).unwrap() && find(ours, &sealed).unwrap());
    for (key, made) in [(ours, &plain), (others, &plain), (others, &sealed)] {
        let error = find(key, made).unwrap_err();
        assert!(error.to_string().contains("not sealed with the team's key"), "{error}");
    }
    // Who has the key puts a seal on what had none.
    assert_eq!(push(&two.remote_with(ours), &two.here, &[&plain]).unwrap().pushed, 1);
    assert!(find(ours, &plain).unwrap());
}

#[test]
fn what_lies_is_not_believed() {
    let two = Two::new();
    let [one, other] = ["one", "other"].map(|name| result(&two.here, name));
    push(&two.remote(), &two.here, &[&one, &other]).unwrap();
    let path = |record: &ActionRecord| two.team().join("actions").join(record.fingerprint.to_string());
    // A record in another one's place.
    fs::remove_file(path(&other)).unwrap();
    fs::copy(path(&one), path(&other)).unwrap();
    assert_eq!(two.remote().find(&other.fingerprint).unwrap_err().kind(), Some(FailureKind::Damaged));
    // A folder in another one's place.
    let index = |record: &ActionRecord| two.team().join("folders").join(record.outputs[0].artifact.digest.to_string());
    fs::remove_file(index(&one)).unwrap();
    fs::copy(index(&other), index(&one)).unwrap();
    assert_eq!(pull(&two.remote(), &two.there, &one).unwrap_err().kind(), Some(FailureKind::Damaged));
    assert!(!is_hit(&two.there, &one));
    // A layout of later times.
    fs::remove_file(two.team().join("athanor-remote")).unwrap();
    let mark = crate::document::seal("athanor-remote", &json!({ "version": 2 }), None).unwrap();
    fs::write(two.team().join("athanor-remote"), mark).unwrap();
    assert!(two.remote().find(&one.fingerprint).unwrap_err().to_string().contains("has version 2"));
}

#[test]
fn every_file_that_is_damaged_or_missing_is_told_and_never_used() {
    let two = Two::new();
    let made = result(&two.here, "a");
    push(&two.remote(), &two.here, &[&made]).unwrap();
    for key in two.keys() {
        let path = two.team().join(&key);
        let good = fs::read(&path).unwrap();
        let mut flipped = good.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let wrongs = [Some(flipped), Some(good[..middle].to_vec()), Some(Vec::new()), None];
        for wrong in wrongs {
            let there = TestFolder::new();
            let there = Cache::open(&there.path().join("cache")).unwrap();
            fs::remove_file(&path).unwrap();
            wrong.iter().for_each(|wrong| fs::write(&path, wrong).unwrap());
            let outcome = pull(&two.remote(), &there, &made);
            let is_absent = wrong.is_none() && (key == "athanor-remote" || key.starts_with("actions/"));
            match outcome {
                Ok(found) => assert!(!found && is_absent, "{key} {wrong:?}"),
                Err(error) => assert!(error.kind() == Some(FailureKind::Damaged) && !is_absent, "{key}: {error}"),
            }
            assert!(there.lookup(&made.fingerprint).unwrap() == Lookup::Miss, "{key}");
            assert!(there.verify(&|_, _| {}).unwrap().damaged.is_empty(), "{key}");
            // Another push mends it.
            let again = PushOptions { logs: true, again: true };
            if key == "athanor-remote" {
                // Nobody pushes to what may be something else: that file is for people to remove.
                let _ = fs::remove_file(&path);
            }
            two.remote().push(&two.here, vec![made.clone()], again, &Transfer::default()).unwrap();
            assert!(pull(&two.remote(), &there, &made).unwrap(), "{key}");
            assert!(is_hit(&there, &made));
        }
    }
}

#[test]
fn every_failure_of_a_storage_is_an_error_and_nothing_is_left_half() {
    let two = Two::new();
    let made = result(&two.here, "a");
    let kinds =
        [FailureKind::Unreachable, FailureKind::Denied, FailureKind::Busy, FailureKind::Full, FailureKind::Other];
    for (round, kind) in kinds.into_iter().enumerate() {
        for fail_at in 0.. {
            let (remote, disturbance) = two.disturbed();
            disturbance.fail_at(fail_at, kind);
            let outcome = push(&remote, &two.here, &[&made]);
            let is_there = two.remote().find(&made.fingerprint).unwrap().is_some();
            match outcome {
                Ok(_) => {
                    assert!(is_there && fail_at > 0);
                    break;
                }
                Err(error) => assert!(error.kind() == Some(kind) && !is_there, "{fail_at}: {error}"),
            }
        }
        for fail_at in 0.. {
            let there = Cache::open(&two.folder.path().join(format!("there{round}.{fail_at}"))).unwrap();
            let (remote, disturbance) = two.disturbed();
            disturbance.fail_at(fail_at, kind);
            match pull(&remote, &there, &made) {
                Ok(found) => {
                    assert!(found && is_hit(&there, &made) && fail_at > 0);
                    break;
                }
                Err(error) => assert!(error.kind() == Some(kind), "{fail_at}: {error}"),
            }
            assert_eq!(there.lookup(&made.fingerprint).unwrap(), Lookup::Miss);
            // What has arrived is right, and another try gets the rest.
            assert!(there.verify(&|_, _| {}).unwrap().damaged.is_empty());
            assert!(pull(&two.remote(), &there, &made).unwrap() && is_hit(&there, &made));
        }
        fs::remove_dir_all(two.team()).unwrap();
        fs::create_dir(two.team()).unwrap();
    }
}

#[test]
fn an_interrupted_push_goes_on_where_it_was() {
    let two = Two::new();
    let made = result(&two.here, "a");
    let (remote, disturbance) = two.disturbed();
    // All but the record.
    disturbance.fail_on("actions/", true);
    push(&remote, &two.here, &[&made]).unwrap_err();
    let (remote, disturbance) = two.disturbed();
    push(&remote, &two.here, &[&made]).unwrap();
    // The lease, and the record.
    assert_eq!(disturbance.puts.load(Ordering::SeqCst), 2);
}

#[test]
fn a_storage_that_is_down_is_left_alone() {
    let two = Two::new();
    let (remote, disturbance) = two.disturbed();
    disturbance.fail_on("", false);
    for _ in 0..10 {
        remote.find(&Digest::of(b"x")).unwrap_err();
    }
    assert_eq!(disturbance.gets.load(Ordering::SeqCst), 3);
    assert!(matches!(remote.find(&Digest::of(b"x")), Err(RemoteError::Paused { .. })));
}

#[test]
fn a_stopped_transfer_ends() {
    let two = Two::new();
    let made = result(&two.here, "a");
    let transfer = Transfer::default();
    transfer.stop();
    let outcome = two.remote().push(&two.here, vec![made.clone()], OPTIONS, &transfer);
    assert!(matches!(outcome, Err(RemoteError::Stopped)));
    push(&two.remote(), &two.here, &[&made]).unwrap();
    let found = two.remote().find(&made.fingerprint).unwrap().unwrap();
    assert!(matches!(two.remote().pull(&two.there, &found, &transfer), Err(RemoteError::Stopped)));
}

#[test]
fn a_file_that_is_damaged_here_is_not_pushed() {
    let two = Two::new();
    let made = result(&two.here, "a");
    let object = two.team().join("objects").join(made.outputs[2].artifact.digest.to_string());
    for output in [&made.outputs[2], &made.outputs[1]] {
        let path = two.here.path_of(&output.artifact);
        let good = fs::read(&path).unwrap();
        let mut wrong = good.clone();
        wrong[0] ^= 1;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, &wrong).unwrap();
        assert!(push(&two.remote(), &two.here, &[&made]).is_err());
        assert!(two.remote().find(&made.fingerprint).unwrap().is_none());
        assert_eq!(object.exists(), output.artifact != made.outputs[2].artifact);
        fs::write(&path, &good).unwrap();
    }
}
