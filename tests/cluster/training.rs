//! Trainings that a cluster preempts, and that end with the bytes of undisturbed ones.

use std::fs::File;
use std::process::{Child, Command};

use super::results;
use super::support::{Outcome, Project};
use crate::fake::Cluster;

/// A training that saves its state after each step.
pub(crate) const PIPELINE: &str = "athanor: 1
name: p
stages:
  cells:
    kind: synthetic_cells
    seed: 7
    params: { train: 32, test: 4, external: 4, size: 32 }
  packed: { kind: pack_images, inputs: { images: cells.train_images } }
  model:
    kind: train_classifier
    inputs: { images: packed, train: cells.train, validation: cells.train }
    params: { arch: resnet18, classes: 28, crop: 16, batch: 8, epochs: 3, save_every: 0 }
    resources: { time: 6h }
results: { model: model.last }
";

/// Starts a run whose events go to a file of the project.
pub(crate) fn start(project: &Project, mut command: Command) -> Child {
    let events = File::create(project.path("events.jsonl")).unwrap();
    command.stdout(events).spawn().unwrap()
}

/// Waits until the training has told its progress `times` times since the run began.
pub(crate) fn hear_of(project: &Project, times: usize, run: &mut Child) {
    let told = || project.read("events.jsonl").matches("\"event\":\"progress\",\"instance\":\"model\"").count();
    while told() < times {
        assert!(run.try_wait().unwrap().is_none(), "the run ended too soon: {}", project.read("events.jsonl"));
        std::thread::yield_now();
    }
}

/// Waits for a training that went on from its state, and checks that it ends as one does on this machine that nobody disturbs.
pub(crate) fn ends_the_same(project: &Project, mut run: Child) {
    let status = run.wait().unwrap();
    assert!(status.success(), "{}", project.read("events.jsonl"));
    let log = project.athanor(&["logs", "p.yaml", "model"]).out;
    assert!(log.lines().any(|line| line.starts_with("continues ")), "it began anew: {log}");
    let local = Project::new(PIPELINE);
    let outcome: Outcome = local.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(results(project), results(&local));
}

#[test]
fn a_training_that_is_preempted_twice_ends_with_the_bytes_of_an_undisturbed_one() {
    let cluster = Cluster::new(PIPELINE);
    let mut run = start(&cluster.project, cluster.command(&["run", "p.yaml", "--json"]));
    for times in [2, 5] {
        hear_of(&cluster.project, times, &mut run);
        let job = cluster.running_jobs().pop().unwrap();
        cluster.preempt(&job, &mut run);
    }
    ends_the_same(&cluster.project, run);
}
