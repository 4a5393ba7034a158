//! Time that is left of work which an earlier attempt has begun.

use crate::support::{self, Project};

#[test]
fn what_was_done_before_says_nothing_of_the_time_that_is_left() {
    let project = Project::new(
        r#"
athanor: 1
name: p
stages:
  training:
    kind: command
    run: |
      progress() { echo '{"event":"progress","done":'$1',"total":1000,"unit":"steps"}' >> $ATHANOR_EVENTS; }
      progress 900
      while [ ! -e $ATHANOR_PROJECT/go ]; do sleep 0.1; progress 901; done
      echo > ${{ outputs.o }}
    outputs: { o: o }
"#,
    );
    let mut run = project.start(&[]);
    // By the pace of this attempt, a step in the time so far; by all 901 in that time the rest would take milliseconds.
    support::wait_while_running(&mut run, "it says that minutes are left", || {
        let shown = project.athanor(&["top", "p.yaml"]).out;
        let is_soon = shown.contains(" ms left") || shown.contains("about 0.");
        assert!(!(is_soon && shown.contains("901 of 1000")), "{shown}");
        shown.contains("901 of 1000 steps") && shown.contains(" min ") && shown.contains(" left")
    });
    project.write("go", "");
    assert!(run.wait().unwrap().success());
}
