//! Runs whose time is limited: which stages they start, how they stop, and how the next run goes on.

mod support;

use support::Project;

/// A quick stage, and one that takes two seconds and that another one waits for.
const PIPELINE: &str = "athanor: 1
name: p
vars: { n: 1 }
stages:
  slow: { kind: command, run: 'sleep 2; echo ${{ vars.n }} > ${{ outputs.o }}', outputs: { o: o } }
  after: { kind: command, inputs: { i: slow }, run: 'cat ${{ inputs.i }} > ${{ outputs.o }}', outputs: { o: o } }
results: { o.txt: after }
";

/// A stage that waits until it is asked to stop, saves that, and is done when it begins again; and one before it.
const SAVING: &str = "athanor: 1
name: p
stages:
  first: { kind: command, run: 'echo first > ${{ outputs.o }}', outputs: { o: o } }
  model:
    kind: command
    state: true
    inputs: { i: first }
    run: |
      trap 'touch $ATHANOR_STATE/saved; exit 75' TERM
      until [ -e $ATHANOR_STATE/saved ]; do sleep 0.01; done
      cat ${{ inputs.i }} > ${{ outputs.o }}
    outputs: { o: o }
  after: { kind: command, inputs: { i: model }, run: 'cat ${{ inputs.i }} > ${{ outputs.o }}', outputs: { o: o } }
results: { first.txt: first, after.txt: after }
";

#[test]
fn nothing_is_started_that_would_not_end_in_time() {
    let project = Project::new(PIPELINE);
    assert_eq!(project.made(&[]), ["slow", "after"]);
    let outcome = project.run(&["--set", "n=2", "--stop-after", "1500ms"]);
    assert_eq!(outcome.code, 130, "{outcome:?}");
    assert!(outcome.out.contains("left         slow: it takes about "), "{}", outcome.out);
    assert!(!outcome.out.contains("started      "), "{}", outcome.out);
    let left =
        "note: the time of `--stop-after` is over (not started: slow, after); the same command goes on from here";
    assert!(outcome.out.contains(left), "{}", outcome.out);
    assert!(outcome.out.contains("interrupted: 2 not started in"), "{}", outcome.out);
    // What is cached takes no time, and a limit that is not reached changes nothing.
    assert_eq!(project.run(&["--stop-after", "1500ms"]).code, 0);
    assert_eq!(project.made(&["--set", "n=2", "--stop-after", "8h30m"]), ["slow", "after"]);
    assert_eq!(project.read("results/p/o.txt"), "2\n");
}

#[test]
fn without_time_nothing_is_started_and_a_wrong_time_is_refused() {
    let project = Project::new(PIPELINE);
    let outcome = project.run(&["--stop-after", "0s"]);
    assert_eq!(outcome.code, 130, "{outcome:?}");
    assert!(outcome.out.contains("left         slow: no time is left\n"), "{}", outcome.out);
    let outcome = project.run(&["--stop-after", "soon"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("`soon` is not a duration such as `90s`, `2h` or `1h30m`"), "{}", outcome.err);
}

#[test]
fn what_saves_its_state_is_asked_to_stop_and_what_is_there_is_put_in_place() {
    let project = Project::new(SAVING);
    let outcome = project.run(&["--stop-after", "8s"]);
    assert_eq!(outcome.code, 130, "{outcome:?}");
    let asked = "the time is over: running stages may finish cleanly (Ctrl-C kills them)\ninterrupted  model\n";
    assert!(outcome.out.contains(asked), "{}", outcome.out);
    assert!(outcome.out.contains("is over (1 instance stopped; not started: after);"), "{}", outcome.out);
    assert_eq!(project.read("results/p/first.txt"), "first\n");
    assert!(!project.path("results/p/after.txt").exists());
    assert_eq!(project.made(&[]), ["model", "after"]);
    assert_eq!(project.read("results/p/after.txt"), "first\n");
}

#[test]
fn what_does_not_stop_is_killed_before_the_time_is_over() {
    let project = Project::new(&SAVING.replace("trap 'touch $ATHANOR_STATE/saved; exit 75' TERM", "trap '' TERM"));
    let outcome = project.run(&["--stop-after", "8s"]);
    assert_eq!(outcome.code, 130, "{outcome:?}");
    assert!(outcome.out.contains("killing running stages\ninterrupted  model\n"), "{}", outcome.out);
    assert_eq!(project.read("results/p/first.txt"), "first\n");
}
