//! The index against reading everything again.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::tree::{Artifact, ArtifactKind, Tree, TreeEntry};

fn patient(root: &Path) -> StatIndex {
    let disk = Disk::new(root, None);
    StatIndex::new(disk, Locks::of(root), Arc::new(FileSystemClock::new(root.join("tmp"))))
}

/// With every file taken to rest: the index is then right only if it sees every change.
fn impatient(root: &Path) -> StatIndex {
    let mut clock = FileSystemClock::new(root.join("tmp"));
    clock.everything_is_settled = true;
    StatIndex { clock: Arc::new(clock), ..patient(root) }
}

/// Longer than a tick of the clock that stamps files.
const TICK: Duration = Duration::from_millis(12);

/// The cache in one folder, and another to look at.
fn folders() -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (cache, root) = (folder.path().join("cache"), folder.path().join("root"));
    fs::create_dir_all(cache.join("tmp")).unwrap();
    fs::create_dir(&root).unwrap();
    (folder, cache, root)
}

/// The artifact at `path`, everything read; nothing where none can be made of it.
fn read_all(path: &Path) -> Option<Artifact> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_dir() {
        let kind = if is_executable(&metadata) { ArtifactKind::Executable } else { ArtifactKind::File };
        let content = metadata.is_file().then(|| fs::read(path).unwrap())?;
        return Some(Artifact { kind, digest: Digest::of(&content), bytes: content.len() as u64, files: 1 });
    }
    let mut entries = Vec::new();
    read_folder(path, "", &[identity(&metadata)], &mut entries)?;
    entries.sort_by(|left, right| left.path.cmp(&right.path));
    Some(Tree { entries }.artifact())
}

fn read_folder(folder: &Path, prefix: &str, above: &[(u64, u64)], entries: &mut Vec<TreeEntry>) -> Option<()> {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let relative = format!("{prefix}{}", path.file_name().unwrap().to_str().unwrap());
        let metadata = fs::metadata(&path).ok()?;
        if metadata.is_file() {
            let content = fs::read(&path).unwrap();
            let (digest, bytes) = (Some(Digest::of(&content)), content.len() as u64);
            entries.push(TreeEntry { path: relative, digest, bytes, executable: is_executable(&metadata) });
            continue;
        }
        if !metadata.is_dir() || above.contains(&identity(&metadata)) {
            return None;
        }
        let before = entries.len();
        read_folder(&path, &format!("{relative}/"), &[above, &[identity(&metadata)]].concat(), entries)?;
        if entries.len() == before {
            entries.push(TreeEntry { path: relative, digest: None, bytes: 0, executable: false });
        }
    }
    Some(())
}

fn identity(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn is_executable(metadata: &fs::Metadata) -> bool {
    metadata.permissions().mode() & 0o111 != 0
}

#[derive(Debug, Clone)]
enum Edit {
    Write(&'static str, u8),
    /// The same size, and the time of modification that was there before.
    WriteInSecret(&'static str, u8),
    Replace(&'static str, u8),
    Remove(&'static str),
    Rename(&'static str, &'static str),
    Swap(&'static str, &'static str),
    SetExecutable(&'static str, bool),
    MakeFolder(&'static str),
    Link(&'static str, &'static str),
}

const PATHS: [&str; 10] = ["a", "b", "c", "c/a", "c/b", "c/d/a", "c-d", "e/a", "../outside", "../outside/a"];
const TARGETS: [&str; 6] = ["a", "../outside", "../outside/a", ".", "nowhere", "/dev/null"];

fn edit() -> impl Strategy<Value = Edit> {
    let path = || prop::sample::select(&PATHS[..]);
    prop_oneof![
        6 => (path(), 0..4u8).prop_map(|(path, content)| Edit::Write(path, content)),
        3 => (path(), 0..4u8).prop_map(|(path, content)| Edit::WriteInSecret(path, content)),
        2 => (path(), 0..4u8).prop_map(|(path, content)| Edit::Replace(path, content)),
        2 => path().prop_map(Edit::Remove),
        2 => (path(), path()).prop_map(|(from, to)| Edit::Rename(from, to)),
        1 => (path(), path()).prop_map(|(one, other)| Edit::Swap(one, other)),
        1 => (path(), any::<bool>()).prop_map(|(path, executable)| Edit::SetExecutable(path, executable)),
        1 => path().prop_map(Edit::MakeFolder),
        1 => (path(), prop::sample::select(&TARGETS[..])).prop_map(|(path, target)| Edit::Link(path, target)),
    ]
}

impl Edit {
    /// Does it as far as possible.
    fn apply(&self, root: &Path) -> std::io::Result<()> {
        let at = |path: &str| root.join(path);
        // Nothing may be written to what a link to outside of the test's folder leads to.
        let is_ours = |path: &Path| !path.is_symlink() || fs::metadata(path).is_ok_and(|found| found.is_file());
        let remove = |path: &Path| match fs::symlink_metadata(path).is_ok_and(|found| found.is_dir()) {
            true => fs::remove_dir_all(path),
            false => fs::remove_file(path),
        };
        match *self {
            Edit::Write(path, content) => {
                fs::create_dir_all(at(path).parent().unwrap())?;
                if is_ours(&at(path)) { fs::write(at(path), [content]) } else { Ok(()) }
            }
            Edit::WriteInSecret(path, content) => {
                let file = File::options().write(true).open(at(path))?;
                if !file.metadata()?.is_file() {
                    return Ok(());
                }
                let modified = file.metadata()?.modified()?;
                file.write_all_at(&[content], 0)?;
                file.set_modified(modified)
            }
            Edit::Replace(path, content) => {
                fs::write(at("../new"), [content])?;
                fs::rename(at("../new"), at(path))
            }
            Edit::Remove(path) => remove(&at(path)),
            Edit::Rename(from, to) => fs::rename(at(from), at(to)),
            Edit::Swap(one, other) => {
                fs::rename(at(one), at("../between"))?;
                fs::rename(at(other), at(one)).and_then(|()| fs::rename(at("../between"), at(other)))
            }
            Edit::SetExecutable(path, executable) => {
                let is_file = fs::metadata(at(path))?.is_file();
                let mode = if executable { 0o755 } else { 0o644 };
                if is_file { fs::set_permissions(at(path), fs::Permissions::from_mode(mode)) } else { Ok(()) }
            }
            Edit::MakeFolder(path) => fs::create_dir_all(at(path)),
            Edit::Link(path, target) => {
                let _ = remove(&at(path));
                symlink(target, at(path))
            }
        }
    }
}

/// A round of the test: edits, then scans by one of two processes.
#[derive(Debug, Clone)]
struct Round {
    edits: Vec<Edit>,
    /// Which of the processes looks, and whether it is a new one.
    process: usize,
    is_new: bool,
    saves: bool,
    /// The scanned folder.
    paths: Vec<&'static str>,
}

fn round() -> impl Strategy<Value = Round> {
    let edits = prop::collection::vec(edit(), 0..4);
    let paths =
        prop::collection::vec(prop::sample::select(&[".", ".", "c", "c/d", "a", "c/a", "../outside"][..]), 1..4);
    (edits, 0..2usize, any::<bool>(), any::<bool>(), paths).prop_map(|(edits, process, is_new, saves, paths)| Round {
        edits,
        process,
        is_new,
        saves,
        paths,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_look_finds_what_reading_everything_finds(rounds in prop::collection::vec(round(), 1..12)) {
        let (_folder, cache, root) = folders();
        let mut processes = [impatient(&cache), impatient(&cache)];
        for Round { edits, process, is_new, saves, paths } in rounds {
            std::thread::sleep(TICK);
            for edit in &edits {
                // An impossible change is skipped.
                let _ = edit.apply(&root);
            }
            if is_new {
                processes[process] = impatient(&cache);
            }
            for path in paths {
                let found = processes[process].scan(&root.join(path), &Exclusions::default());
                let expected = read_all(&root.join(path));
                prop_assert_eq!(found.as_ref().ok().map(|look| &look.artifact), expected.as_ref(), "{}", path);
                if let Ok(look) = found && look.artifact.kind == ArtifactKind::Folder {
                    prop_assert_eq!(Some(look.into_tree().artifact()), expected);
                }
            }
            if saves {
                processes[process].flush().unwrap();
            }
        }
    }
}

fn sample(root: &Path) {
    for (path, content) in [("a", "1"), ("b", "2"), ("c/a", "3"), ("c/d/a", "4")] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir(root.join("empty")).unwrap();
}

#[test]
fn what_is_known_is_not_read_again_and_not_saved_again() {
    let (_folder, cache, root) = folders();
    sample(&root);
    let first = impatient(&cache);
    first.scan(&root, &Exclusions::default()).unwrap();
    first.flush().unwrap();
    assert!(first.scan(&root, &Exclusions::default()).is_ok() && first.unsaved().is_empty(), "in the same process");
    let second = impatient(&cache);
    assert_eq!(Some(second.scan(&root, &Exclusions::default()).unwrap().artifact), read_all(&root));
    assert!(second.unsaved().is_empty());
    second.scan(&root.join("c/a"), &Exclusions::default()).unwrap();
    assert!(second.unsaved().is_empty(), "files known with their folder are known");
    fs::write(root.join("c/d/b"), "5").unwrap();
    second.scan(&root, &Exclusions::default()).unwrap();
    assert_eq!(second.unsaved().listings.keys().collect::<Vec<_>>(), [&root.join("c/d")]);
}

#[test]
fn a_file_in_a_large_folder_is_found_however_much_changes_around_it() {
    let (_folder, cache, root) = folders();
    let names: Vec<PathBuf> = (0..3000).map(|number| root.join(number.to_string())).collect();
    names.iter().for_each(|path| fs::write(path, path.as_os_str().as_bytes()).unwrap());
    for (from, to) in [(3000, 3000), (0, 1), (700, 1400), (2999, 3000)] {
        names[from..to].iter().for_each(|path| fs::remove_file(path).unwrap());
        let index = impatient(&cache);
        assert_eq!(Some(index.scan(&root, &Exclusions::default()).unwrap().artifact), read_all(&root));
        index.flush().unwrap();
        let again = impatient(&cache);
        again.scan(&root, &Exclusions::default()).unwrap();
        assert!(again.unsaved().is_empty());
    }
}

#[test]
fn folders_that_move_change_the_folder_they_are_in() {
    let (_folder, cache, root) = folders();
    sample(&root);
    let index = impatient(&cache);
    let mut seen = vec![index.scan(&root, &Exclusions::default()).unwrap().artifact];
    for (from, to) in [("c", "e"), ("e/d", "e/f"), ("empty", "other"), ("other", "e/other")] {
        fs::rename(root.join(from), root.join(to)).unwrap();
        let now = index.scan(&root, &Exclusions::default()).unwrap().artifact;
        assert_eq!(Some(&now), read_all(&root).as_ref());
        assert!(!seen.contains(&now));
        seen.push(now);
    }
}

#[test]
fn what_several_processes_learn_at_once_is_kept() {
    let (_folder, cache, root) = folders();
    sample(&root);
    let processes = [impatient(&cache), impatient(&cache), impatient(&cache)];
    for (process, path) in processes.iter().zip(["a", "b", "c"]) {
        process.scan(&root.join(path), &Exclusions::default()).unwrap();
    }
    processes.iter().for_each(|process| process.flush().unwrap());
    let fourth = impatient(&cache);
    for path in ["a", "b", "c", "c/d/a"] {
        fourth.scan(&root.join(path), &Exclusions::default()).unwrap();
    }
    assert!(fourth.unsaved().is_empty());
}

#[test]
fn what_is_gone_is_forgotten() {
    let (_folder, cache, root) = folders();
    sample(&root);
    let index = impatient(&cache);
    index.scan(&root, &Exclusions::default()).unwrap();
    index.flush().unwrap();
    fs::remove_dir_all(root.join("c")).unwrap();
    fs::remove_file(root.join("a")).unwrap();
    index.scan(&root, &Exclusions::default()).unwrap();
    index.flush().unwrap();
    let known = IndexFile::open(&index.path()).listings();
    assert_eq!(known.keys().collect::<Vec<_>>(), [&root]);
    assert_eq!(known[&root].files().map(|file| file.name).collect::<Vec<_>>(), [b"b"]);
}

#[test]
fn a_damaged_index_is_as_good_as_none_and_is_mended() {
    let (_folder, cache, root) = folders();
    sample(&root);
    let index = impatient(&cache);
    let expected = index.scan(&root, &Exclusions::default()).unwrap().artifact;
    index.flush().unwrap();
    let sound = fs::read(index.path()).unwrap();
    let flipped = (0..sound.len()).map(|at| {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x81;
        damaged
    });
    for damaged in flipped.chain((0..sound.len()).map(|length| sound[..length].to_vec())) {
        fs::write(index.path(), damaged).unwrap();
        let reader = impatient(&cache);
        assert_eq!(reader.scan(&root, &Exclusions::default()).unwrap().artifact, expected);
        assert!(!reader.unsaved().is_empty(), "damage is noticed");
        let (listings, sums) =
            combine(&reader.index_file(), &reader.index_file(), std::mem::take(&mut *reader.unsaved()));
        assert_eq!(index_file::encode(&listings, &sums), sound);
    }
}

#[test]
fn a_rewrite_of_the_same_size_in_the_same_tick_is_seen() {
    let (_folder, cache, root) = folders();
    let path = root.join("file");
    let index = patient(&cache);
    for content in [b"one", b"two", b"six"] {
        fs::write(&path, content).unwrap();
        assert_eq!(index.scan(&path, &Exclusions::default()).unwrap().artifact.digest, Digest::of(content));
        assert_eq!(Some(index.scan(&root, &Exclusions::default()).unwrap().artifact), read_all(&root));
    }
}

#[test]
fn a_file_is_remembered_once_the_clock_of_its_file_system_has_moved_on() {
    let (_folder, cache, root) = folders();
    let path = root.join("file");
    fs::write(&path, "one").unwrap();
    let touched = Stat::of(&path).unwrap().changed;
    while crate::index::clock::time_in(&root).unwrap() <= touched {
        std::thread::yield_now();
    }
    let index = patient(&cache);
    index.scan(&path, &Exclusions::default()).unwrap();
    index.scan(&root, &Exclusions::default()).unwrap();
    assert_eq!(index.unsaved().files.len(), 1);
    assert_eq!(index.unsaved().listings.len(), 1);
    let past = std::time::SystemTime::now() - Duration::from_secs(100);
    File::options().write(true).open(&path).unwrap().set_modified(past).unwrap();
    fs::write(root.join("to come"), "two").unwrap();
    let future = std::time::SystemTime::now() + Duration::from_secs(100);
    File::options().write(true).open(root.join("to come")).unwrap().set_modified(future).unwrap();
    let index = patient(&cache);
    index.scan(&root.join("to come"), &Exclusions::default()).unwrap();
    assert!(index.unsaved().is_empty(), "a time that no clock has reached is in no tick that is over");
}
