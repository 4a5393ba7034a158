//! A bad disk: bits that flip in the cache are found, and what they spoilt is made again.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::Project;

const PIPELINE: &str = r#"
athanor: 1
name: p
stages:
  file: { kind: command, run: "echo file > ${{ outputs.o }}", outputs: { o: o.txt } }
  folder: { kind: command, run: "mkdir -p d/e && echo one > d/one && echo two > d/e/two && chmod +x d/one", outputs: { o: d } }
  both: { kind: command, inputs: { a: file, b: folder }, run: "cat ${{ inputs.a }} ${{ inputs.b }}/one ${{ inputs.b }}/e/two > ${{ outputs.o }}", outputs: { o: o.txt } }
results: { both.txt: both, folder: folder }
"#;

/// Every file of the store: contents, folders, manifests, records.
fn stored(project: &Project) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for area in ["objects", "trees", "manifests", "actions"] {
        list(&project.path(".athanor").join(area), &mut found);
    }
    found.sort();
    found
}

/// Every other file of the cache.
fn about(project: &Project) -> Vec<PathBuf> {
    let (mut found, stored) = (Vec::new(), stored(project));
    list(&project.path(".athanor"), &mut found);
    found.retain(|path| !stored.contains(path));
    found.sort();
    found
}

fn list(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, found) } else { found.push(path) }
    }
}

fn overwrite(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mode = fs::metadata(path).unwrap().permissions();
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, mode).unwrap();
}

fn results_are_right(project: &Project) {
    assert_eq!(project.read("results/p/both.txt"), "file\none\ntwo\n");
    assert_eq!(project.read("results/p/folder/e/two"), "two\n");
}

#[test]
fn a_flipped_bit_in_any_stored_file_is_found_and_what_it_spoilt_is_made_again() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 3);
    let files = stored(&project);
    assert!(files.len() >= 10, "{files:?}");
    for path in files {
        overwrite(&path, |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 4;
        });
        let verified = project.athanor(&["cache", "verify"]);
        assert!(!verified.out.contains(" 0 damaged"), "{}: {}", path.display(), verified.out);
        fs::remove_dir_all(project.path("results")).unwrap();
        assert!(!project.made(&[]).is_empty(), "{}", path.display());
        results_are_right(&project);
        assert!(project.athanor(&["cache", "verify"]).out.contains(" 0 damaged"));
    }
}

#[test]
fn a_stored_file_of_the_wrong_size_is_never_served() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 3);
    let changes: [fn(&mut Vec<u8>); 3] = [|bytes| bytes.truncate(bytes.len() - 1), |bytes| bytes.push(0), Vec::clear];
    for (path, change) in stored(&project).iter().flat_map(|path| changes.map(|change| (path, change))) {
        overwrite(path, change);
        fs::remove_dir_all(project.path("results")).unwrap();
        let made = project.made(&[]);
        // What is wrong with a file of several records may concern one that is gone.
        assert!(!made.is_empty() || path.starts_with(project.path(".athanor/actions")), "{}", path.display());
        results_are_right(&project);
    }
    project.athanor(&["cache", "verify"]);
    assert!(project.athanor(&["cache", "verify"]).out.contains(" 0 damaged"));
}

#[test]
fn damage_to_what_is_known_about_the_store_changes_no_result() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]).len(), 3);
    // What is remembered of files, once they have rested for a while, and what the last runs came to.
    project.made(&["--force", "both"]);
    let files = about(&project);
    assert!(files.len() >= 6, "{files:?}");
    let changes: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.iter_mut().take(1).for_each(|byte| *byte ^= 4),
        |bytes| (0..bytes.len()).step_by(7).for_each(|at| bytes[at] ^= 1 << (at % 8)),
        |bytes| bytes.truncate(bytes.len() / 2),
        Vec::clear,
    ];
    for (path, change) in files.iter().flat_map(|path| changes.map(|change| (path, change))) {
        let Ok(before) = fs::read(path) else { continue };
        overwrite(path, change);
        let damaged = fs::read(path).unwrap();
        let _ = fs::remove_dir_all(project.path("results"));
        let outcome = project.run(&[]);
        let formats = [before.trim_ascii(), b"1", b"2"];
        if path.ends_with("format") && !formats.contains(&damaged.trim_ascii()) {
            // Which version wrote the cache is not guessed; an earlier one's is served as it ever was, and upgraded.
            assert_eq!(outcome.code, 1, "{outcome:?}");
            fs::write(path, before).unwrap();
            continue;
        }
        assert_eq!(outcome.code, 0, "{}: {outcome:?}", path.display());
        results_are_right(&project);
        assert_eq!(project.athanor(&["status", "p.yaml"]).code, 0, "{}", path.display());
    }
    assert!(project.athanor(&["cache", "verify"]).out.contains(" 0 damaged"));
    assert_eq!(project.made(&[]).len(), 0);
}
