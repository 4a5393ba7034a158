//! Trainings that a cluster preempts, and that end with the bytes of undisturbed ones.

use std::fs::File;
use std::process::{Child, Command};

use super::results;
use super::support::{Outcome, Project, wait_while_running};
use crate::fake::Cluster;

/// A training of 60 steps that saves its state after each.
pub(crate) const PIPELINE: &str = "athanor: 1
name: p
stages:
  cells:
    kind: synthetic_cells
    seed: 7
    params: { train: 160, test: 4, external: 4, size: 32 }
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

/// Steps after which trainings are disturbed, far enough from each other and from the end for slow ears.
pub(crate) const DISTURBED_AT: [u64; 2] = [3, 20];

/// Waits until the training has told of this number of steps.
pub(crate) fn hear_of(project: &Project, steps: u64, run: &mut Child) {
    let told = || told(project, "progress").iter().filter_map(|event| event["done"].as_u64()).max().unwrap_or(0);
    wait_while_running(run, &format!("it has told {steps} steps"), || told() >= steps);
}

/// The job in which the training runs.
pub(crate) fn job(project: &Project) -> String {
    told(project, "placed").last().and_then(|event| event["job"].as_str().map(str::to_owned)).unwrap()
}

/// Events of a type that the run told of the training.
fn told(project: &Project, name: &str) -> Vec<serde_json::Value> {
    let events = project.read("events.jsonl");
    // The last line may still be written.
    let events = events.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    events.filter(|event| event["event"] == name && event["instance"] == "model").collect()
}

/// Waits for a training that went on from its state, and checks that it ends as one does on this machine that nobody disturbs.
pub(crate) fn ends_the_same(project: &Project, run: Child) {
    let outcome = Outcome::of_child(run);
    assert_eq!(outcome.code, 0, "{outcome:?}: {}", project.read("events.jsonl"));
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
    for steps in DISTURBED_AT {
        hear_of(&cluster.project, steps, &mut run);
        let job = cluster.running_jobs().pop().unwrap();
        cluster.preempt(&job, &mut run);
    }
    ends_the_same(&cluster.project, run);
}
