//! The checks on made-up trees, each with one thing wrong or nothing.

use std::path::Path;

use tempfile::TempDir;

use crate::{circles, documents, limits, prose, top_level};

/// A repository with these files, and an empty manifest.
fn repository(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files.iter().chain(&[("Cargo.toml", "")]) {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

#[track_caller]
fn assert_only(problems: &[String], parts: &[&str]) {
    assert_eq!(problems.len(), 1, "{problems:#?}");
    for part in parts {
        assert!(problems[0].contains(part), "`{part}` is not in: {}", problems[0]);
    }
}

#[track_caller]
fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "{problems:#?}");
}

/// A function of this many lines.
fn function(lines: usize) -> String {
    format!("fn long() {{\n{}}}\n", "    call();\n".repeat(lines - 2))
}

#[test]
fn a_long_file_is_named_with_its_length() {
    let long = "// A line.\n".repeat(481);
    let folder = repository(&[("src/lib.rs", &long), ("src/short.rs", &"\n".repeat(480))]);
    assert_only(&limits::problems(folder.path()), &["src/lib.rs: 481 lines, 480 are allowed"]);
}

#[test]
fn a_long_function_is_named_with_its_line() {
    let text = format!("/// Documented.\n#[inline]\n{}\nmod a {{\n{}}}\n", function(69), function(68));
    let folder = repository(&[("cache/src/lib.rs", &text)]);
    assert_only(&limits::problems(folder.path()), &["cache/src/lib.rs:3: `long` has 69 lines, 68 are allowed"]);
}

#[test]
fn long_methods_and_methods_of_traits_are_found() {
    let text = format!("impl A {{\n{}}}\ntrait B {{\n{}}}\n", function(70), function(71));
    let folder = repository(&[("src/lib.rs", &text)]);
    let problems = limits::problems(folder.path());
    assert_eq!(problems.len(), 2, "{problems:#?}");
}

#[test]
fn unfinished_work_is_named_with_its_line() {
    let mark = ["TO", "DO"].concat();
    let text = format!("fn a() {{}}\n// {mark}: more\nconst {mark}S: u8 = 1; // not in MA{mark}\n");
    let folder = repository(&[("tests/a.rs", &text)]);
    assert_only(&limits::unfinished(folder.path()), &["tests/a.rs:2: `"]);
    let call = ["to", "do!()"].concat();
    let folder = repository(&[("src/lib.rs", &format!("fn a() {{ {call} }}\n"))]);
    assert_only(&limits::unfinished(folder.path()), &["src/lib.rs:1: `"]);
}

#[test]
fn built_and_foreign_files_are_not_read() {
    let long = "\n".repeat(1000);
    let folder = repository(&[("target/a.rs", &long), ("stages/vendor/b.rs", &long), (".git/c.rs", &long)]);
    assert_none(&limits::problems(folder.path()));
}

#[test]
fn two_files_that_import_each_other_are_a_circle() {
    let folder = repository(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "use crate::b::B; pub struct A; fn f(_: B) {}"),
        ("src/b.rs", "use super::a::A; pub struct B; fn f(_: A) {}"),
    ]);
    let parts = ["2 files", "src/a.rs -> src/b.rs: B", "src/b.rs -> src/a.rs: A"];
    assert_only(&circles::problems(folder.path()), &parts);
}

#[test]
fn a_circle_may_lead_over_inline_paths_and_macros() {
    let folder = repository(&[
        ("stages/nn/Cargo.toml", ""),
        ("stages/nn/src/lib.rs", "mod a; mod b; mod c;"),
        ("stages/nn/src/a.rs", "pub fn a() { crate::b::b() }"),
        ("stages/nn/src/b.rs", "use crate::c; pub fn b() { println!(\"{}\", c::c()) }"),
        ("stages/nn/src/c.rs", "pub fn c() -> u8 { use super::a::a; a(); 1 }"),
    ]);
    assert_only(&circles::problems(folder.path()), &["3 files", "b.rs -> stages/nn/src/c.rs: c"]);
}

#[test]
fn imports_through_a_facade_lead_to_the_file_that_defines_the_name() {
    let facade = "mod a; mod b; pub use a::A; pub(crate) use b::*;";
    let folder = repository(&[
        ("src/lib.rs", "mod room; pub use room::A; mod user;"),
        ("src/room/mod.rs", facade),
        ("src/room/a.rs", "use super::B; pub struct A(B);"),
        ("src/room/b.rs", "pub struct B;"),
        ("src/user.rs", "use crate::A; use crate::room::B; fn f(_: A, _: B) {}"),
    ]);
    assert_none(&circles::problems(folder.path()));
    let folder = repository(&[
        ("src/lib.rs", "mod room;"),
        ("src/room/mod.rs", facade),
        ("src/room/a.rs", "use super::B; pub struct A(B);"),
        ("src/room/b.rs", "use crate::room; pub struct B; fn f(_: room::A) {}"),
    ]);
    assert_only(&circles::problems(folder.path()), &["room/a.rs -> src/room/b.rs: B", "room/b.rs -> src/room/a.rs: A"]);
}

#[test]
fn a_parent_that_uses_what_it_reexports_is_no_facade() {
    let user = ("src/user.rs", "pub struct Shared; fn all() { crate::room::all() }");
    let child = ("src/room/a.rs", "use crate::user::Shared; pub fn a(_: Shared) {}");
    let facade = "mod a; pub use a::a; pub fn all() {}";
    let folder = repository(&[("src/lib.rs", "mod room; mod user;"), ("src/room/mod.rs", facade), child, user]);
    assert_none(&circles::problems(folder.path()));
    let uses = "mod a; pub use a::a; pub fn all() { a() }";
    let folder = repository(&[("src/lib.rs", "mod room; mod user;"), ("src/room/mod.rs", uses), child, user]);
    assert_only(
        &circles::problems(folder.path()),
        &["3 files", "room/mod.rs -> src/room/a.rs: a", "Move what both sides need"],
    );
}

#[test]
fn a_child_may_import_from_the_modules_that_it_lies_in() {
    let folder = repository(&[
        ("src/lib.rs", "mod room; pub struct Root; fn f() { room::f() }"),
        ("src/room.rs", "mod a; mod b; pub struct Shared; pub fn f() { a::a(Shared) }"),
        ("src/room/a.rs", "use super::Shared; pub fn a(_: Shared) { crate::Root; super::b::b() }"),
        ("src/room/b.rs", "use crate::room::Shared; pub fn b() {}"),
    ]);
    assert_none(&circles::problems(folder.path()));
}

#[test]
fn a_function_named_as_its_module_is_told_from_it() {
    let folder = repository(&[
        ("src/lib.rs", "mod plan; mod other;"),
        ("src/plan/mod.rs", "mod compile; pub use compile::compile; pub mod kept;"),
        ("src/plan/compile.rs", "use super::kept::K; pub fn compile(_: K) {}"),
        ("src/plan/kept.rs", "pub struct K; fn f() { crate::other::g() }"),
        ("src/other.rs", "pub fn g() {} fn compile() {} fn h() { compile() }"),
    ]);
    assert_none(&circles::problems(folder.path()));
}

#[test]
fn what_is_for_tests_alone_makes_no_circle() {
    let tests = "pub fn a() {} #[cfg(test)] mod tests; #[cfg(test)] fn t() { crate::b::b() }";
    let folder = repository(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", tests),
        ("src/a/tests.rs", "use crate::b::b; use super::*;"),
        ("src/b.rs", "pub fn b() { crate::a::a() }"),
    ]);
    assert_none(&circles::problems(folder.path()));
}

#[test]
fn macros_lead_to_the_file_that_defines_them() {
    let folder = repository(&[
        ("src/lib.rs", "mod keys; mod user;"),
        ("src/keys.rs", "macro_rules! keys { () => { $crate::user::made() } } pub(crate) use keys;"),
        ("src/user.rs", "pub fn made() {} fn f() { crate::keys::keys!() }"),
    ]);
    assert_only(
        &circles::problems(folder.path()),
        &["src/keys.rs -> src/user.rs: made", "src/user.rs -> src/keys.rs: keys"],
    );
}

#[test]
fn fields_and_other_crates_are_no_arrows() {
    let folder = repository(&[
        ("src/lib.rs", "mod a; mod b;"),
        ("src/a.rs", "pub use crate::b::b; pub fn a(x: X) { assert!(x.b == x.b()); ::b::b(); std::b::b() }"),
        ("src/b.rs", "pub fn b() { crate::a::a() }"),
    ]);
    assert_none(&circles::problems(folder.path()));
}

#[test]
fn tests_of_one_folder_are_targets_of_their_own() {
    let folder = repository(&[
        ("tests/one.rs", "mod support; use support::S;"),
        ("tests/support/mod.rs", "pub struct S;"),
        ("tests/two/main.rs", "#[path = \"../support/mod.rs\"] mod support; mod a; pub struct Z;"),
        ("tests/two/a.rs", "use crate::support::S; use crate::Z;"),
    ]);
    assert_none(&circles::problems(folder.path()));
}

#[test]
fn the_top_level_has_known_rooms() {
    let folder =
        repository(&[("src/lib.rs", ""), (".gitignore", "/results\n/*.yaml\n"), ("results/a", ""), ("p.yaml", "")]);
    assert_none(&top_level::problems(folder.path()));
    std::fs::create_dir(folder.path().join("kernels")).unwrap();
    assert_only(&top_level::problems(folder.path()), &["kernels/: no room"]);
    std::fs::remove_dir(folder.path().join("kernels")).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "").unwrap();
    assert_only(&top_level::problems(folder.path()), &["notes.txt: no file of the top level", "top_level.rs"]);
}

#[test]
fn a_document_that_names_what_is_gone_is_found() {
    let map =
        "`src/room` and `src/room.rs`, `src/<kind>.rs`, `results/a` [docs](docs/a.md#part)\n`src/gone` [x](gone.md)\n";
    let folder = repository(&[
        ("src/room.rs", ""),
        ("docs/a.md", "[up](../MAP.md) https://a.b [c](https://a.b)"),
        ("MAP.md", map),
    ]);
    let problems = documents::problems(folder.path());
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].contains("MAP.md:2: there is no `src/gone`") && problems[1].contains("leads to `gone.md`"));
}

#[test]
fn a_sentence_that_begins_with_a_relative_clause_is_found() {
    let text = "# What it does\n\nWhat is here? Names of\nWhat is wrong, as it was. Whatever came\nis gone. What for? - What then.\n- What then.\n";
    let problems = prose::in_text(text, "", "a.md");
    assert_eq!(problems.len(), 2, "{problems:#?}");
    assert!(problems[0].starts_with("a.md:4: `Whatever came…`") && problems[1].starts_with("a.md:6: `What then.…`"));
    assert_eq!(prose::in_text("/// What it is.\nWhat x.", "///", "a.rs").len(), 1);
}

#[test]
fn this_repository_is_read() {
    let files = crate::files::rust_files(crate::repository());
    assert!(files.iter().any(|file| file.ends_with(Path::new("tests/layout/made_up.rs"))));
    let roots = crate::files::crate_roots(crate::repository());
    assert!(
        roots.iter().any(|root| root.ends_with("cache/src/lib.rs"))
            && roots.iter().any(|root| root.ends_with("src/main.rs"))
    );
}
