//! Collections: what is needed stays, whatever fails and whoever pushes meanwhile.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use super::*;
use crate::{CollectRequest, CollectionPlan};

const DAY: u64 = 24 * 3600;

/// A request that keeps these results, and what is younger than 30 days.
fn keeping(records: &[&ActionRecord]) -> CollectRequest {
    CollectRequest {
        keep: records.iter().map(|record| record.fingerprint).collect(),
        keep_states: HashSet::new(),
        min_age: Duration::from_secs(30 * DAY),
    }
}

fn collect(remote: &Remote, request: &CollectRequest) -> Result<CollectionPlan, RemoteError> {
    remote.collect(request, |_| ())
}

/// Makes a file older.
fn age(path: &Path, by: Duration) {
    fs::File::open(path).unwrap().set_modified(SystemTime::now() - by).unwrap();
}

impl Two {
    /// Makes everything that is shared 60 days old.
    fn age_all(&self) {
        self.keys().iter().for_each(|key| age(&self.team().join(key), Duration::from_secs(60 * DAY)));
    }

    /// Another place with the same content, as old as here.
    fn copy(&self) -> Two {
        let copy = Two::new();
        for key in self.keys() {
            let (from, to) = (self.team().join(&key), copy.team().join(&key));
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&from, &to).unwrap();
            fs::File::open(&to).unwrap().set_modified(fs::metadata(&from).unwrap().modified().unwrap()).unwrap();
        }
        copy
    }

    /// Fetches all of each of these results that has a record; returns their number.
    fn whole(&self, records: &[&ActionRecord]) -> usize {
        let folder = TestFolder::new();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let found = records.iter().filter(|record| pull(&self.remote(), &cache, record).unwrap());
        let found = found.inspect(|record| assert!(is_hit(&cache, record))).count();
        assert!(cache.verify(&|_, _| {}).unwrap().damaged.is_empty());
        found
    }
}

#[test]
fn what_is_used_or_young_stays_whole_and_all_else_goes() {
    let two = Two::new();
    let made = ["a", "b", "c"].map(|name| result(&two.here, name));
    let [a, b, c] = made.each_ref();
    // Each with a pack of its own, so that a pack goes with its result.
    made.iter().for_each(|record| drop(push(&two.remote(), &two.here, &[record]).unwrap()));
    assert_eq!(collect(&two.remote(), &keeping(&[])).unwrap().results.len(), 0, "all is young");
    two.age_all();
    age(&two.team().join(format!("actions/{}", c.fingerprint)), Duration::from_secs(DAY));
    let before = two.keys();
    let planned = two.remote().plan_collection(&keeping(&[a])).unwrap();
    assert_eq!(two.keys(), before, "a plan changes nothing");
    let mut told = 0;
    let done = two.remote().collect(&keeping(&[a]), |plan| told = plan.results.len()).unwrap();
    let going: Vec<Digest> = done.results.iter().map(|result| result.fingerprint).collect();
    assert_eq!((going, told, done.kept, planned.bytes_freed), (vec![b.fingerprint], 1, 2, done.bytes_freed));
    assert_eq!(two.whole(&[a, b, c]), 2);
    let after = two.keys();
    // The record, the folder and its pack, the pack of small files, and the large file; another large file is one of others, too.
    assert_eq!(before.len() - after.len(), 5, "{before:?} {after:?}");
    let again = collect(&two.remote(), &keeping(&[a])).unwrap();
    assert_eq!((again.results.len(), again.contents, again.bytes_freed), (0, 0, 0));
    two.age_all();
    assert_eq!(collect(&two.remote(), &keeping(&[])).unwrap().results.len(), 2);
    assert_eq!(two.keys(), ["athanor-remote"]);
    // Who has them puts them there again.
    push(&two.remote(), &two.here, &[a, b, c]).unwrap();
    assert_eq!(two.whole(&[a, b, c]), 3);
}

#[test]
fn wherever_a_collection_fails_all_that_is_left_is_whole() {
    let two = Two::new();
    let made = ["a", "b", "c"].map(|name| result(&two.here, name));
    let all = made.each_ref();
    push(&two.remote(), &two.here, &all[..1]).unwrap();
    push(&two.remote(), &two.here, &all[1..]).unwrap();
    two.age_all();
    for fail_at in 0.. {
        let copy = two.copy();
        let (remote, disturbance) = copy.disturbed();
        disturbance.fail_at(fail_at, FailureKind::Unreachable);
        let outcome = collect(&remote, &keeping(&[all[0]]));
        let left = copy.whole(&all);
        assert!(left >= 1 && copy.remote().find(&all[0].fingerprint).unwrap().is_some(), "{fail_at}");
        match outcome {
            Err(error) => assert_eq!(error.kind(), Some(FailureKind::Unreachable), "{fail_at}"),
            Ok(_) => {
                assert!(left == 1 && fail_at > 20, "{fail_at}");
                break;
            }
        }
        // Another one does the rest, once the first one's lease, where it could not be removed, is over.
        let lease = copy.team().join("leases/collection");
        if lease.exists() {
            age(&lease, Duration::from_secs(DAY));
        }
        collect(&copy.remote(), &keeping(&[all[0]])).unwrap();
        assert_eq!(copy.whole(&all), 1, "{fail_at}");
    }
}

#[test]
fn content_stays_where_it_is_not_known_what_is_needed() {
    let two = Two::new();
    let made = ["a", "b"].map(|name| result(&two.here, name));
    let [a, b] = made.each_ref();
    made.iter().for_each(|record| drop(push(&two.remote(), &two.here, &[record]).unwrap()));
    let record = format!("actions/{}", a.fingerprint);
    let folder = format!("folders/{}", a.outputs[0].artifact.digest);
    for needed in [record, folder] {
        two.age_all();
        let path = two.team().join(&needed);
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        age(&path, Duration::from_secs(60 * DAY));
        let before = two.keys();
        let done = collect(&two.remote(), &keeping(&[a])).unwrap();
        assert_eq!((done.doubts, done.contents), (vec![needed.clone()], 0));
        fs::write(&path, &good).unwrap();
        let gone: Vec<String> = before.into_iter().filter(|key| !two.team().join(key).exists()).collect();
        assert!(gone.iter().all(|key| *key == format!("actions/{}", b.fingerprint)), "{gone:?}");
        assert_eq!(two.whole(&[a, b]), 1);
    }
    // A damaged record that nobody needs goes, and what it named goes with it.
    two.age_all();
    let path = two.team().join(format!("actions/{}", a.fingerprint));
    fs::write(&path, "").unwrap();
    age(&path, Duration::from_secs(60 * DAY));
    let done = collect(&two.remote(), &keeping(&[])).unwrap();
    assert!(done.results.len() == 1 && done.results[0].record.is_none() && done.doubts.is_empty(), "{done:?}");
    assert_eq!(two.keys(), ["athanor-remote"]);
}

#[test]
fn pushes_and_collections_make_way_for_each_other() {
    let two = Two::new();
    let made = result(&two.here, "a");
    push(&two.remote(), &two.here, &[&made]).unwrap();
    two.age_all();
    let before = two.keys();
    let lease = |name: &str, old: u64| {
        let path = two.team().join("leases").join(name);
        fs::write(&path, "").unwrap();
        age(&path, Duration::from_secs(old));
        path
    };
    let busy = |error: RemoteError| assert_eq!(error.kind(), Some(FailureKind::Busy), "{error}");
    // Somebody pushes: nothing is removed. Who was killed while pushing counts for nothing after a while.
    let push_lease = lease("push-other", 60);
    busy(collect(&two.remote(), &keeping(&[])).unwrap_err());
    age(&push_lease, Duration::from_secs(3600));
    // Somebody collects, or was killed while collecting.
    let collection = lease("collection", 60);
    busy(collect(&two.remote(), &keeping(&[])).unwrap_err());
    let other = result(&two.here, "b");
    busy(push(&two.remote(), &two.here, &[&other]).unwrap_err());
    fs::remove_file(&push_lease).unwrap();
    fs::remove_file(&collection).unwrap();
    assert_eq!(two.keys(), before);
    for (name, old) in [("push-other", 3600), ("collection", 3600)] {
        lease(name, old);
    }
    assert_eq!(push(&two.remote(), &two.here, &[&other]).unwrap().pushed, 1);
    assert_eq!(collect(&two.remote(), &keeping(&[])).unwrap().results.len(), 1);
    assert_eq!(two.whole(&[&made, &other]), 1);
}

#[test]
fn states_stay_while_their_work_is_begun_or_they_are_young() {
    let two = Two::new();
    let fingerprint = Digest::of(b"training");
    let state = two.here.resume_state_path(&fingerprint).join("state/epoch");
    fs::create_dir_all(state.parent().unwrap()).unwrap();
    fs::write(&state, "epoch 1").unwrap();
    assert!(two.remote().push_state(&two.here, &fingerprint, &Transfer::default()).unwrap());
    let pulled = || {
        let folder = TestFolder::new();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        two.remote().pull_state(&cache, &fingerprint, &Transfer::default()).unwrap().is_some()
    };
    assert_eq!(collect(&two.remote(), &keeping(&[])).unwrap().states, 0);
    two.age_all();
    let begun = CollectRequest { keep_states: HashSet::from([fingerprint]), ..keeping(&[]) };
    assert_eq!(collect(&two.remote(), &begun).unwrap().states, 0);
    assert!(pulled());
    assert_eq!(collect(&two.remote(), &keeping(&[])).unwrap().states, 1);
    assert!(!pulled());
    assert_eq!(two.keys(), ["athanor-remote"]);
}
