//! `EIO`, `ENOSPC`, a full disk, a failing read and `kill -9` at the Nth operation on files of the whole program: runs and
//! their workers, history, results, collections, verification. After each, a run without faults gives the right results, the
//! next one has nothing to do, and neither damage nor leftovers are found.
//!
//! Goes through every 23rd operation; `ATHANOR_FAULTS=all` goes through all of them, `ATHANOR_FAULTS=5` through every 5th.
//! `ATHANOR_FAULTS_FROM=117` begins with that operation, to replay one. Needs `cc`, as a library is put in the program's way.

mod aftermath;
mod injector;
mod scenario;
#[path = "../support/mod.rs"]
mod support;

use injector::{Fault, Injector};
use scenario::Scenario;

/// Every so many-th operation is refused, unless `ATHANOR_FAULTS` says otherwise.
const SAMPLED: usize = 23;
/// Failures that are shown in full.
const SHOWN: usize = 6;

fn step() -> usize {
    match std::env::var("ATHANOR_FAULTS").as_deref() {
        Err(_) => SAMPLED,
        Ok("all") => 1,
        Ok(step) => step.parse().expect("ATHANOR_FAULTS must be `all` or a number"),
    }
}

fn first(fault: &Fault) -> usize {
    let from = std::env::var("ATHANOR_FAULTS_FROM").ok();
    let from = from.map(|text| text.parse().expect("ATHANOR_FAULTS_FROM must be a number"));
    // Each fault samples operations of its own.
    from.unwrap_or(1 + fault.offset % step())
}

/// Injects a fault at one operation after the other until the command has no more of them.
fn at_every_operation(scenario: Scenario, fault: Fault) {
    let Some(injector) = Injector::new() else { return };
    let expected = scenario.expected();
    let (mut refused, mut failures) = (0, Vec::new());
    for at in (first(&fault)..).step_by(step()) {
        let project = scenario.prepare();
        let injected = injector.run(&project, scenario.arguments(), &fault, at);
        let Some(operation) = &injected.operation else { break };
        refused += 1;
        if let Err(problem) = aftermath::check(&project, scenario, &fault, &injected, &expected) {
            failures.push(format!("{} of operation {at} ({operation}): {problem}", fault.name));
        }
    }
    println!("{scenario:?}, {}: {refused} operations", fault.name);
    assert!(refused > 0, "{scenario:?}: nothing was refused");
    let shown = failures.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n\n");
    assert!(failures.is_empty(), "{scenario:?}: {} of {refused} went wrong\n\n{shown}", failures.len());
}

macro_rules! faults {
    ($scenario:ident: $($name:ident $fault:ident),*) => {
        $(#[test]
        fn $name() {
            at_every_operation(Scenario::$scenario, injector::$fault);
        })*
    };
}

faults! { FirstRun:
first_run_eio EIO, first_run_enospc ENOSPC, first_run_full_disk FULL_DISK, first_run_read READ, first_run_kill KILL }
faults! { EditedRun:
edited_run_eio EIO, edited_run_enospc ENOSPC, edited_run_full_disk FULL_DISK, edited_run_read READ, edited_run_kill KILL }
faults! { GcOptions:
collection_eio EIO, collection_enospc ENOSPC, collection_full_disk FULL_DISK, collection_read READ, collection_kill KILL }
faults! { Verification:
verification_eio EIO, verification_enospc ENOSPC, verification_full_disk FULL_DISK, verification_read READ,
verification_kill KILL }
