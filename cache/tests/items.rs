//! ItemStore: what a stage that treats its items one by one finds again.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use athanor_cache::{Cache, Digest, DigestHints, GcRequest, ItemRecord, ItemStore, Presence};
use serde_json::{Value, json};
use tempfile::TempDir;

const SCOPE: &str = "kind 1";

fn open() -> (TempDir, Cache) {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(&folder.path().join("cache")).unwrap();
    (folder, cache)
}

fn key(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn items(cache: &Cache) -> ItemStore<'_> {
    cache.items(SCOPE, &cache.resume_state_path(&key("work"))).unwrap()
}

fn keep(cache: &Cache, items: &ItemStore<'_>, name: &str, content: Option<&str>) -> ItemRecord {
    let folder = tempfile::tempdir_in(cache.scratch_root()).unwrap();
    if let Some(content) = content {
        fs::write(folder.path().join("out.txt"), content).unwrap();
    }
    items.insert(&key(name), json!({ "name": name }), folder.path()).unwrap()
}

fn logs(cache: &Cache) -> Vec<PathBuf> {
    let list = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    list(&cache.root().join("items")).iter().flat_map(|shard| list(shard)).flat_map(|scope| list(&scope)).collect()
}

#[test]
fn what_was_kept_is_found_by_a_later_stage_and_only_under_its_key_and_scope() {
    let (_folder, cache) = open();
    let kept = {
        let items = items(&cache);
        (keep(&cache, &items, "a", Some("content")), keep(&cache, &items, "b", None))
    };
    let later = items(&cache);
    assert_eq!(later.find(&key("a")), Some(kept.0));
    assert_eq!(later.find(&key("b")), Some(kept.1));
    assert_eq!(later.find(&key("c")), None);
    assert_eq!(cache.items("kind 2", &cache.resume_state_path(&key("work"))).unwrap().find(&key("a")), None);
}

#[test]
fn an_item_whose_file_is_gone_or_cut_off_is_not_found() {
    let (_folder, cache) = open();
    let record = keep(&cache, &items(&cache), "a", Some("content"));
    let digest = record.files[0].digest.to_string();
    let object = cache.root().join("objects").join(&digest[..1]).join(&digest);
    fs::remove_file(&object).unwrap();
    fs::write(&object, "con").unwrap();
    assert_eq!(items(&cache).find(&key("a")), None);
    fs::remove_file(&object).unwrap();
    assert_eq!(items(&cache).find(&key("a")), None);
}

#[test]
fn a_log_cut_at_any_byte_or_damaged_anywhere_never_gives_a_wrong_item() {
    let (_folder, cache) = open();
    {
        let items = items(&cache);
        keep(&cache, &items, "a", None);
        keep(&cache, &items, "b", None);
    }
    let log = logs(&cache).remove(0);
    let whole = fs::read(&log).unwrap();
    let right = |name: &str| Some(json!({ "name": name }));
    for at in 0..whole.len() {
        fs::write(&log, &whole[..at]).unwrap();
        let cut = items(&cache);
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&log, &damaged).unwrap();
        let flipped = items(&cache);
        for (name, items) in [("a", &cut), ("b", &cut), ("a", &flipped), ("b", &flipped)] {
            let found: Option<Value> = items.find(&key(name)).map(|record| record.value);
            assert!(found.is_none() || found == right(name), "byte {at}");
        }
    }
}

#[test]
fn many_logs_become_one_and_lose_nothing() {
    let (_folder, cache) = open();
    let names: Vec<String> = (0..30).map(|number| format!("item {number}")).collect();
    for name in &names {
        keep(&cache, &items(&cache), name, None);
    }
    let writing = items(&cache);
    keep(&cache, &writing, "last", None);
    let later = items(&cache);
    assert!(logs(&cache).len() < 12, "{} logs", logs(&cache).len());
    for name in names.iter().map(String::as_str).chain(["last"]) {
        assert!(later.find(&key(name)).is_some(), "{name}");
    }
}

#[test]
fn placed_files_are_taken_in_unread_and_only_if_they_are_what_the_list_says() {
    let (_folder, cache) = open();
    let items = items(&cache);
    let record = keep(&cache, &items, "a", Some("content"));
    let output = cache.scratch_root().join("out");
    fs::create_dir(&output).unwrap();
    let list = cache.scratch_root().join("placements");
    let placements = DigestHints::create(&list).unwrap();
    items.link(&record.files[0], &output.join("a.txt"), &placements).unwrap();
    items.link(&record.files[0], &output.join("b.txt"), &placements).unwrap();
    // Something replaces a placed file afterwards: its list entry is a lie from then on.
    fs::remove_file(output.join("b.txt")).unwrap();
    fs::write(output.join("b.txt"), "changed").unwrap();
    drop(placements);
    let artifact = cache.ingest_with_hints(&output, &DigestHints::read(&list, Path::new(""))).unwrap();
    let stored = cache.path_of(&artifact);
    assert_eq!(fs::read_to_string(stored.join("a.txt")).unwrap(), "content");
    assert_eq!(fs::read_to_string(stored.join("b.txt")).unwrap(), "changed");
    assert_eq!(cache.presence(&artifact), Presence::Present);
    assert!(cache.verify(&|_, _| {}).unwrap().damaged.is_empty());
}

#[test]
fn collection_keeps_items_of_unfinished_work_and_drops_the_others_with_their_files() {
    let (_folder, cache) = open();
    keep(&cache, &items(&cache), "cut off", Some("half"));
    keep(&cache, &cache.items(SCOPE, &cache.resume_state_path(&key("other work"))).unwrap(), "old", Some("old"));
    keep(&cache, &cache.items("kind 0", &cache.resume_state_path(&key("work"))).unwrap(), "older kind", None);
    let request = GcRequest {
        keep_resume_states: HashSet::from([key("work")]),
        keep_items: HashSet::from([SCOPE.to_owned()]),
        ..GcRequest::default()
    };
    cache.collect(&request, None).unwrap();
    assert!(items(&cache).find(&key("cut off")).is_some());
    assert!(items(&cache).find(&key("old")).is_none());
    let unfinished = cache.resume_state_path(&key("work"));
    assert!(cache.items("kind 0", &unfinished).unwrap().find(&key("older kind")).is_none());
    assert!(unfinished.exists() && !cache.resume_state_path(&key("other work")).exists());
    cache.remove_resume_state(&key("work")).unwrap();
    assert!(!unfinished.exists());
}

#[test]
fn verify_finds_every_flipped_bit_of_a_log_and_keeps_its_other_items() {
    let (_folder, cache) = open();
    {
        let items = items(&cache);
        keep(&cache, &items, "a", None);
        keep(&cache, &items, "b", None);
    }
    let log = logs(&cache).remove(0);
    let whole = fs::read(&log).unwrap();
    let ends: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] == b'\n').collect();
    for at in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&log, &damaged).unwrap();
        let report = cache.verify(&|_, _| {}).unwrap();
        assert_eq!(report.damaged.len(), 1, "byte {at}");
        let spared = if at < ends[1] { "b" } else { "a" };
        // Without the end between them, two lines are one damaged line.
        assert!(at == ends[1] || items(&cache).find(&key(spared)).is_some(), "byte {at}");
    }
}

#[test]
fn after_a_power_cut_an_item_is_believed_only_if_it_was_synced_or_its_files_are_whole() {
    let (_folder, cache) = open();
    let (safe, whole, torn) = {
        let items = items(&cache);
        let safe = keep(&cache, &items, "safe", Some("safe"));
        items.sync().unwrap();
        (safe, keep(&cache, &items, "whole", Some("whole")), keep(&cache, &items, "torn", Some("torn")))
    };
    let log = logs(&cache).remove(0);
    let text = fs::read_to_string(&log).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(&log, format!("boot another\n{rest}")).unwrap();
    // The size of a torn file can be right all the same.
    let object = |record: &ItemRecord| {
        let digest = record.files[0].digest.to_string();
        cache.root().join("objects").join(&digest[..1]).join(&digest)
    };
    fs::remove_file(object(&torn)).unwrap();
    fs::write(object(&torn), "\0\0\0\0").unwrap();
    let later = items(&cache);
    assert_eq!(later.find(&key("safe")), Some(safe));
    assert_eq!(later.find(&key("whole")), Some(whole));
    assert_eq!(later.find(&key("torn")), None);
}
