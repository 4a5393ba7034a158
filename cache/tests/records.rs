//! Records that are not on disk yet when their process is killed, and records that share a file.

mod fixture;

use std::fs;

use athanor_cache::{ActionRecord, Lookup, StoredResult, Unsynced, WriteAheadLog};
use fixture::{described, open, put};

#[test]
fn the_next_process_records_what_a_killed_one_had_stored() {
    let (_folder, cache) = open();
    let wal = WriteAheadLog::new(&cache);
    let noted: Vec<ActionRecord> =
        ["one", "two"].iter().map(|name| described(name, put(&cache, name, name), 5)).collect();
    noted.iter().for_each(|record| wal.append(&record.seal().unwrap()).unwrap());
    cache.recover_wal().unwrap();
    assert_eq!(cache.lookup(&noted[0].fingerprint).unwrap(), Lookup::Miss, "its process still lives");
    let file = fs::read_dir(cache.root().join("pending")).unwrap().next().unwrap().unwrap().path();
    let bytes = fs::read(&file).unwrap();
    drop(wal);

    // Torn, and from before a power cut, and of a result that has gone since.
    fs::write(&file, &bytes[..bytes.len() - 9]).unwrap();
    cache.recover_wal().unwrap();
    assert_eq!(cache.lookup(&noted[0].fingerprint).unwrap(), Lookup::Hit(noted[0].clone()));
    assert_eq!(cache.lookup(&noted[1].fingerprint).unwrap(), Lookup::Miss);
    let mut earlier = bytes.clone();
    earlier[6] ^= 1;
    fs::write(&file, &earlier).unwrap();
    cache.recover_wal().unwrap();
    assert_eq!(cache.lookup(&noted[1].fingerprint).unwrap(), Lookup::Miss);
    fs::remove_file(cache.path_of(&noted[1].outputs[0].artifact)).unwrap();
    fs::write(&file, &bytes).unwrap();
    cache.recover_wal().unwrap();
    assert_eq!(cache.lookup(&noted[1].fingerprint).unwrap(), Lookup::Miss);
    assert!(!file.exists());
}

#[test]
fn a_recorded_result_is_not_in_the_log() {
    let (_folder, cache) = open();
    let wal = WriteAheadLog::new(&cache);
    let result = described("one", put(&cache, "one", "one"), 5);
    wal.append(&result.seal().unwrap()).unwrap();
    cache.record(&result).unwrap();
    wal.complete(1);
    drop(wal);
    assert_eq!(fs::read_dir(cache.root().join("pending")).unwrap().count(), 0);
}

#[test]
fn verify_finds_damage_to_the_line_of_a_record_that_is_gone() {
    let (_folder, cache) = open();
    let records: Vec<ActionRecord> =
        ["one", "two"].iter().map(|name| described(name, put(&cache, name, name), 5)).collect();
    let sealed: Vec<_> = records.iter().map(|record| record.seal().unwrap()).collect();
    let unsynced = Unsynced::default();
    let results: Vec<_> = sealed.iter().map(|record| StoredResult { record, unsynced: &unsynced }).collect();
    assert!(cache.record_all(&results).unwrap().into_iter().all(|recorded| recorded));
    let path = |record: &ActionRecord| {
        let name = record.fingerprint.to_string();
        cache.root().join("actions").join(&name[..1]).join(format!("{name}.json"))
    };
    fs::remove_file(path(&records[0])).unwrap();
    let mut bytes = fs::read(path(&records[1])).unwrap();
    let gone = records[0].fingerprint.to_string();
    let at = bytes.windows(gone.len()).position(|window| window == gone.as_bytes()).unwrap();
    bytes[at] ^= 1;
    fs::write(path(&records[1]), bytes).unwrap();
    assert_eq!(cache.verify(&|_, _| {}).unwrap().damaged.len(), 1);
    assert!(matches!(cache.lookup(&records[1].fingerprint).unwrap(), Lookup::Hit(_)), "its own line is whole");
    assert!(cache.verify(&|_, _| {}).unwrap().damaged.is_empty());
}
