//! Files that belong together and are one output: how they are stored, found, listed, published, and missed.

mod support;

use std::path::Path;

use support::{Outcome, Project};

/// Aligns each sample, which makes two files, and reads them singly (`one`) and gathered (`all`).
const PIPELINE: &str = "athanor: 1
name: p
vars: { samples: [A, B] }
stages:
  aligned:
    kind: command
    matrix: { sample: \"${{ vars.samples }}\" }
    inputs: { reads: \"data/${{ matrix.sample }}.txt\" }
    run: |
      tr a-z A-Z < ${{ inputs.reads }} > ${{ outputs.bam }}
      wc -c < ${{ outputs.bam }} | tr -d ' ' > ${{ outputs.bam }}.bai
    outputs: { bam: { files: [\"${{ matrix.sample }}.bam\", \"${{ matrix.sample }}.bam.bai\"] } }
  one:
    kind: command
    inputs: { bam: \"aligned[sample=A]\" }
    run: |
      (echo ${{ inputs.bam }}; ls inputs/bam; cat ${{ inputs.bam }} ${{ inputs.bam }}.bai) > ${{ outputs.o }}
    outputs: { o: o.txt }
  all:
    kind: command
    inputs: { bams: aligned }
    run: |
      (for bam in ${{ inputs.bams }}; do cat $bam.bai; done; cat inputs/bams.csv; find -L inputs/bams -type f | LC_ALL=C sort) > ${{ outputs.o }}
    outputs: { o: o.txt }
results: { bams: aligned, a: \"aligned[sample=A]\", one.txt: one, all.txt: all }
";

fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("data/A.txt", "acgt\n");
    project.write("data/B.txt", "ac\n");
    project
}

/// A pipeline of one stage with this output, script and further keys.
fn one(output: &str, line: &str, more: &str) -> Project {
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: |\n      {line}\n    outputs: {{ x: {output} }}\n{more}"
    ))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_of_one_output_lie_side_by_side_for_who_reads_them() {
    let project = project();
    let outcome = Outcome::of(project.sandboxed(&["run", "p.yaml"]));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(!outcome.out.contains("also wrote"), "{}", outcome.out);
    assert_eq!(project.read("results/p/one.txt"), "inputs/bam/A.bam\nA.bam\nA.bam.bai\nACGT\n5\n");
    assert_eq!(
        project.read("results/p/all.txt"),
        "5\n3\n\
         path,sample\ninputs/bams/sample=A/A.bam,A\ninputs/bams/sample=B/B.bam,B\n\
         inputs/bams/sample=A/A.bam\ninputs/bams/sample=A/A.bam.bai\n\
         inputs/bams/sample=B/B.bam\ninputs/bams/sample=B/B.bam.bai\n"
    );
    // As results they are folders.
    assert_eq!(names(&project.path("results/p/a")), ["A.bam", "A.bam.bai"]);
    assert_eq!(names(&project.path("results/p/bams")), ["sample=A", "sample=B"]);
    assert_eq!(project.read("results/p/bams/sample=B/B.bam.bai"), "3\n");
    assert_eq!(project.made(&[]), [""; 0]);
    assert_eq!(project.athanor(&["cache", "verify"]).code, 0);
}

#[test]
fn names_and_contents_of_all_files_count() {
    let project = project();
    assert_eq!(project.made(&[]).len(), 4);
    // The second file alone: its consumers run again.
    project.edit("tr -d ' ' >", "tr -d ' ' | sed 's/$/ bytes/' >");
    let explained = project.athanor(&["explain", "p.yaml", "aligned[sample=A]"]).out;
    assert!(explained.contains("parameter `run` changed"), "{explained}");
    assert_eq!(project.made(&["aligned"]).len(), 2);
    let explained = project.athanor(&["explain", "p.yaml", "one"]).out;
    let change = "input `bam` changed: aligned[sample=A].bam\n      modified A.bam.bai\n";
    assert!(explained.contains(change), "{explained}");
    let mut made = project.made(&[]);
    made.sort();
    assert_eq!(made, ["all", "one"]);
    assert!(project.read("results/p/one.txt").ends_with("5 bytes\n"));
    // Of one sample only: early cut-off holds for the other.
    project.write("data/B.txt", "acg\n");
    assert_eq!(project.made(&[]), ["aligned[sample=B]", "all"]);
    project.edit(".bam.bai\"]", ".bam.bai\", \"${{ matrix.sample }}.bam\"]");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("`bam` has the file `A.bam` twice"), "{}", outcome.err);
}

#[test]
fn the_name_of_a_further_file_is_part_of_the_fingerprint() {
    let output = "{ files: [x, x.i] }";
    let project = one(
        output,
        "touch x x.i x.j",
        "  b: { kind: command, inputs: { x: a }, run: ls inputs/x/ > o, outputs: { o: o } }\nresults: { b: b }\n",
    );
    assert_eq!(project.made(&[]), ["a", "b"]);
    project.edit("[x, x.i]", "[x, x.j]");
    let explained = project.athanor(&["explain", "p.yaml", "a"]).out;
    assert!(explained.contains("parameter `outputs.x` changed from [\"x\",\"x.i\"] to [\"x\",\"x.j\"]"), "{explained}");
    assert_eq!(project.made(&[]), ["a", "b"]);
    assert_eq!(project.read("results/p/b"), "x\nx.j\n");
    // Which is the first decides what a stage that reads them calls by the port's name.
    project.edit("[x, x.j]", "[x.j, x]");
    assert_eq!(project.made(&[]), ["a", "b"]);
    project.edit("[x.j, x]", "[x, x.i]");
    assert_eq!(project.made(&[]), [""; 0]);
}

#[test]
fn a_file_that_is_missing_is_named() {
    let project = one("{ files: [x.bam, x.bam.bai] }", "touch ${{ outputs.x }}", "");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("did not write its output `x` (`x.bam.bai`)"), "{}", outcome.out);
    project.edit("touch ${{ outputs.x }}", "touch x.bam.bai");
    let outcome = project.run(&[]);
    assert!(outcome.out.contains("did not write its output `x` (`x.bam`)"), "{}", outcome.out);
}

#[test]
fn links_folders_and_programs_are_stored_as_what_they_are() {
    let line = "mkdir d; echo in > d/f; ln -s inputs/s/source.txt l; echo 'echo ran' > p; chmod +x p";
    let project = one(
        "{ files: [p, l, d] }",
        line,
        "    inputs: { s: source.txt }\n  b: { kind: command, inputs: { x: a }, run: '(./inputs/x/p; cat inputs/x/l inputs/x/d/f; ls -l inputs/x/l | cut -c1) > o', outputs: { o: o } }\nresults: { b: b }\n",
    );
    project.write("source.txt", "linked\n");
    assert_eq!(project.made(&[]), ["a", "b"]);
    assert_eq!(project.read("results/p/b"), "ran\nlinked\nin\n-\n");
}

#[test]
fn a_writable_copy_has_all_files() {
    let project = one(
        "{ files: [x, x.i] }",
        "echo 1 > x; echo 2 > x.i",
        "  b: { kind: command, inputs: { x: { from: a, writable: true } }, run: 'echo more >> inputs/x/x.i; cat inputs/x/* > o', outputs: { o: o } }\nresults: { b: b, a: a }\n",
    );
    assert_eq!(project.made(&[]), ["a", "b"]);
    assert_eq!(project.read("results/p/b"), "1\n2\nmore\n");
    assert_eq!(project.read("results/p/a/x.i"), "2\n");
}

#[test]
fn lists_without_axes_number_the_folders() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  \
         a: { kind: command, run: echo a > x; touch x.i, outputs: { x: { files: [x, x.i] } } }\n  \
         b: { kind: command, run: echo b > x; touch x.i, outputs: { x: { files: [x, x.i] } } }\n  \
         c: { kind: command, inputs: { x: [a, b] }, run: '(cat ${{ inputs.x }}; ls inputs/x/1; cat $ATHANOR_CONTEXT) > o', outputs: { o: o } }\n\
         results: { c: c }\n",
    );
    assert_eq!(project.made(&[]).len(), 3);
    let read = project.read("results/p/c");
    assert!(read.starts_with("a\nb\nx\nx.i\n{"), "{read}");
    assert!(read.contains("\"x\":[\"inputs/x/0/x\",\"inputs/x/1/x\"]"), "{read}");
}

#[test]
fn one_file_is_a_file_and_a_list_of_one_is_a_folder() {
    let project = one("x", "echo 1 > x", "results: { a: a }\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert!(project.path("results/p/a").is_file());
    let project = one("{ files: [x] }", "echo 1 > x", "results: { a: a }\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(names(&project.path("results/p/a")), ["x"]);
}

#[test]
fn an_expression_may_give_the_names() {
    let project =
        one("{ files: \"${{ vars.names }}\" }", "touch x x.i", "results: { a: a }\nvars: { names: [x, x.i] }\n");
    assert_eq!(project.made(&[]), ["a"]);
    assert_eq!(names(&project.path("results/p/a")), ["x", "x.i"]);
    let outcome = project.run(&["--set", "names=[]"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("`files` is empty"), "{}", outcome.err);
}
