//! The cache from outside, on real files.

mod fixture;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use athanor_cache::{
    Artifact, ArtifactKind, Cache, CacheError, Change, Digest, Exclusions, GcRequest, Lookup, Presence, diff,
    move_folder,
};
use fixture::{described, open, put};
use proptest::prelude::*;

fn record(cache: &Cache, name: &str, artifact: Artifact, duration_ms: u64) -> Digest {
    let record = described(name, artifact, duration_ms);
    cache.record(&record).unwrap();
    record.fingerprint
}

fn make_tree(root: &Path, files: &BTreeMap<String, (Vec<u8>, bool)>) {
    fs::create_dir_all(root).unwrap();
    for (name, (content, executable)) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let mode = if *executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn read_tree(root: &Path) -> BTreeMap<String, (Vec<u8>, bool)> {
    fn visit(root: &Path, at: &Path, found: &mut BTreeMap<String, (Vec<u8>, bool)>) {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                visit(root, &path, found);
            } else {
                let executable = fs::metadata(&path).unwrap().permissions().mode() & 0o111 != 0;
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                found.insert(name, (fs::read(&path).unwrap(), executable));
            }
        }
    }
    let mut found = BTreeMap::new();
    visit(root, root, &mut found);
    found
}

#[test]
fn outputs_on_another_file_system_are_copied() {
    let (folder, cache) = open();
    let is_other = |path: &Path| fs::metadata(path).unwrap().dev() != fs::metadata(folder.path()).unwrap().dev();
    let Some(elsewhere) = tempfile::tempdir_in("/dev/shm").ok().filter(|elsewhere| is_other(elsewhere.path())) else {
        eprintln!("skipped: `/dev/shm` is no other file system");
        return;
    };
    let files = [("a", "1", false), ("deep/b", "2", true), ("deep/c", "1", false)];
    let files = files.map(|(name, content, executable)| (name.to_owned(), (content.as_bytes().to_vec(), executable)));
    let files = BTreeMap::from(files);
    for made in [elsewhere.path().join("made"), cache.scratch_root().join("made")] {
        make_tree(&made.join("tree"), &files);
        fs::write(made.join("file"), "1").unwrap();
    }
    let ingested = |at: &Path| ["tree", "file"].map(|name| cache.ingest(&at.join("made").join(name)).unwrap());
    let [tree, file] = ingested(elsewhere.path());
    assert_eq!(read_tree(&cache.path_of(&tree)), files);
    assert_eq!(fs::read(cache.path_of(&file)).unwrap(), b"1");
    assert_eq!(ingested(&cache.scratch_root()), [tree, file]);
    // Files of items.
    let item = elsewhere.path().join("item");
    fs::create_dir(&item).unwrap();
    fs::write(item.join("a"), "3").unwrap();
    let key = Digest::of(b"key");
    let items = cache.items("scope", &cache.resume_state_path(&key)).unwrap();
    let record = items.insert(&key, serde_json::Value::Null, &item).unwrap();
    assert_eq!(fs::read(items.path_of(&record.files[0])).unwrap(), b"3");
    assert!(cache.verify(&|_, _| {}).unwrap().damaged.is_empty());
}

/// The user gets a copy, in place of whatever is there.
fn hand_out(cache: &Cache, artifact: &Artifact, target: &Path) {
    let mut checkout = cache.checkout();
    let staged = checkout.stage(artifact, target).unwrap();
    checkout.sync().unwrap();
    checkout.put(&staged).unwrap();
    checkout.sync_folders().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_goes_in_comes_out_and_has_the_digest_it_had_outside(
        files in prop::collection::btree_map("[a-c é]{1,2}1(/[xy]2){0,2}3", (prop::collection::vec(any::<u8>(), 0..40), any::<bool>()), 0..8)
    ) {
        let (folder, cache) = open();
        let outside = folder.path().join("outside");
        make_tree(&outside, &files);
        let expected = cache.artifact_with_manifest_of(&outside, &Exclusions::default()).unwrap();
        prop_assert_eq!(cache.read_tree(&expected.digest).unwrap().artifact(), expected.clone());
        let scratch = cache.scratch_root().join("made");
        make_tree(&scratch, &files);
        let artifact = cache.ingest(&scratch).unwrap();
        prop_assert_eq!(&artifact, &expected);
        prop_assert!(!scratch.exists());
        prop_assert_eq!(cache.presence(&artifact), Presence::Present);
        let copy = folder.path().join("copy");
        hand_out(&cache, &artifact, &copy);
        prop_assert_eq!(read_tree(&copy), files.clone());
        prop_assert_eq!(read_tree(&cache.path_of(&artifact)), files);
        let report = cache.verify(&|_, _| {}).unwrap();
        prop_assert_eq!(report.damaged, vec![]);
    }
}

#[test]
fn stored_files_are_read_only_and_identical_ones_are_stored_once() {
    let (_folder, cache) = open();
    let one = put(&cache, "one", "same");
    let two = put(&cache, "two", "same");
    assert_eq!(one, two);
    assert_eq!(cache.usage().unwrap().objects, 1);
    assert_eq!(fs::metadata(cache.path_of(&one)).unwrap().permissions().mode() & 0o777, 0o444);
}

#[test]
fn an_output_that_something_else_links_to_is_copied() {
    let (folder, cache) = open();
    let outside = folder.path().join("mine");
    fs::write(&outside, "before").unwrap();
    for name in ["hard", "soft"] {
        let output = cache.scratch_root().join(name);
        if name == "hard" {
            fs::hard_link(&outside, &output).unwrap();
        } else {
            std::os::unix::fs::symlink(&outside, &output).unwrap();
        }
        let artifact = cache.ingest(&output).unwrap();
        fs::write(&outside, "after!").unwrap();
        assert_eq!(fs::read_to_string(cache.path_of(&artifact)).unwrap(), "before");
        fs::write(&outside, "before").unwrap();
    }
}

#[test]
fn a_copy_is_the_users_own_and_replaces_what_was_there() {
    let (folder, cache) = open();
    let artifact = put(&cache, "made", "content");
    let copy = folder.path().join("results/deep/copy");
    hand_out(&cache, &artifact, &copy);
    fs::write(&copy, "edited by the user").unwrap();
    assert_eq!(fs::read_to_string(cache.path_of(&artifact)).unwrap(), "content");
    hand_out(&cache, &artifact, &copy);
    assert_eq!(fs::read_to_string(&copy).unwrap(), "content");
    let names: Vec<_> = fs::read_dir(copy.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing temporary is left: {names:?}");
}

/// Another byte in a stored file.
fn rot(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, "rotten!").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o444)).unwrap();
}

#[test]
fn what_has_rotted_is_not_handed_out_and_goes_to_quarantine_with_its_folder() {
    let (folder, cache) = open();
    let made = cache.scratch_root().join("folder");
    fs::create_dir_all(made.join("deep")).unwrap();
    fs::write(made.join("deep/file"), "content").unwrap();
    fs::write(made.join("other"), "other").unwrap();
    let tree = cache.ingest(&made).unwrap();
    let file = put(&cache, "file", "content");
    let object = cache.path_of(&file);
    rot(&object);
    let target = folder.path().join("results/target");
    for artifact in [&tree, &file] {
        let staged = cache.checkout().stage(artifact, &target);
        assert!(matches!(staged, Err(CacheError::Damaged { .. })), "{staged:?}");
        assert_ne!(cache.presence(artifact), Presence::Present);
    }
    assert!(!object.exists() && !target.exists());
    assert_eq!(fs::read_dir(cache.root().join("quarantine")).unwrap().count(), 2);
    let again = put(&cache, "file", "content");
    hand_out(&cache, &again, &target);
    assert_eq!(fs::read_to_string(&target).unwrap(), "content");
    assert_eq!(fs::read_dir(cache.root().join("tmp")).unwrap().count(), 0, "nothing is left");
}

#[test]
fn odd_things_in_a_folder_are_named() {
    let (folder, cache) = open();
    let root = folder.path().join("input");
    fs::create_dir(&root).unwrap();
    let link = root.join("link");
    std::os::unix::fs::symlink("nowhere", &link).unwrap();
    assert!(matches!(cache.artifact_of(&root), Err(CacheError::Dangling { path }) if path == link));
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink(&root, &link).unwrap();
    assert!(matches!(cache.artifact_of(&root), Err(CacheError::Cycle { path }) if path == link));
    fs::remove_file(&link).unwrap();
    nix::unistd::mkfifo(&link, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(cache.artifact_of(&root), Err(CacheError::Special { path }) if path == link));
}

#[test]
fn trees_differ_by_what_was_added_removed_and_modified() {
    let (folder, cache) = open();
    let root = folder.path().join("input");
    make_tree(&root, &BTreeMap::from([("a".into(), (vec![1], false)), ("b".into(), (vec![2], false))]));
    let tree =
        || cache.read_tree(&cache.artifact_with_manifest_of(&root, &Exclusions::default()).unwrap().digest).unwrap();
    let before = tree();
    fs::remove_file(root.join("a")).unwrap();
    fs::write(root.join("b"), [3]).unwrap();
    fs::write(root.join("c"), [4]).unwrap();
    let after = tree();
    let changes = [Change::Removed("a".into()), Change::Modified("b".into()), Change::Added("c".into())];
    assert_eq!(diff(&before, &after), changes);
}

#[test]
fn a_lost_or_shortened_output_is_no_hit() {
    let (_folder, cache) = open();
    let artifact = put(&cache, "made", "content");
    let fingerprint = record(&cache, "r", artifact.clone(), 1);
    assert!(matches!(cache.lookup(&fingerprint).unwrap(), Lookup::Hit(_)));
    assert_eq!(cache.lookup(&Digest::of(b"other")).unwrap(), Lookup::Miss);
    let path = cache.path_of(&artifact);
    fs::remove_file(&path).unwrap();
    fs::write(&path, "cont").unwrap();
    assert_eq!(cache.presence(&artifact), Presence::Damaged);
    assert!(matches!(cache.lookup(&fingerprint).unwrap(), Lookup::Incomplete { lost, .. } if lost == ["out"]));
    // Storing the content again mends it.
    put(&cache, "again", "content");
    assert!(matches!(cache.lookup(&fingerprint).unwrap(), Lookup::Hit(_)));
}

#[test]
fn verify_finds_a_flipped_bit_in_every_stored_file() {
    let (_folder, cache) = open();
    let scratch = cache.scratch_root().join("made");
    make_tree(&scratch, &BTreeMap::from([("a".into(), (vec![1, 2], false)), ("d/b".into(), (vec![3], true))]));
    let folder = cache.ingest(&scratch).unwrap();
    record(&cache, "folder", folder, 1);
    let file = put(&cache, "file", "content");
    record(&cache, "file", file, 1);
    for area in ["objects", "manifests", "actions"] {
        for (name, (content, executable)) in read_tree(&cache.root().join(area)) {
            let path = cache.root().join(area).join(&name);
            let flipped: Vec<u8> = content.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at == 0)).collect();
            let mode = fs::metadata(&path).unwrap().permissions();
            let overwrite = |bytes: &[u8]| {
                fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
                fs::write(&path, bytes).unwrap();
                fs::set_permissions(&path, mode.clone()).unwrap();
            };
            overwrite(&flipped);
            let report = cache.verify(&|_, _| {}).unwrap();
            assert!(report.damaged.iter().any(|damage| damage.path == path), "{name} {executable}: {report:?}");
            assert!(!path.exists());
            for entry in fs::read_dir(cache.root().join("quarantine")).unwrap() {
                let entry = entry.unwrap();
                let stem = entry.file_name().to_str().unwrap().rsplit_once('.').unwrap().0.replacen('_', "/", 2);
                let home = cache.root().join(stem);
                move_folder(&entry.path(), &home).unwrap();
            }
            overwrite(&content);
            assert!(cache.verify(&|_, _| {}).unwrap().damaged.is_empty());
        }
    }
}

#[test]
fn collection_keeps_what_is_in_use_and_shared_files_with_it() {
    let (_folder, cache) = open();
    let shared = put(&cache, "shared", "shared");
    let (kept, gone) = (record(&cache, "kept", shared.clone(), 5), record(&cache, "gone", shared.clone(), 5));
    let lonely = put(&cache, "lonely", "lonely content");
    record(&cache, "lonely", lonely.clone(), 5);
    let mut request = GcRequest { keep: HashSet::from([kept]), dry_run: true, ..GcRequest::default() };
    let promised = cache.collect(&request, None).unwrap();
    assert_eq!(promised.bytes_freed, lonely.bytes);
    assert_eq!(cache.presence(&lonely), Presence::Present);
    request.dry_run = false;
    assert_eq!(cache.collect(&request, None).unwrap(), promised);
    assert!(matches!(cache.lookup(&kept).unwrap(), Lookup::Hit(_)));
    assert_eq!(cache.lookup(&gone).unwrap(), Lookup::Miss);
    assert_eq!(cache.presence(&lonely), Presence::Missing);
    assert_eq!(cache.presence(&shared), Presence::Present);
}

#[test]
fn a_size_limit_drops_the_cheapest_to_recompute_per_byte_first() {
    let (_folder, cache) = open();
    let (cheap_artifact, dear_artifact) =
        (put(&cache, "cheap", &"c".repeat(100)), put(&cache, "dear", &"d".repeat(100)));
    let (cheap, dear) = (record(&cache, "cheap", cheap_artifact, 1), record(&cache, "dear", dear_artifact, 9000));
    let keep = HashSet::from([cheap, dear]);
    let report = cache.collect(&GcRequest { keep, max_size: Some(150), ..GcRequest::default() }, None).unwrap();
    assert_eq!(report.dropped.iter().map(|dropped| dropped.fingerprint).collect::<Vec<_>>(), [cheap]);
    assert!(matches!(cache.lookup(&dear).unwrap(), Lookup::Hit(_)));
}

#[test]
fn one_claim_at_a_time_among_threads_and_handles() {
    let (_folder, cache) = open();
    let other = Cache::open(cache.root()).unwrap();
    let fingerprint = Digest::of(b"x");
    let claim = cache.try_claim(&fingerprint).unwrap();
    assert!(claim.is_some());
    assert!(cache.try_claim(&fingerprint).unwrap().is_none());
    assert!(other.try_claim(&fingerprint).unwrap().is_none());
    assert!(other.try_claim(&Digest::of(b"y")).unwrap().is_some());
    drop(claim);
    assert!(other.try_claim(&fingerprint).unwrap().is_some());
}

#[test]
fn users_of_the_cache_keep_others_from_having_it_alone() {
    let (_folder, cache) = open();
    let guard = cache.use_shared().unwrap();
    assert!(cache.try_use_exclusive().unwrap().is_none());
    drop(guard);
    assert!(cache.try_use_exclusive().unwrap().is_some());
}

const CHILD_VARIABLE: &str = "ATHANOR_TEST_CLAIM_IN";

/// Not a test of its own: the process that [`a_claim_ends_with_its_process`] kills.
#[test]
fn claiming_child() {
    let Ok(root) = std::env::var(CHILD_VARIABLE) else { return };
    let cache = Cache::open(Path::new(&root)).unwrap();
    let _claim = cache.try_claim(&Digest::of(b"x")).unwrap().expect("nobody else claims it");
    fs::write(Path::new(&root).join("claimed"), "").unwrap();
    std::io::Read::read(&mut std::io::stdin(), &mut [0]).unwrap();
}

#[test]
fn a_claim_ends_with_its_process() {
    let (_folder, cache) = open();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["claiming_child", "--exact", "--nocapture"]).env(CHILD_VARIABLE, cache.root());
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    while !cache.root().join("claimed").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the child must live until it is killed");
        std::thread::yield_now();
    }
    assert!(cache.try_claim(&Digest::of(b"x")).unwrap().is_none());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(cache.try_claim(&Digest::of(b"x")).unwrap().is_some());
}

#[test]
fn many_threads_store_the_same_and_different_content_at_once() {
    let (_folder, cache) = open();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let cache = &cache;
            scope.spawn(move || {
                for round in 0..20 {
                    let artifact = put(cache, &format!("{worker}-{round}"), &format!("content {round}"));
                    assert_eq!(cache.presence(&artifact), Presence::Present);
                    assert_eq!(artifact.kind, ArtifactKind::File);
                }
            });
        }
    });
    assert_eq!(cache.usage().unwrap().objects, 20);
    assert!(cache.verify(&|_, _| {}).unwrap().damaged.is_empty());
}

#[test]
fn a_damaged_file_is_replaced_by_whichever_thread_is_first_and_stays() {
    let (_folder, cache) = open();
    let artifact = put(&cache, "made", "content");
    let stored = cache.path_of(&artifact);
    for round in 0..200 {
        fs::remove_file(&stored).unwrap();
        fs::write(&stored, "damaged").unwrap();
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let cache = &cache;
                scope.spawn(move || put(cache, &format!("{round}-{worker}"), "content"));
            }
        });
        assert_eq!(fs::read_to_string(&stored).unwrap(), "content", "round {round}");
    }
}

#[test]
fn a_cache_of_another_format_is_refused() {
    let (_folder, cache) = open();
    fs::write(cache.root().join("format"), "9\n").unwrap();
    assert!(matches!(Cache::open(cache.root()), Err(CacheError::Format { found, .. }) if found == "9"));
    for damaged in ["", "\n", "3*", "\u{ff}", "3\n3\n"] {
        fs::write(cache.root().join("format"), damaged).unwrap();
        assert!(matches!(Cache::open(cache.root()), Err(CacheError::FormatDamaged { .. })), "{damaged:?}");
    }
}

#[test]
fn a_folder_behind_a_link_in_an_output_stays_as_it_was() {
    let (folder, cache) = open();
    let theirs = folder.path().join("theirs");
    fs::create_dir_all(theirs.join("deep")).unwrap();
    fs::write(theirs.join("deep/file"), "mine").unwrap();
    let output = cache.scratch_root().join("out");
    fs::create_dir(&output).unwrap();
    std::os::unix::fs::symlink(&theirs, output.join("linked")).unwrap();
    std::os::unix::fs::symlink(theirs.join("deep/file"), output.join("file")).unwrap();
    let artifact = cache.ingest(&output).unwrap();
    let metadata = fs::metadata(theirs.join("deep/file")).unwrap();
    assert_eq!((metadata.permissions().mode() & 0o777, metadata.nlink()), (0o644, 1));
    fs::write(theirs.join("deep/file"), "edited").unwrap();
    let stored = read_tree(&cache.path_of(&artifact));
    let content = |name: &str| stored[name].0.clone();
    assert_eq!((content("linked/deep/file"), content("file")), (b"mine".to_vec(), b"mine".to_vec()));
    assert!(cache.verify(&|_, _| {}).unwrap().damaged.is_empty());
}

#[test]
fn a_stored_folder_that_lost_a_file_is_made_whole_from_the_stored_files() {
    let (_folder, cache) = open();
    let files = BTreeMap::from([("a".to_owned(), (b"1".to_vec(), false)), ("b".to_owned(), (b"2".to_vec(), true))]);
    let ingest = || {
        let output = cache.scratch_root().join("out");
        make_tree(&output, &files);
        cache.ingest(&output).unwrap()
    };
    let artifact = ingest();
    let stored = cache.path_of(&artifact);
    fs::set_permissions(&stored, fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(stored.join("a")).unwrap();
    assert_eq!(cache.presence(&artifact), Presence::Present);
    assert_eq!(read_tree(&stored), files);
    fs::set_permissions(&stored, fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(stored.join("b")).unwrap();
    assert_eq!(ingest(), artifact);
    assert_eq!(read_tree(&stored), files);
}

#[test]
fn a_cache_of_the_first_format_becomes_one_of_the_newest_where_it_lies() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("cache");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("format"), "1\n").unwrap();
    let fingerprint = {
        let cache = Cache::open(&root).unwrap();
        let artifact = put(&cache, "one", "one");
        record(&cache, "one", artifact, 5)
    };
    let name = fingerprint.to_string();
    assert!(root.join("actions").join(&name[..2]).join(format!("{name}.json")).exists());
    let cache = Cache::open(&root).unwrap();
    assert!(matches!(cache.lookup(&fingerprint).unwrap(), Lookup::Hit(_)));
    assert!(cache.verify(&|_, _| {}).unwrap().damaged.is_empty());
    assert_eq!(fs::read_to_string(root.join("format")).unwrap(), "3\n256 folders\n");
}
