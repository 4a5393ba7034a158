//! Files and ids whose names are not what they look like.

use athanor_stages::images::encode;

use crate::support::Project;
use crate::{FIVE_LINES, ok, photo, project, put};

#[test]
fn an_image_without_an_extension_is_no_note_aside() {
    let project = project(FIVE_LINES);
    put(&project, "photos/cat/0002", &encode::png(&photo(9, 6, 1)).unwrap());
    put(&project, "photos/cat/notes", b"of the cats");
    let outcome = project.run(&[]);
    let told = "photos/cat/0002: belongs to no image: its name is not `<class>/<name>.*`; if it should, give another `pattern`\n";
    assert!(outcome.code == 1 && outcome.out.contains(told), "{outcome:?}");
    std::fs::remove_file(project.path("photos/cat/0002")).unwrap();
    ok(&project, &[]);
}

#[test]
fn names_that_look_the_same_are_told_apart() {
    let pipeline = "athanor: 1\nname: p\nstages:\n  s: { kind: import_images, inputs: { images: imgs } }\n";
    let project = Project::new(pipeline);
    for name in ["caf\u{e9}_red", "cafe\u{301}_green"] {
        put(&project, &format!("imgs/{name}.png"), &encode::png(&photo(8, 8, 1)).unwrap());
    }
    let outcome = project.run(&[]);
    let told = "looks the same, and is written with letters and accents in one or apart (NFC, NFD)";
    assert!(outcome.code == 1 && outcome.out.contains(told), "{outcome:?}");
    std::fs::rename(project.path("imgs/cafe\u{301}_green.png"), project.path("imgs/cafe\u{300}_green.png")).unwrap();
    let outcome = project.run(&[]);
    assert!(outcome.code == 1 && !outcome.out.contains("looks the same"), "{outcome:?}");
}

/// Tables leave blanks around ids out, so that an image with them would be in no table.
#[test]
fn blanks_around_names_are_none_of_the_ids() {
    let project = Project::new(
        r#"athanor: 1
name: p
stages:
  images: { kind: import_images, inputs: { images: photos }, params: { pattern: "{class}/{name}.{ext}" } }
  folds: { kind: folds, inputs: { train: images.labels }, params: { folds: 2, classes: 2 } }
  labels: { kind: label_table, inputs: { labels: images.labels }, params: { target: class, classes: from_table } }
  with_images: { kind: rows_with_images, inputs: { table: labels, images: images.images } }
results: { labels.csv: images.labels, rows.csv: with_images.table }
"#,
    );
    for (name, seed) in [("cat/1 (1) .png", 1), ("cat / 2.png", 2), ("dog/\u{a0}3.png", 3)] {
        put(&project, &format!("photos/{name}"), &encode::png(&photo(9, 6, seed)).unwrap());
    }
    ok(&project, &[]);
    assert_eq!(project.read("results/p/labels.csv"), "Id,Target,class\ncat_1 (1),0,cat\ncat_2,0,cat\ndog_3,1,dog\n");
    assert_eq!(project.read("results/p/rows.csv").lines().count(), 4);
    let log = project.athanor(&["logs", "p.yaml", "images"]).out;
    assert!(log.contains("3 images: "), "{log}");
    std::fs::remove_dir_all(project.path("photos/cat")).unwrap();
    std::fs::remove_dir_all(project.path("photos/cat ")).unwrap();
    assert_eq!(project.run(&[]).code, 1);
    let log = project.athanor(&["logs", "p.yaml", "images"]).out;
    assert!(log.contains("1 image: 1 known from before, 0 computed"), "{log}");
    put(&project, "photos/dog/3.png", &encode::png(&photo(9, 6, 4)).unwrap());
    let outcome = project.run(&[]);
    assert!(outcome.code == 1 && outcome.out.contains("this is the image `dog_3`, and so is"), "{outcome:?}");
}
