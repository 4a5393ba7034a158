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
}
