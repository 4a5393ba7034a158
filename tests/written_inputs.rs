//! Stages that write to what they are only to read: files and folders, times put back, files added, processes that write late.

mod support;

use support::{Outcome, Project, events, is_root};

/// `a` makes a file and a folder, `evil` does something to them, `c` says what they hold, after `evil` or beside it.
fn pipeline(line: &str, after: bool) -> String {
    let after = if after { ", after: evil" } else { "" };
    format!(
        "athanor: 1
name: p
stages:
  a:
    kind: command
    run: |
      printf 'AAAA\\n' > f.txt; mkdir d; printf 'BBBB\\n' > d/x.txt; printf 'CCCC\\n' > d/y.txt
    outputs: {{ f: f.txt, d: d }}
  evil:
    kind: command
    inputs: {{ f: a.f, d: a.d }}
    run: |
      {line}
      echo ok > ${{{{ outputs.o }}}}
    outputs: {{ o: o.txt }}
  c:
    kind: command
    inputs: {{ f: a.f, d: a.d{after} }}
    run: (cat ${{{{ inputs.f }}}}; cd ${{{{ inputs.d }}}}; find . -type f | sort; cat x.txt y.txt) > ${{{{ outputs.o }}}}
    outputs: {{ o: c.txt }}
results: {{ c.txt: c, d: a.d, f.txt: a.f }}
"
    )
}

const RIGHT: &str = "AAAA\n./x.txt\n./y.txt\nBBBB\nCCCC\n";

fn assert_sound(project: &Project, what: &str) {
    let names = |folder: &str| -> Vec<String> {
        let entries = std::fs::read_dir(project.path(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(project.read("results/p/f.txt"), "AAAA\n", "{what}");
    assert_eq!(names("results/p/d"), ["x.txt", "y.txt"], "{what}");
    assert_eq!(project.read("results/p/d/x.txt"), "BBBB\n", "{what}");
    let verified = project.athanor(&["cache", "verify"]);
    assert_eq!(verified.code, 0, "{what}: {verified:?}");
}

/// Permissions do not hold the superuser back.
#[test]
fn stages_of_the_superuser_spoil_nothing_as_root() {
    if is_root() {
        changed_content_fails_and_spoils_nothing();
        changed_bits_are_put_back();
    }
}

#[test]
fn a_stage_that_changes_the_content_of_an_input_fails_and_spoils_nothing() {
    changed_content_fails_and_spoils_nothing();
}

#[test]
fn bits_that_are_changed_are_put_back() {
    changed_bits_are_put_back();
}

fn changed_content_fails_and_spoils_nothing() {
    let lines = [
        ("append", "chmod u+w $(readlink -f ${{ inputs.f }}); echo x >> ${{ inputs.f }}"),
        (
            "times put back",
            "touch -r ${{ inputs.f }} ref; chmod u+w $(readlink -f ${{ inputs.f }}); printf 'ZZZZ\\n' | dd of=${{ inputs.f }} conv=notrunc 2>/dev/null; touch -r ref ${{ inputs.f }}",
        ),
        (
            "times put back in a folder",
            "touch -r ${{ inputs.d }}/x.txt ref; chmod u+w ${{ inputs.d }}/x.txt; printf 'ZZZZ\\n' | dd of=${{ inputs.d }}/x.txt conv=notrunc 2>/dev/null; touch -r ref ${{ inputs.d }}/x.txt",
        ),
        ("sed -i", "chmod u+w ${{ inputs.d }}/; sed -i s/B/Z/g ${{ inputs.d }}/x.txt"),
        ("deleted", "chmod u+w ${{ inputs.d }}/; rm -f ${{ inputs.d }}/x.txt"),
        (
            "swapped",
            "chmod u+w ${{ inputs.d }}/; mv ${{ inputs.d }}/x.txt ${{ inputs.d }}/t; mv ${{ inputs.d }}/y.txt ${{ inputs.d }}/x.txt; mv ${{ inputs.d }}/t ${{ inputs.d }}/y.txt",
        ),
    ];
    for (what, line) in lines {
        let project = Project::new(&pipeline(line, true));
        for _ in 0..2 {
            let Outcome { code, out, .. } = project.run(&["-k"]);
            assert_eq!(code, 1, "{what}: {out}");
            assert!(out.contains("failed       evil"), "{what}: {out}");
            assert!(out.contains("It changed its own input `a."), "{what}: {out}");
            assert_sound(&project, what);
        }
        project.edit(&line.replace('\n', " "), "true");
        assert_eq!(project.run(&[]).code, 0, "{what}");
        assert_eq!(project.read("results/p/c.txt"), RIGHT, "{what}");
    }
}

#[test]
fn a_stage_that_writes_to_its_inputs_and_not_its_output_spoils_nothing() {
    let lines = [
        "chmod u+w ${{ inputs.d }}/; echo index > ${{ inputs.d }}/labels.cache; exit 0",
        "chmod u+w ${{ inputs.d }}/; sed -i s/B/Z/g ${{ inputs.d }}/x.txt; exit 0",
        "chmod u+w ${{ inputs.d }}/; rm -f ${{ inputs.d }}/x.txt; mkfifo ${{ outputs.o }}; exit 0",
    ];
    for line in lines {
        let project = Project::new(&pipeline(line, false));
        let Outcome { code, out, .. } = project.run(&["-k", "evil"]);
        assert_eq!(code, 1, "{line}: {out}");
        assert!(out.contains("failed       evil"), "{line}: {out}");
        let outcome = project.run(&["-k"]);
        assert!(!outcome.out.contains("failed       c"), "{line}: {}", outcome.out);
        assert!(
            !outcome.out.contains("c: warning") && !outcome.out.contains("warning: it added"),
            "{line}: {}",
            outcome.out
        );
        assert_eq!(project.read("results/p/c.txt"), RIGHT, "{line}");
        assert_sound(&project, line);
    }
}

#[test]
fn files_added_to_a_folder_are_removed_and_named() {
    let line = "chmod u+w ${{ inputs.d }}/; echo index > ${{ inputs.d }}/labels.cache; mkdir ${{ inputs.d }}/__pycache__; echo code > ${{ inputs.d }}/__pycache__/m.pyc";
    let project = Project::new(&pipeline(line, true));
    let Outcome { code, out, .. } = project.run(&[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("warning: it added `a.d/__pycache__`, `a.d/labels.cache` to its inputs"), "{out}");
    assert_eq!(project.read("results/p/c.txt"), RIGHT);
    assert_sound(&project, "added");
    assert!(project.run(&[]).out.contains("up to date"));
}

fn changed_bits_are_put_back() {
    for mode in ["+x", "000", "777"] {
        let line = format!("chmod {mode} $(readlink -f ${{{{ inputs.f }}}}) ${{{{ inputs.d }}}}/x.txt");
        let project = Project::new(&pipeline(&line, true));
        assert_eq!(project.run(&[]).code, 0, "{mode}");
        assert_eq!(project.read("results/p/c.txt"), RIGHT, "{mode}");
        assert_sound(&project, mode);
    }
}

#[test]
fn a_stage_that_reads_what_another_is_changing_runs_again_and_does_not_fail() {
    // Each waits for the other, so that both read at the same time.
    let spoil = |line: &str| {
        format!(
            "touch $ATHANOR_PROJECT/evil; until [ -e $ATHANOR_PROJECT/c ]; do sleep 0.01; done; {line}; touch $ATHANOR_PROJECT/spoilt"
        )
    };
    let lines = [
        (1, spoil("chmod u+w $(readlink -f ${{ inputs.f }}); echo x >> ${{ inputs.f }}")),
        (1, spoil("chmod u+w ${{ inputs.d }}/; rm -f ${{ inputs.d }}/x.txt")),
        (0, spoil("chmod u+w ${{ inputs.d }}/; echo index > ${{ inputs.d }}/labels.cache")),
        // Changed back when the other one has read it.
        (
            0,
            spoil("cp ${{ inputs.f }} f; chmod u+w $(readlink -f ${{ inputs.f }}); echo x >> ${{ inputs.f }}")
                + "; until [ -e $ATHANOR_PROJECT/read ]; do sleep 0.01; done; cat f > ${{ inputs.f }}",
        ),
        // As a lock: there for a while, and the folder's time put back.
        (
            0,
            spoil("touch -r ${{ inputs.d }}/ ref; chmod u+w ${{ inputs.d }}/; echo > ${{ inputs.d }}/lock")
                + "; until [ -e $ATHANOR_PROJECT/read ]; do sleep 0.01; done; rm ${{ inputs.d }}/lock; touch -r ref ${{ inputs.d }}/",
        ),
    ];
    for (code, line) in lines {
        let wait = "touch $ATHANOR_PROJECT/c; until [ -e $ATHANOR_PROJECT/spoilt ]; do sleep 0.01; done; (cat";
        let pipeline = pipeline(&line, false).replace("run: (cat", &format!("run: {wait}"));
        let pipeline = pipeline.replace(
            "cat x.txt y.txt) > ${{ outputs.o }}",
            "cat x.txt y.txt) > ${{ outputs.o }}; touch $ATHANOR_PROJECT/read",
        );
        let project = Project::new(&pipeline);
        let outcome = project.run(&["--json", "-k", "-j", "2"]);
        assert_eq!(outcome.code, code, "{line}: {}", outcome.out);
        assert!(events(&outcome.out, "deferred").contains(&"c".to_owned()), "{line}: {}", outcome.out);
        assert_eq!(events(&outcome.out, "failed").contains(&"evil".to_owned()), code == 1, "{line}");
        assert!(!events(&outcome.out, "failed").contains(&"c".to_owned()), "{line}: {}", outcome.out);
        assert_eq!(project.read("results/p/c.txt"), RIGHT, "{line}");
        assert_sound(&project, &line);
    }
}

#[test]
fn a_stage_may_ask_for_a_copy_to_write_to() {
    let line =
        "echo x >> ${{ inputs.f }}; rm ${{ inputs.d }}/x.txt; echo new > ${{ inputs.d }}/new; cp ${{ inputs.f }} kept";
    let project = Project::new(&pipeline(line, true));
    project.edit(
        "inputs: { f: a.f, d: a.d }\n    run: |\n      echo",
        "inputs: { f: { from: a.f, writable: true }, d: { from: a.d, writable: true } }\n    run: |\n      echo",
    );
    let Outcome { code, out, .. } = project.run(&[]);
    assert_eq!(code, 0, "{out}");
    assert!(!out.contains("warning"), "{out}");
    assert_eq!(project.read("results/p/c.txt"), RIGHT);
    assert_sound(&project, "writable");
    project.edit("{ from: a.f, writable: true }", "a.f");
    assert!(project.run(&["-n"]).out.contains("0 instances would run"), "a copy has the same content");
}

#[test]
fn mistakes_in_an_input_that_is_a_mapping_are_named() {
    let project = Project::new(&pipeline("true", true));
    project.edit("inputs: { f: a.f, d: a.d }", "inputs: { f: { form: a.f }, d: { from: a.d, writable: 3 } }");
    let Outcome { code, err, .. } = project.athanor(&["check", "p.yaml"]);
    assert_eq!(code, 2);
    for part in ["an input has no key `form`", "did you mean `from`?", "`writable` is true or false"] {
        assert!(err.contains(part), "{part}: {err}");
    }
}

#[test]
fn a_spoilt_output_fails_nobody_else() {
    // `evil` spoils what `a` has stored before that is recorded; `other` has nothing to do with it.
    let line = "chmod u+w $(readlink -f ${{ inputs.f }}); echo x >> ${{ inputs.f }}";
    let project = Project::new(&pipeline(line, true));
    project.edit("results: {", "results: { other: other,");
    project.edit(
        "  evil:\n",
        "  other: { kind: command, run: \"echo fine > ${{ outputs.o }}\", outputs: { o: o.txt } }\n  evil:\n",
    );
    let Outcome { code, out, .. } = project.run(&["-k"]);
    assert_eq!(code, 1, "{out}");
    assert!(!out.contains("cannot be recorded") && !out.contains("failed       a"), "{out}");
    assert_eq!(project.read("results/p/other"), "fine\n");
    assert_sound(&project, "spoilt");
}

#[test]
fn a_stage_that_changes_an_input_and_makes_the_same_again_fails() {
    // What it makes takes the place of what it has changed, and hides it.
    let line = "chmod u+w $(readlink -f ${{ inputs.f }}); echo x >> ${{ inputs.f }}; echo AAAA > ${{ outputs.g }}";
    let project = Project::new(&pipeline(line, true));
    project.edit("outputs: { o: o.txt }", "outputs: { o: o.txt, g: g }");
    project.edit("after: evil }", "after: evil.o }");
    let Outcome { code, out, err } = project.run(&["-k"]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("failed       evil") && out.contains("It changed its own input `a.f`"), "{out}");
    assert_sound(&project, "the same again");
}
