//! Records that are not on disk yet when their process is killed, and records that share a file.

mod fixture;

use std::fs;

use athanor_cache::{ActionRecord, Cache, Lookup, RecordFolders, StoredResult, Unsynced, WriteAheadLog};
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

/// The folders of records once the clock of their file system has moved on; `None` where it is not known to keep their times.
fn settled(cache: &Cache) -> Option<RecordFolders> {
    let begun = cache.fs_now().unwrap();
    while cache.fs_now().unwrap() <= begun {
        std::thread::yield_now();
    }
    cache.settled_record_folders()
}

#[test]
fn folders_of_records_show_each_record_that_comes_goes_or_is_replaced() {
    let (_folder, cache) = open();
    let record = |name: &str, text: &str| {
        let result = described(name, put(&cache, name, text), 5);
        cache.record(&result).unwrap();
        let name = result.fingerprint.to_string();
        (result.fingerprint, cache.root().join("actions").join(&name[..1]).join(format!("{name}.json")))
    };
    let (one, path) = record("one", "one");
    let Some(before) = settled(&cache) else {
        println!("skipped: this file system is not known to keep the times of folders");
        return;
    };
    assert_eq!(cache.record_folders(), before);
    cache.lookup(&one).unwrap();
    assert_eq!(cache.record_folders(), before, "looking changes nothing");
    let mut shown = vec![before];
    let mut changes = |what: &str, change: &dyn Fn()| {
        change();
        assert_ne!(Some(&cache.record_folders()), shown.last(), "{what}");
        let now = settled(&cache).expect(what);
        assert!(!shown.contains(&now), "{what}");
        shown.push(now);
    };
    changes("another", &|| drop(record("two", "two")));
    changes("replaced", &|| drop(record("one", "other")));
    changes("replaced by a program", &|| {
        let beside = path.with_extension("new");
        fs::copy(&path, &beside).unwrap();
        fs::rename(&beside, &path).unwrap();
    });
    changes("in quarantine", &|| cache.quarantine_record(&one).unwrap());
    changes("again", &|| drop(record("one", "one")));
    changes("deleted, and the time of its folder put back", &|| {
        let folder = path.parent().unwrap();
        let modified = folder.metadata().unwrap().modified().unwrap();
        fs::remove_file(&path).unwrap();
        fs::File::open(folder).unwrap().set_modified(modified).unwrap();
    });
    fs::remove_dir_all(cache.root().join("actions")).unwrap();
    assert!(!shown.contains(&cache.record_folders()), "all deleted");
    assert_eq!(settled(&cache), None);
}
