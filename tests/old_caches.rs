//! Caches that earlier versions made: everything in them is served that would be computed alike today, and they become caches of
//! the newest format.
//!
//! `tests/caches/format-N.tar.gz` was written by the last version that made caches of format N, from `pipeline.yaml` beside it.

mod support;

use std::fs;
use std::path::Path;

use support::Project;

fn cache_of_format(format: u32) -> Project {
    let caches = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/caches");
    let project = Project::new(&fs::read_to_string(caches.join("pipeline.yaml")).unwrap());
    let packed = fs::File::open(caches.join(format!("format-{format}.tar.gz"))).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    archive.set_preserve_mtime(false);
    let mut folders = Vec::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        // Stored folders are read-only, and are filled first.
        if entry.header().entry_type().is_dir() {
            folders.push((entry.path().unwrap().into_owned(), entry.header().mode().unwrap()));
            fs::create_dir_all(project.path(entry.path().unwrap().to_str().unwrap())).unwrap();
        } else {
            entry.unpack_in(project.path("")).unwrap();
        }
    }
    for (folder, mode) in folders {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(project.path(folder.to_str().unwrap()), mode).unwrap();
    }
    fs::rename(project.path("cache"), project.path(".athanor")).unwrap();
    project
}

#[test]
fn everything_that_an_earlier_version_stored_is_served() {
    for (format, now) in [(1, "3\n256 folders\n"), (2, "3\n")] {
        let project = cache_of_format(format);
        let run = project.run(&[]);
        assert_eq!(run.code, 0, "{run:?}");
        // `label_table` and `resize_images` have other revisions by now.
        for made in ["finished     labels", "finished     small", "up to date: 2 ran, 1 cached"] {
            assert!(run.out.contains(made), "{}", run.out);
        }
        assert_eq!(project.read(".athanor/format"), now);
        assert_eq!(project.read("results/old/labels.csv").lines().count(), 3);
        let verified = project.athanor(&["cache", "verify"]);
        assert_eq!(verified.code, 0, "{verified:?}");
        project.edit("size: 8", "size: 4");
        assert_eq!(project.made(&[]), ["small"], "format {format}");
        project.edit("size: 4", "size: 8");
        assert!(project.made(&[]).is_empty(), "format {format}");
        let collected = project.athanor(&["cache", "gc", "--keep-runs=1"]);
        assert_eq!(collected.code, 0, "{collected:?}");
        assert!(project.made(&[]).is_empty(), "format {format}");
    }
}
