//! A stage that asks for another attempt gets one, whatever the user says of retries, but not without end.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

use athanor::events::{EventSink, Outcome, RunEvent, Stamped};
use athanor::language::SourceText;
use athanor::plan::{Overrides, compile};
use athanor::run::executor::resources::Capacity;
use athanor::run::state::plan_snapshot::{KeyedPlan, PlanKey};
use athanor::run::{Project, RunRequest, Session};
use athanor_cache::{Cache, Digest};

const PIPELINE: &str = "athanor: 1
name: p
stages:
  cells: { kind: synthetic_cells, params: { train: 1, test: 1, size: 32 } }
";

/// Keeps the failures: which attempt it was, and whether another follows.
#[derive(Clone, Default)]
struct Failures(Arc<Mutex<Vec<(u32, bool)>>>);

impl EventSink for Failures {
    fn event(&mut self, stamped: &Stamped) {
        if let RunEvent::Failed { attempt, retrying, .. } = &stamped.event {
            self.0.lock().unwrap().push((*attempt, *retrying));
        }
    }
}

/// The failures of a run whose worker, a shell script, answers `answer`; it sees in `$try` which attempt it is.
fn failures(answer: &str) -> Vec<(u32, bool)> {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("worker");
    let tries = folder.path().join("tries");
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = worker ] || exec cat > /dev/null\nread order\necho >> {tries}\ntry=$(wc -l < {tries})\n{answer}\nexit 1\n",
        tries = tries.display()
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();

    let source = SourceText { name: "p.yaml".to_owned(), text: PIPELINE.to_owned() };
    let plan = compile(&source, &Overrides::default()).unwrap_or_else(|_| panic!("the pipeline has mistakes"));
    let plan = KeyedPlan { plan, key: PlanKey(Digest::of(b"plan")) };
    let cache = Arc::new(Cache::open(&folder.path().join("cache")).unwrap());
    let project = Project::new(folder.path().to_owned(), cache);
    let session = Session::new(&project, &plan, Path::new("p.yaml"), &[], &[]).unwrap();
    let request = RunRequest {
        capacity: Capacity { cpus: 1, memory: 1 << 30, gpus: Vec::new(), cpu_fallback: false },
        keep_scratch: false,
        keep_going: false,
        stop_after: None,
        force: HashSet::new(),
        fresh_state: HashSet::new(),
        program,
        cluster: None,
        file: "p.yaml".to_owned(),
        within: String::new(),
    };
    let seen = Failures::default();
    let report = session.run(request, Box::new(seen.clone()), |_| ()).unwrap();
    assert_eq!(report.outcome, Outcome::Failed);
    std::mem::take(&mut seen.0.lock().unwrap())
}

#[test]
fn a_stage_is_tried_again_when_it_asks() {
    let answer = r#"
        again=true; [ $try -lt 3 ] || again=false
        echo '{"event":"failed","message":"no room","again":'$again'}'"#;
    assert_eq!(failures(answer), [(1, true), (2, true), (3, false)]);
    assert_eq!(failures(r#"echo '{"event":"failed","message":"no room"}'"#), [(1, false)], "only then");
}

#[test]
fn a_stage_that_asks_without_end_fails() {
    let failures = failures(r#"echo '{"event":"failed","message":"no room","again":true}'"#);
    assert_eq!(failures.len(), 21);
    assert_eq!(failures.last(), Some(&(21, false)));
}
