//! A plain Python trainer that is killed ten times ends with the bytes of one that nobody disturbed.

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command};

use athanor::run::attempts::annex::Annex;
use athanor_cache::Cache;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Project, wait_for};

const PIPELINE: &str = "athanor: 1
name: p
stages:
  model:
    kind: command
    inputs: { table: table.csv }
    run: python3 tools/train.py ${{ inputs.table }} ${{ outputs.weights }}
    outputs: { weights: weights.json }
    state: true
results: { weights.json: model }
";

/// Trains a logistic regression by gradient descent in random order, with the standard library alone. It stops in the middle of
/// an epoch for which there is a file `hold-EPOCH` in the project, and says there who it is.
const TRAINER: &str = r#"import json, math, os, random, sys, time

EPOCHS = 36
project, events = os.environ["ATHANOR_PROJECT"], open(os.environ["ATHANOR_EVENTS"], "a")
checkpoint = os.path.join(os.environ["ATHANOR_STATE"], "checkpoint.json")
rows = [[float(cell) for cell in line.split(",")] for line in open(sys.argv[1])]

if os.path.exists(checkpoint):
    with open(checkpoint) as file:
        epoch, weights, (version, internal, gauss) = json.load(file)
    random.setstate((version, tuple(internal), gauss))
else:
    random.seed(int(os.environ["ATHANOR_SEED"]))
    epoch, weights = 0, [random.gauss(0, 1) for _ in rows[0]]


def hold(epoch):
    gate = os.path.join(project, "hold-%d" % epoch)
    if os.path.exists(gate):
        with open(os.path.join(project, "pid.new"), "w") as file:
            file.write(str(os.getpid()))
        os.replace(os.path.join(project, "pid.new"), os.path.join(project, "at-%d" % epoch))
    while os.path.exists(gate):
        time.sleep(0.005)


while epoch < EPOCHS:
    order = random.sample(range(len(rows)), len(rows))
    loss = 0.0
    for number, at in enumerate(order):
        *features, label = rows[at]
        features.append(1.0)
        chance = 1 / (1 + math.exp(-sum(w * x for w, x in zip(weights, features))))
        loss -= math.log(chance if label else 1 - chance)
        weights = [w + 0.05 * (label - chance) * x for w, x in zip(weights, features)]
        if number == len(order) // 2:
            hold(epoch)
    epoch += 1
    event = {"event": "metric", "name": "loss", "value": loss / len(rows), "step": epoch}
    print(json.dumps(event), file=events, flush=True)
    with open(checkpoint + ".new", "w") as file:
        json.dump([epoch, weights, random.getstate()], file)
    os.replace(checkpoint + ".new", checkpoint)

with open(sys.argv[2], "w") as file:
    json.dump(weights, file)
"#;

fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("tools/train.py", TRAINER);
    let row = |number: u32| {
        let (x, y) = (number * 37 % 101, number * 53 % 97);
        format!("{},{},{}\n", f64::from(x) / 100.0, f64::from(y) / 100.0, u32::from(x > y))
    };
    project.write("table.csv", &(0..40).map(row).collect::<String>());
    project
}

/// The curve of its loss.
fn curve(project: &Project) -> Vec<(u64, f64)> {
    let cache = Cache::open(&project.path(".athanor")).unwrap();
    let annex = cache.records().unwrap().remove(0).annex.unwrap();
    let annex: Annex = serde_json::from_slice(&cache.read_annex(&annex).unwrap()).unwrap();
    annex.curves["loss"].clone()
}

/// Waits until a run says that this many epochs are over: what it has not heard of when it is killed is in no curve.
fn hear_of(epochs: u32, run: &mut Child) {
    let mut said = BufReader::new(run.stdout.as_mut().unwrap());
    let (mut line, end) = (String::new(), format!("\"step\":{epochs}}}\n"));
    while !line.ends_with(&end) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "the run ended before epoch {epochs}");
    }
}

#[test]
fn a_trainer_that_is_killed_ten_times_ends_with_the_same_bytes() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return support::skips("there is no python3");
    }
    let undisturbed = project();
    assert_eq!(undisturbed.made(&[]), ["model"]);

    let killed = project();
    let epochs: Vec<u32> = (0..10).map(|number| number * 3 + 2).collect();
    epochs.iter().for_each(|epoch| killed.write(&format!("hold-{epoch}"), ""));
    for (number, epoch) in epochs.iter().enumerate() {
        let mut run = killed.start(&["--json"]);
        hear_of(*epoch, &mut run);
        wait_for(&killed.path(&format!("at-{epoch}")), &mut run);
        let trainer = Pid::from_raw(killed.read(&format!("at-{epoch}")).parse().unwrap());
        // Either the run, whose reaper kills the trainer, or the trainer alone.
        let victim = if number % 2 == 0 { Pid::from_raw(run.id().cast_signed()) } else { trainer };
        kill(victim, Signal::SIGKILL).unwrap();
        assert!(!run.wait().unwrap().success());
        std::fs::remove_file(killed.path(&format!("hold-{epoch}"))).unwrap();
    }
    assert_eq!(killed.made(&[]), ["model"]);

    let weights = killed.read("results/p/weights.json");
    assert!(weights.len() > 20, "{weights}");
    assert_eq!(weights, undisturbed.read("results/p/weights.json"));
    let curves = [&killed, &undisturbed].map(curve);
    assert_eq!(curves[0].len(), 36);
    assert_eq!(curves[0], curves[1]);
}
