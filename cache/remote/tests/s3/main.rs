//! A bucket as a remote cache, on a server of our own that fails in every way, and on emulators of object stores where they are installed.
#![cfg(feature = "cloud")]

mod emulators;
mod server;

use std::collections::HashSet;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use athanor_cache::{ActionRecord, Cache, Digest, Lookup, OutputRecord};
use athanor_remote::{
    CollectRequest, FailureKind, Programs, PushOptions, Remote, RemoteError, RemoteOptions, Transfer,
};
use serde_json::{Map, json};
use tempfile::TempDir;

use server::{Fault, Server};

const OPTIONS: PushOptions = PushOptions { logs: true, again: false };

fn remote(endpoint: &str) -> Remote {
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
        ("AWS_REGION", "us-east-1"),
    ];
    remote_at("s3://bucket/some/prefix", &variables)
}

fn remote_at(address: &str, variables: &[(&str, &str)]) -> Remote {
    let options = RemoteOptions {
        address: address.parse().unwrap(),
        team_key: None,
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        program_there: String::new(),
        programs: Programs::default(),
    };
    Remote::open(&options).unwrap()
}

fn cache() -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache")).unwrap();
    (folder, cache)
}

/// A result with a folder of small files and a file that is sent in several parts.
fn result(cache: &Cache) -> ActionRecord {
    result_of(cache, 40 << 20)
}

/// A result with a folder of small files and a file of this many bytes.
fn result_of(cache: &Cache, bytes: u32) -> ActionRecord {
    let folder = cache.scratch_root().join("folder");
    fs::create_dir_all(folder.join("deep")).unwrap();
    for number in 0..500 {
        fs::write(folder.join(format!("deep/{number}")), format!("file {number}")).unwrap();
    }
    let large = cache.scratch_root().join("large");
    fs::write(&large, (0..bytes).map(|at| (at % 251) as u8).collect::<Vec<_>>()).unwrap();
    let output = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        OutputRecord { name: name.clone(), file: name, artifact: cache.ingest(path).unwrap() }
    };
    let record = ActionRecord {
        fingerprint: Digest::of(b"work"),
        recipe: json!({}),
        outputs: vec![output(&folder), output(&large)],
        metrics: Map::new(),
        log: None,
        duration_ms: 1,
        finished_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        program: "test".into(),
        sequence: 0,
        annex: None,
        extensions: Map::new(),
    };
    cache.record(&record).unwrap();
    record
}

fn push(remote: &Remote, cache: &Cache, record: &ActionRecord) -> Result<usize, RemoteError> {
    remote.push(cache, vec![record.clone()], OPTIONS, &Transfer::default()).map(|report| report.pushed)
}

fn pull(remote: &Remote, cache: &Cache, record: &ActionRecord) -> Result<bool, RemoteError> {
    let Some(found) = remote.find(&record.fingerprint)? else { return Ok(false) };
    remote.pull(cache, &found, &Transfer::default())
}

/// Pushes, pushes again, and pulls a result with a file of this many bytes.
fn round_trip(remote: &dyn Fn() -> Remote, bytes: u32) {
    let ((_here, here), (_there, there)) = (cache(), cache());
    let made = result_of(&here, bytes);
    assert!(!pull(&remote(), &there, &made).unwrap());
    assert_eq!(push(&remote(), &here, &made).unwrap(), 1);
    assert_eq!(push(&remote(), &here, &made).unwrap(), 0);
    assert!(pull(&remote(), &there, &made).unwrap());
    assert!(matches!(there.lookup(&made.fingerprint).unwrap(), Lookup::Hit(found) if found.outputs == made.outputs));
    assert!(there.verify(&|_, _| {}).unwrap().damaged.is_empty());
}

fn keeping(keep: &[Digest]) -> CollectRequest {
    let keep = keep.iter().copied().collect();
    CollectRequest { keep, keep_states: HashSet::new(), min_age: Duration::ZERO }
}

/// Collects what was pushed: nothing that is needed goes, and then all goes.
fn collections(remote: &dyn Fn() -> Remote) {
    let ((_here, here), (_there, there)) = (cache(), cache());
    let made = result(&here);
    push(&remote(), &here, &made).unwrap();
    let kept = remote().collect(&keeping(&[made.fingerprint]), |_| ()).unwrap();
    assert_eq!((kept.kept, kept.results.len(), kept.contents), (1, 0, 0), "{kept:?}");
    assert!(pull(&remote(), &there, &made).unwrap());
    let gone = remote().collect(&keeping(&[]), |_| ()).unwrap();
    assert_eq!((gone.kept, gone.results.len(), gone.contents), (0, 1, 3), "{gone:?}");
    assert!(!pull(&remote(), &there, &made).unwrap());
    let empty = remote().plan_collection(&keeping(&[])).unwrap();
    assert_eq!((empty.kept, empty.bytes_freed), (0, 0), "{empty:?}");
}

#[test]
fn collections_in_a_bucket_remove_what_nobody_needs() {
    let server = Server::start();
    collections(&|| remote(&server.address));
    assert_eq!(server.keys(), ["some/prefix/athanor-remote"]);
}

#[test]
fn a_collection_that_a_server_fails_loses_nothing_that_is_named() {
    std::thread::scope(|scope| {
        for area in ["athanor-remote", "leases/", "actions/", "folders/", "packs/", "objects/"] {
            scope.spawn(move || {
                for fault in [Fault::Status(403), Fault::Status(500), Fault::Cut, Fault::Wrong, Fault::Closed] {
                    failed_collection(area, fault);
                }
            });
        }
    });
}

/// Collects while every reply about keys of an area fails.
fn failed_collection(area: &str, fault: Fault) {
    let server = Server::start();
    let ((_here, here), (_there, there)) = (cache(), cache());
    let made = result(&here);
    push(&remote(&server.address), &here, &made).unwrap();
    for keep in [vec![made.fingerprint], Vec::new()] {
        server.fail(area, fault);
        let outcome = remote(&server.address).collect(&keeping(&keep), |_| ());
        server.mend();
        let is_there = remote(&server.address).find(&made.fingerprint).unwrap().is_some();
        assert!(is_there || keep.is_empty(), "{area} {fault:?}: {outcome:?}");
        if is_there {
            assert!(pull(&remote(&server.address), &there, &made).unwrap(), "{area} {fault:?}: {outcome:?}");
        }
    }
}

#[test]
fn results_go_through_a_bucket() {
    let server = Server::start();
    round_trip(&|| remote(&server.address), 40 << 20);
    let keys = server.keys();
    assert!(keys.iter().all(|key| key.starts_with("some/prefix/")), "{keys:?}");
    // The mark, the record, the folder, its pack, and the large file.
    assert_eq!(keys.len(), 5, "{keys:?}");
    let before = server.requests();
    let remote = remote(&server.address);
    remote.is_begun().unwrap();
    remote.find(&Digest::of(b"work")).unwrap().unwrap();
    assert_eq!(server.requests() - before, 2);
}

#[test]
fn results_go_through_a_server_that_speaks_as_googles_does() {
    let server = Server::start();
    let account = r#"{"private_key": "", "private_key_id": "", "client_email": "nobody", "disable_oauth": true}"#;
    let variables = [("GOOGLE_BASE_URL", &*server.address), ("GOOGLE_SERVICE_ACCOUNT_KEY", account)];
    let open = || remote_at("gs://bucket/some/prefix", &variables);
    round_trip(&open, 40 << 20);
    assert_eq!(server.keys().len(), 5, "{:?}", server.keys());
    let server = Server::start();
    let variables = [("GOOGLE_BASE_URL", &*server.address), ("GOOGLE_SERVICE_ACCOUNT_KEY", account)];
    collections(&|| remote_at("gs://bucket/some/prefix", &variables));
}

#[test]
fn a_file_of_one_part_is_sent_with_one_request() {
    let server = Server::start();
    let (_here, here) = cache();
    let made = result_of(&here, 2 << 20);
    let puts =
        |requests: &[String]| requests.iter().filter(|line| line.contains("objects/")).cloned().collect::<Vec<_>>();
    push(&remote(&server.address), &here, &made).unwrap();
    let about_it = puts(&server.log());
    assert!(about_it.len() == 2 && about_it[0].starts_with("HEAD ") && about_it[1].starts_with("PUT "), "{about_it:?}");
}

#[test]
fn every_fault_of_every_reply_is_an_error_and_nothing_wrong_is_stored() {
    // Most of the time each of them waits to try again.
    std::thread::scope(|scope| {
        for area in ["athanor-remote", "actions/", "folders/", "packs/", "objects/"] {
            scope.spawn(|| every_fault_in(area));
        }
    });
}

/// Has every reply about keys of an area fail in every way.
fn every_fault_in(area: &str) {
    let server = Server::start();
    let (_here, here) = cache();
    let made = result(&here);
    push(&remote(&server.address), &here, &made).unwrap();
    let faults = [
        (Fault::Status(403), FailureKind::Denied),
        (Fault::Status(429), FailureKind::Busy),
        (Fault::Status(500), FailureKind::Unreachable),
        (Fault::Status(503), FailureKind::Busy),
        (Fault::Status(507), FailureKind::Full),
        (Fault::Cut, FailureKind::Unreachable),
        (Fault::Wrong, FailureKind::Damaged),
        (Fault::Closed, FailureKind::Unreachable),
    ];
    for (fault, kind) in faults {
        let (_there, there) = cache();
        server.fail(area, fault);
        let error = pull(&remote(&server.address), &there, &made).unwrap_err();
        assert_eq!(error.kind(), Some(kind), "{area} {fault:?}: {error}");
        assert_eq!(there.lookup(&made.fingerprint).unwrap(), Lookup::Miss);
        assert!(there.verify(&|_, _| {}).unwrap().damaged.is_empty());
        server.mend();
    }
    server.fail(area, Fault::Status(404));
    let (_there, there) = cache();
    let missing = pull(&remote(&server.address), &there, &made);
    match area {
        "athanor-remote" | "actions/" => assert!(!missing.unwrap(), "{area}"),
        _ => assert_eq!(missing.unwrap_err().kind(), Some(FailureKind::Damaged), "{area}"),
    }
    server.mend();
    assert!(pull(&remote(&server.address), &there, &made).unwrap());
}

#[test]
fn a_server_that_refuses_what_is_put_there_is_told_and_keeps_no_record() {
    std::thread::scope(|scope| {
        for area in ["athanor-remote", "folders/", "packs/", "objects/"] {
            for fault in [Fault::Status(403), Fault::Status(507), Fault::Closed] {
                scope.spawn(move || refused_in(area, fault));
            }
        }
    });
}

/// Has what is put into an area refused.
fn refused_in(area: &str, fault: Fault) {
    let server = Server::start();
    let (_here, here) = cache();
    let made = result(&here);
    server.fail(area, fault);
    push(&remote(&server.address), &here, &made).unwrap_err();
    server.mend();
    assert!(!server.keys().iter().any(|key| key.contains("actions/")), "{area} {fault:?}");
    assert_eq!(push(&remote(&server.address), &here, &made).unwrap(), 1);
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let server = Server::start();
    server.fail("", Fault::Never);
    let remote = remote(&server.address);
    let error = remote.find(&Digest::of(b"work")).unwrap_err();
    assert!(error.to_string().contains("does not answer in time"), "{error}");
    // Nobody listens there.
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = self::remote(&format!("http://{nobody}")).find(&Digest::of(b"work")).unwrap_err();
    assert_eq!(error.kind(), Some(FailureKind::Unreachable), "{error}");
}
