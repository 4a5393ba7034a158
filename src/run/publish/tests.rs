//! Publishing that is killed between any two of its operations.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use athanor_cache::{Artifact, Cache, DiskHook, Operation};

use super::note::RunNote;
use super::publisher::Publisher;
use super::{Origin, Publication, Wanted};
use crate::events::ResultAction;

/// Paths and contents; those of folders end with `/`.
type Files = BTreeMap<String, String>;

/// Copies the disk as it is before every operation: as a process that is killed there would leave it.
struct Photographer {
    base: PathBuf,
    photos: PathBuf,
    taken: Mutex<usize>,
}

impl DiskHook for Photographer {
    fn intercept(&self, _: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut taken = self.taken.lock().unwrap();
        copy(&self.base, &self.photos.join(taken.to_string()));
        *taken += 1;
        act()
    }
}

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

fn store(cache: &Cache, files: &Files) -> Artifact {
    let path = cache.scratch_root().join("made");
    for (name, content) in files {
        let file = path.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    cache.ingest(&path).unwrap()
}

fn publish(cache: &Cache, base: &Path, results: &[(&str, &Artifact)]) -> Publication {
    let wanted = results.iter().map(|(path, artifact)| Wanted {
        path: (*path).to_owned(),
        artifact: (*artifact).clone(),
        fingerprint: None,
        made_by: "stage".to_owned(),
    });
    let folder = base.join("project/results/p");
    let note = RunNote {
        time: jiff::Timestamp::UNIX_EPOCH,
        profiles: Vec::new(),
        variables: serde_json::Value::Null,
        vars: Vec::new(),
        set: Vec::new(),
    };
    let pipeline = "p.yaml".to_owned();
    let origin = Origin {
        run: "run",
        note,
        pipeline,
        project: base,
        unmade: Vec::new(),
        has_failed: false,
        tells_left_over: true,
    };
    Publisher::new(cache, folder, "results/p".to_owned(), origin).publish(wanted.collect(), || None)
}

fn files_below(folder: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            if path.is_dir() {
                folders.push(path);
            } else if name != super::note::NAME {
                files.insert(name, fs::read_to_string(path).unwrap());
            }
        }
    }
    files
}

/// Two versions of three results: a file, a small folder, and one that is large enough for its files to be swapped.
fn version(cache: &Cache, number: usize) -> (Vec<Artifact>, Files) {
    let mut all = Files::new();
    let mut artifacts = Vec::new();
    let many = (0..100).map(|file| (format!("{file}"), format!("{file}")));
    let changed = [(format!("new {number}/file"), "new".to_owned()), ("7".to_owned(), format!("seven {number}"))];
    let few = [("x".to_owned(), format!("x {number}")), (format!("sub/{number}"), "y".to_owned())];
    for (path, files) in [("small", Files::from(few)), ("large", many.chain(changed).collect())] {
        artifacts.push(store(cache, &files));
        all.extend(files.into_iter().map(|(name, content)| (format!("{path}/{name}"), content)));
    }
    let file = cache.scratch_root().join("file");
    fs::write(&file, format!("file {number}")).unwrap();
    artifacts.push(cache.ingest(&file).unwrap());
    all.insert("file.txt".to_owned(), format!("file {number}"));
    (artifacts, all)
}

fn named(artifacts: &[Artifact]) -> [(&'static str, &Artifact); 3] {
    [("small", &artifacts[0]), ("large", &artifacts[1]), ("file.txt", &artifacts[2])]
}

/// Nothing is missing or half written in what a kill has left.
fn check_photo(photo: &Path, old: &Files, new: &Files, at: &str) {
    let found = files_below(&photo.join("project/results/p"));
    for path in ["file.txt", "small/x", "large/7", "large/8"] {
        let content = found.get(path);
        assert!(
            content.is_some() && (content == old.get(path) || content == new.get(path)),
            "{at}: {path}: {content:?}"
        );
    }
    let part = |files: &Files| -> Files {
        files
            .iter()
            .filter(|(path, _)| path.starts_with("small"))
            .map(|(path, content)| (path.clone(), content.clone()))
            .collect()
    };
    let small = part(&found);
    assert!(small == part(old) || small == part(new), "{at}: a small folder is exchanged as a whole: {small:?}");
}

/// The next run knows everything as Athanor's own and leaves nothing behind.
fn check_next(photo: &Path, wanted: &[Artifact], expected: &Files, at: &str) {
    let cache = Cache::open(&photo.join("cache")).unwrap();
    let publication = publish(&cache, photo, &named(wanted));
    assert!(publication.refused.is_empty(), "{at}: {:?}", publication.refused);
    for result in &publication.published {
        let is_plain = matches!(result.action, ResultAction::Written | ResultAction::Unchanged);
        assert!(is_plain && result.aside.is_none(), "{at}: {result:?}");
    }
    assert_eq!(&files_below(&photo.join("project/results/p")), expected, "{at}");
    let names = fs::read_dir(photo.join("project/results/p")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.count(), 4, "{at}: the results and the note");
    let again = publish(&cache, photo, &named(wanted));
    assert!(again.published.iter().all(|result| result.action == ResultAction::Unchanged), "{at}: {again:?}");
}

#[test]
fn a_kill_anywhere_leaves_whole_results_that_are_known_as_ours() {
    kill_anywhere(false);
}

#[test]
fn a_kill_anywhere_does_no_harm_where_copies_are_made_beside_the_results() {
    kill_anywhere(true);
}

/// Files in a folder with this bit get the folder's group: not so in the cache, so that copies cannot be made there.
fn set_group_bit(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o2755)).unwrap();
}

/// A folder in memory where there is such a place: the real disk's own waiting says nothing here.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

fn kill_anywhere(beside: bool) {
    let place = folder();
    let (base, photos) = (place.path().join("base"), place.path().join("photos"));
    fs::create_dir_all(&photos).unwrap();
    let plain = Cache::open(&base.join("cache")).unwrap();
    let (first, old) = version(&plain, 1);
    let (second, new) = version(&plain, 2);
    let (third, newest) = version(&plain, 3);
    if beside {
        set_group_bit(&base.join("project/results/p"));
    }
    publish(&plain, &base, &named(&first));
    assert_eq!(files_below(&base.join("project/results/p")), old);
    let watch = Arc::new(Photographer { base: base.clone(), photos: photos.clone(), taken: Mutex::default() });
    let watched = Cache::open_hooked(&base.join("cache"), Some(Arc::clone(&watch) as _)).unwrap();
    publish(&watched, &base, &named(&second));
    assert_eq!(files_below(&base.join("project/results/p")), new);
    let taken = *watch.taken.lock().unwrap();
    assert!(taken > 20, "{taken}");
    for number in 0..taken {
        let photo = photos.join(number.to_string());
        check_photo(&photo, &old, &new, &format!("operation {number}"));
        // The run after the kill may want what was wanted, or the one before, or something else; what was before may be gone.
        for (wanted, expected) in [(&first, &old), (&third, &newest), (&second, &new)] {
            let after = place.path().join("after");
            copy(&photo, &after);
            if !std::ptr::eq(wanted, &first) {
                for artifact in &first[..2] {
                    fs::remove_file(manifest(&after, artifact)).unwrap();
                }
            }
            check_next(&after, wanted, expected, &format!("operation {number}"));
            fs::remove_dir_all(unlocked(&after)).unwrap();
        }
    }
}

#[test]
fn a_lost_result_keeps_no_other_from_its_place_and_its_copy_in_the_project_stays() {
    let base = folder();
    let cache = Cache::open(&base.path().join("cache")).unwrap();
    let (first, old) = version(&cache, 1);
    let (second, new) = version(&cache, 2);
    publish(&cache, base.path(), &named(&first));
    let object = cache.path_of(&second[2]);
    fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&object, "FILE 2").unwrap();
    let publication = publish(&cache, base.path(), &named(&second));
    let [refused] = publication.refused.as_slice() else { panic!("{publication:?}") };
    assert!(refused.lost && refused.path == "results/p/file.txt", "{refused:?}");
    assert_eq!(publication.published.len(), 2);
    let mut expected = new;
    expected.insert("file.txt".to_owned(), old["file.txt"].clone());
    assert_eq!(files_below(&base.path().join("project/results/p")), expected);
    // It was not edited, and gives way to what is made again.
    let again = version(&cache, 2);
    let publication = publish(&cache, base.path(), &named(&again.0));
    assert!(publication.refused.is_empty());
    assert!(publication.published.iter().all(|result| result.aside.is_none()), "{publication:?}");
    assert_eq!(files_below(&base.path().join("project/results/p")), again.1);
}

#[test]
fn an_empty_folder_that_the_user_adds_to_a_result_is_an_edit() {
    let base = folder();
    let cache = Cache::open(&base.path().join("cache")).unwrap();
    let [one, two] = ["1", "2"].map(|text| store(&cache, &Files::from([("x".to_owned(), text.to_owned())])));
    publish(&cache, base.path(), &[("small", &one)]);
    let results = base.path().join("project/results/p");
    fs::create_dir(results.join("small/mine")).unwrap();
    let publication = publish(&cache, base.path(), &[("small", &two)]);
    assert_eq!(publication.published[0].aside.as_deref(), Some("results/p/small.edited"));
    assert!(results.join("small.edited/mine").is_dir() && !results.join("small/mine").exists());
}

fn manifest(base: &Path, artifact: &Artifact) -> PathBuf {
    let name = artifact.digest.to_string();
    base.join("cache/manifests").join(&name[..1]).join(format!("{name}.json"))
}

/// Makes the folders of a cache removable.
fn unlocked(folder: &Path) -> &Path {
    assert!(Command::new("chmod").arg("-R").arg("u+w").arg(folder).status().unwrap().success());
    folder
}
