//! The shape of the source: sizes of files and functions, unfinished work, circles between files, the top level, documents that
//! name files, and sentences that begin with nothing.
//!
//! Everything is read from the files as they are; neither git nor a build is asked. A check that fails names every place and
//! says how to mend it. The checks themselves are held to made-up trees, in `made_up.rs`.

mod arrows;
mod circles;
mod documents;
mod files;
mod limits;
mod made_up;
mod modules;
mod prose;
mod resolve;
mod top_level;

use std::path::Path;

/// The folder of this repository.
fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Fails with every problem, and says how many there are.
fn expect_none(problems: &[String]) {
    assert!(problems.is_empty(), "{} to mend:\n\n{}\n", problems.len(), problems.join("\n"));
}

#[test]
fn files_and_functions_are_small() {
    expect_none(&limits::problems(repository()));
}

#[test]
fn nothing_is_left_unfinished() {
    expect_none(&limits::unfinished(repository()));
}

#[test]
fn files_import_each_other_in_no_circle() {
    expect_none(&circles::problems(repository()));
}

#[test]
fn the_top_level_has_known_rooms_only() {
    expect_none(&top_level::problems(repository()));
}

#[test]
fn documents_name_files_that_are_there() {
    expect_none(&documents::problems(repository()));
}

#[test]
fn sentences_say_what_they_are_about() {
    expect_none(&prose::problems(repository()));
}
