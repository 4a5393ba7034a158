//! What reruns after which edit: exactly what computes from what changed.

mod support;

use support::Project;

const CHAIN: &str = r#"
athanor: 1
name: chain
vars: { greeting: hello, cut: 5 }
stages:
  first:
    kind: command
    inputs: { source: data/in.txt }
    run: (echo ${{ vars.greeting }}; cat ${{ inputs.source }}) > ${{ outputs.text }}
    outputs: { text: first.txt }
  short:
    kind: command
    inputs: { text: first }
    run: head -c ${{ vars.cut }} ${{ inputs.text }} > ${{ outputs.text }}
    outputs: { text: short.txt }
  last:
    kind: command
    inputs: { text: short }
    run: tr a-z A-Z < ${{ inputs.text }} > ${{ outputs.text }}
    outputs: { text: last.txt }
results: { out.txt: last }
"#;

fn chain() -> Project {
    let project = Project::new(CHAIN);
    project.write("data/in.txt", "one\n");
    assert_eq!(project.made(&[]), ["first", "short", "last"]);
    project
}

#[test]
fn nothing_reruns_when_nothing_changed() {
    let project = chain();
    assert_eq!(project.read("results/chain/out.txt"), "HELLO");
    assert!(project.made(&[]).is_empty());
}

#[test]
fn a_changed_variable_reruns_what_uses_it_and_what_reads_that() {
    let project = chain();
    assert_eq!(project.made(&["--set", "greeting=howdy"]), ["first", "short", "last"]);
    assert_eq!(project.read("results/chain/out.txt"), "HOWDY");
    assert_eq!(project.made(&["--set", "cut=2"]), ["short", "last"]);
}

#[test]
fn equal_bytes_stop_the_wave() {
    let project = chain();
    project.write("data/in.txt", "two\n");
    assert_eq!(project.made(&[]), ["first", "short"], "the first five bytes are the same");
}

#[test]
fn going_back_restores_older_results_at_once() {
    let project = chain();
    project.made(&["--set", "greeting=howdy"]);
    assert!(project.made(&[]).is_empty());
    assert_eq!(project.read("results/chain/out.txt"), "HELLO");
}

#[test]
fn a_rewrite_with_the_same_content_or_another_time_reruns_nothing() {
    let project = chain();
    project.write("data/in.txt", "one\n");
    assert!(project.made(&[]).is_empty());
}

#[test]
fn names_comments_order_descriptions_and_resources_rerun_nothing() {
    let project = chain();
    project
        .edit("  short:\n    kind: command\n", "  # a comment\n  brief:\n    description: short\n    kind: command\n");
    project.edit("inputs: { text: short }", "inputs: { text: brief }");
    project.edit("name: chain\n", "");
    project.edit("vars: {", "name: chain\nvars: {");
    project.edit(
        "    outputs: { text: last.txt }",
        "    outputs: { text: last.txt }\n    resources: { cpus: 1, memory: 1MiB }\n    retries: 2\n    timeout: 1h",
    );
    assert!(project.made(&["-j", "2"]).is_empty());
}

#[test]
fn resources_in_a_line_rerun_nothing() {
    let project = Project::new(
        "athanor: 1\nname: p\nvars: { n: 1 }\nstages:\n  a:\n    kind: command\n    resources: { cpus: \"${{ vars.n }}\" }\n    \
         run: echo ${{ resources.cpus }} > ${{ outputs.o }}\n    outputs: { o: o.txt }\n",
    );
    assert_eq!(project.made(&["-j", "4"]), ["a"]);
    assert!(project.made(&["-j", "4", "--set", "n=2"]).is_empty());
}

#[test]
fn the_seed_and_the_output_names_count() {
    let project = chain();
    project.edit("    outputs: { text: last.txt }", "    seed: 3\n    outputs: { text: last.txt }");
    assert_eq!(project.made(&[]), ["last"]);
}

#[test]
fn two_stages_that_do_the_same_work_share_one_result() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: \"echo x > ${{ outputs.o }}\", outputs: { o: o.txt } }\n  \
         b: { kind: command, run: \"echo x > ${{ outputs.o }}\", outputs: { o: o.txt } }\nresults: { a.txt: a, b.txt: b }\n",
    );
    assert_eq!(project.made(&["-j", "4"]).len(), 1);
    assert_eq!(project.read("results/p/a.txt"), project.read("results/p/b.txt"));
}

#[test]
fn every_change_in_an_input_folder_counts_and_is_named() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  list:\n    kind: command\n    inputs: { images: images }\n    \
         run: ls -R ${{ inputs.images }}/ > ${{ outputs.o }}\n    outputs: { o: o.txt }\n",
    );
    project.write("images/a", "1");
    project.write("images/sub/b", "2");
    assert_eq!(project.made(&[]), ["list"]);
    project.write("images/c", "3");
    project.write("images/a", "9");
    std::fs::remove_file(project.path("images/sub/b")).unwrap();
    let explained = project.athanor(&["explain", "p.yaml", "list"]).out;
    for line in ["modified a", "added    c", "removed  sub/b"] {
        assert!(explained.contains(line), "{explained}");
    }
    assert_eq!(project.made(&[]), ["list"]);
    assert!(project.made(&[]).is_empty());
}

#[test]
fn a_project_file_that_a_line_names_is_an_input() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: \"sh tools/make.sh > ${{ outputs.o }}\", outputs: { o: o.txt } }\nresults: { o.txt: a }\n",
    );
    project.write("tools/make.sh", "echo one");
    assert_eq!(project.made(&[]), ["a"]);
    project.write("tools/make.sh", "echo two");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/o.txt"), "two\n");
}

#[test]
fn force_runs_again_and_only_what_it_selects() {
    let project = chain();
    assert_eq!(project.made(&["--force", "short"]), ["short"]);
}

#[test]
fn targets_limit_a_run_to_what_they_need() {
    let project = Project::new(CHAIN);
    project.write("data/in.txt", "one\n");
    assert_eq!(project.made(&["short"]), ["first", "short"]);
    assert!(!project.path("results/chain/out.txt").exists());
    assert_eq!(project.made(&[]), ["last"]);
}

#[test]
fn paths_with_spaces_and_quotes_are_safe() {
    let project = Project::new(
        "athanor: 1\nname: p\nvars: { file: \"da ta/it's.txt\" }\nstages:\n  a:\n    kind: command\n    inputs: { i: \"${{ vars.file }}\" }\n    \
         run: \"cat ${{ inputs.i }} > ${{ outputs.o }}; echo ${{ vars.file }} >> ${{ outputs.o }}\"\n    outputs: { o: \"o u t.txt\" }\nresults: { o.txt: a }\n",
    );
    project.write("da ta/it's.txt", "content\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(project.read("results/p/o.txt"), "content\nda ta/it's.txt\n");
}

#[test]
fn a_script_that_tells_its_name_is_not_the_work_of_another_stage() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  a: { kind: command, matrix: { i: [1, 2] }, run: \"echo $ATHANOR_STAGE > ${{ outputs.o }}\", outputs: { o: o.txt } }\n  \
         b: { kind: command, run: \"echo $ATHANOR_STAGE > ${{ outputs.o }}\", outputs: { o: o.txt } }\nresults: { a: a, b.txt: b }\n",
    );
    assert_eq!(project.made(&[]).len(), 3);
    let told = ["a/i=1.txt", "a/i=2.txt", "b.txt"].map(|name| project.read(&format!("results/p/{name}")));
    assert_eq!(told, ["a[i=1]\n", "a[i=2]\n", "b\n"]);
    assert_eq!(project.made(&[]), [""; 0]);
    project.edit("  b:", "  c:");
    project.edit("b.txt: b", "b.txt: c");
    assert_eq!(project.made(&[]), ["c"]);
}
