//! Results are the user's, the cache is the program's: each survives what happens to the other.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use support::Project;

const PIPELINE: &str = "athanor: 1\nname: p\nvars: { word: one }\nstages:\n  a: { kind: command, run: \"echo ${{ vars.word }} > ${{ outputs.o }}\", outputs: { o: o.txt } }\n  \
    d: { kind: command, inputs: { i: a }, run: \"mkdir out && cp ${{ inputs.i }} out/x\", outputs: { d: out } }\nresults: { o.txt: a, folder: d }\n";

fn ran() -> Project {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]), ["a", "d"]);
    project
}

fn objects(project: &Project) -> Vec<PathBuf> {
    let shards = std::fs::read_dir(project.path(".athanor/objects")).unwrap();
    shards
        .flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap())
        .map(|file| file.unwrap().path())
        .collect()
}

#[test]
fn an_edited_result_is_left_alone_and_the_cache_is_not_touched() {
    let project = ran();
    project.write("results/p/o.txt", "mine\n");
    let outcome = project.run(&[]);
    assert!(outcome.out.contains("results/p/o.txt was edited and is left as it is"), "{}", outcome.out);
    assert_eq!(project.read("results/p/o.txt"), "mine\n");
    std::fs::remove_file(project.path("results/p/o.txt")).unwrap();
    assert!(project.made(&[]).is_empty());
    assert_eq!(project.read("results/p/o.txt"), "one\n");
}

#[test]
fn a_new_result_sets_the_edited_one_aside() {
    let project = ran();
    project.write("results/p/o.txt", "mine\n");
    let outcome = project.run(&["--set", "word=two"]);
    assert!(outcome.out.contains("the edited one that was there is now results/p/o.txt.edited"), "{}", outcome.out);
    assert_eq!(project.read("results/p/o.txt"), "two\n");
    assert_eq!(project.read("results/p/o.txt.edited"), "mine\n");
    assert_eq!(project.read("results/p/folder/x"), "two\n");
}

#[test]
fn what_was_set_aside_before_stays_too() {
    let project = ran();
    for (mine, word, aside) in [("first", "two", "o.txt.edited"), ("second", "three", "o.txt.edited-2")] {
        project.write("results/p/o.txt", mine);
        let outcome = project.run(&["--set", &format!("word={word}")]);
        assert!(outcome.out.contains(&format!("is now results/p/{aside}\n")), "{}", outcome.out);
    }
    assert_eq!(project.read("results/p/o.txt.edited"), "first");
    assert_eq!(project.read("results/p/o.txt.edited-2"), "second");
}

#[test]
fn what_the_pipeline_itself_wrote_under_another_profile_or_name_is_no_edit() {
    let project = ran();
    project.write("p.yaml", &format!("{PIPELINE}profiles: {{ loud: {{ vars: {{ word: loud }} }} }}\n"));
    for arguments in [&["p.yaml", "--profile", "loud"][..], &["p.yaml"], &["./p.yaml", "--set", "word=two"]] {
        let outcome = project.athanor(&[&["run"], arguments].concat());
        assert!(outcome.out.contains("result       results/p/o.txt\n"), "{arguments:?}: {}", outcome.out);
    }
    assert!(!project.path("results/p/o.txt.edited").exists());
    let why = project.athanor(&["explain", "p.yaml", "a", "--set", "word=four"]).out;
    assert!(why.contains("echo two") && why.contains("echo four"), "both spellings are one pipeline: {why}");
}

#[test]
fn no_label_leads_a_result_out_of_its_folder() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    matrix: { at: [../../../../x, a/b, a%2Fb, \"c\\nd\"] }\n    \
         run: echo ${{ matrix.at }} > ${{ outputs.o }}\n    outputs: { o: o.txt }\nresults: { all: a }\n",
    );
    assert_eq!(project.made(&[]).len(), 4);
    for (name, content) in [
        ("at=..%2F..%2F..%2F..%2Fx", "../../../../x\n"),
        ("at=a%2Fb", "a/b\n"),
        ("at=a%252Fb", "a%2Fb\n"),
        ("at=c%0Ad", "c\nd\n"),
    ] {
        assert_eq!(project.read(&format!("results/p/all/{name}.txt")), content);
    }
}

#[test]
fn histories_that_a_run_wrote_after_its_cache_was_removed_are_in_no_new_caches_way() {
    let project = ran();
    for entry in std::fs::read_dir(project.path(".athanor")).unwrap().map(Result::unwrap) {
        if entry.file_name() != "pipelines" {
            athanor_cache::remove_tree(&entry.path()).or_else(|_| std::fs::remove_file(entry.path())).unwrap();
        }
    }
    project.write(".athanor/pipelines/notes/mine", "not a history");
    let refused = project.run(&[]);
    assert!(refused.code == 1 && refused.err.contains("is no cache of Athanor's"), "{refused:?}");
    std::fs::remove_dir_all(project.path(".athanor/pipelines/notes")).unwrap();
    assert_eq!(project.made(&[]), ["a", "d"]);
}

#[test]
fn a_file_in_the_place_of_results_is_named_before_anything_runs() {
    let project = Project::new(PIPELINE);
    for place in ["results", "results/p"] {
        project.write(place, "in the way");
        let outcome = project.run(&[]);
        assert_eq!((outcome.code, outcome.out.as_str()), (1, ""), "{outcome:?}");
        let told = format!("`{place}`, where results belong, is a file. Move it away, or put results elsewhere");
        assert!(outcome.err.contains(&told), "{}", outcome.err);
        std::fs::remove_file(project.path(place)).unwrap();
        std::fs::create_dir_all(project.path("results")).unwrap();
    }
    assert_eq!(project.run(&[]).code, 0);
    assert_eq!(project.read("results/p/o.txt"), "one\n");
}

#[test]
fn stored_files_are_read_only_and_stored_once() {
    let project = ran();
    let objects = objects(&project);
    assert_eq!(objects.len(), 1, "both outputs have the same content: {objects:?}");
    assert_eq!(std::fs::metadata(&objects[0]).unwrap().permissions().mode() & 0o222, 0);
}

#[test]
fn verify_finds_damage_and_the_next_run_mends_it() {
    let project = ran();
    let object = objects(&project).remove(0);
    std::fs::set_permissions(&object, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&object, "onf\n").unwrap();
    let outcome = project.athanor(&["cache", "verify"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("damaged file: objects/"), "{}", outcome.out);
    assert!(outcome.out.contains("the next run makes 2 results again"), "{}", outcome.out);
    assert_eq!(project.made(&[]), ["a", "d"]);
    assert_eq!(project.athanor(&["cache", "verify"]).code, 0);
}

#[test]
fn a_file_of_the_wrong_size_is_never_served() {
    let project = ran();
    let object = objects(&project).remove(0);
    std::fs::remove_file(&object).unwrap();
    std::fs::write(&object, "on").unwrap();
    assert_eq!(project.made(&[]), ["a"], "the folder has the content still");
    assert!(project.made(&[]).is_empty());
}

#[test]
fn collection_keeps_what_the_last_runs_use() {
    let project = ran();
    project.made(&["--set", "word=two"]);
    let promised = project.athanor(&["cache", "gc", "--keep-runs=1", "-n"]).out;
    assert!(promised.starts_with("would drop 2 results"), "{promised}");
    assert!(project.athanor(&["cache", "gc", "--keep-runs=1"]).out.starts_with("dropped 2 results"));
    assert!(project.made(&["--set", "word=two"]).is_empty());
    assert_eq!(project.made(&[]), ["a", "d"]);
    assert!(project.athanor(&["cache", "gc", "--keep-runs=1", "--max-size", "0"]).out.contains("0 kept"));
    assert_eq!(project.made(&[]), ["a", "d"]);
}

#[test]
fn several_projects_share_one_cache() {
    let (one, two) = (Project::new(PIPELINE), Project::new(PIPELINE));
    let cache = one.path("shared-cache");
    let place = ["--cache", cache.to_str().unwrap()];
    assert_eq!(one.made(&place).len(), 2);
    assert!(two.made(&place).is_empty());
    assert_eq!(two.read("results/p/o.txt"), "one\n");
    assert!(one.athanor(&["cache", "gc", "--keep-runs=1", place[0], place[1]]).out.contains("2 kept"));
}
