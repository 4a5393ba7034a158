//! Training, prediction and embedding through the program: killed and gone on with, and given what they cannot use.

mod support;

use std::io::{BufRead, BufReader};

use athanor_stages::images::encode;
use athanor_stages::images::pixels::Pixels;
use support::Project;

const PIPELINE: &str = r#"
athanor: 1
name: p
vars: { seed: 0 }
stages:
  packed: { kind: pack_images, inputs: { images: data } }
  model:
    kind: train_classifier
    inputs: { images: packed.packed, train: labels.csv, validation: labels.csv }
    params: { arch: resnet18, classes: 2, crop: 16, batch: 8, epochs: 2, save_every: 0 }
  metric:
    kind: train_metric
    inputs: { images: packed.packed, train: labels.csv, validation: labels.csv }
    params: { arch: resnet18, identity: Target, size: 16, batch: 8, epochs: 2, save_every: 0 }
  predicted:
    kind: predict
    inputs: { checkpoint: model.checkpoint, images: packed.packed }
    params: { batch: 1, seed: "${{ vars.seed }}" }
  features:
    kind: embed
    inputs: { checkpoint: metric.checkpoint, images: packed.packed }
    params: { batch: 1 }
  noisy:
    kind: embed
    inputs: { checkpoint: metric.checkpoint, images: packed.packed }
    params: { batch: 1, dropout: true }
    seed: "${{ vars.seed }}"
results:
  model: model.last
  metric: metric.last
  predicted: predicted
  features: features
  noisy: noisy
"#;

const IMAGES: usize = 24;

fn project() -> Project {
    let project = Project::new(PIPELINE);
    std::fs::create_dir(project.path("data")).unwrap();
    for image in 0..IMAGES {
        for (channel, level) in [("red", 100 * (image % 2)), ("green", image)] {
            let samples = (0..20 * 20).map(|at| (level + at * (image + 3) % 91) as u8).collect();
            let file = encode::png(&Pixels::grey8(20, 20, samples)).unwrap();
            std::fs::write(project.path(&format!("data/image{image}_{channel}.png")), file).unwrap();
        }
    }
    let rows: String = (0..IMAGES).map(|image| format!("image{image},{}\n", image % 2)).collect();
    project.write("labels.csv", &format!("Id,Target\n{rows}"));
    project
}

fn ok(project: &Project, arguments: &[&str]) {
    let outcome = project.run(arguments);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

/// All bytes of a result, file by file.
fn result(project: &Project, name: &str) -> Vec<u8> {
    let path = project.path(&format!("results/p/{name}"));
    if path.is_file() {
        return std::fs::read(path).unwrap();
    }
    let mut files: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| std::fs::read(file).unwrap()).collect()
}

/// Runs until `stage` has reported progress `times` times, then kills the run.
fn killed(project: &Project, stage: &str, times: usize) {
    let mut run = project.start(&["--json", stage]);
    let reader = BufReader::new(run.stdout.take().unwrap());
    let progress = format!(r#""event":"progress","instance":"{stage}""#);
    let seen = reader.lines().map(Result::unwrap).filter(|line| line.contains(&progress)).take(times).count();
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(seen, times, "{stage} was over too soon");
}

/// Whether the last attempt of a stage went on with work of an earlier one.
fn went_on(project: &Project, stage: &str) -> bool {
    project.athanor(&["logs", "p.yaml", stage]).out.lines().any(|line| line.starts_with("continues "))
}

#[test]
fn killed_stages_go_on_and_end_with_the_same_bytes() {
    let project = project();
    for (stage, times) in [("model", 3), ("metric", 3), ("predicted", 2), ("features", 2), ("noisy", 2)] {
        killed(&project, stage, times);
        ok(&project, &[stage]);
        assert!(went_on(&project, stage), "{stage} began anew");
        let resumed = result(&project, stage);
        ok(&project, &[stage, "--force", stage]);
        assert!(!went_on(&project, stage), "{stage} was to be made from scratch");
        assert!(result(&project, stage) == resumed, "{stage} is not what it is when made in one go");
    }
    let folders = std::fs::read_dir(project.path(".athanor/unfinished")).unwrap();
    let left = folders.flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap()).count();
    assert_eq!(left, 0, "nothing is left over");
}

#[test]
fn dropout_that_is_left_on_follows_the_seed() {
    let project = project();
    ok(&project, &["features", "noisy"]);
    let (features, noisy) = (result(&project, "features"), result(&project, "noisy"));
    assert!(features != noisy, "dropout changes features");
    ok(&project, &["noisy", "--set", "seed=1"]);
    assert!(result(&project, "noisy") != noisy, "another seed drops other values");
    ok(&project, &["metric", "noisy", "--set", "seed=0"]);
    assert!(result(&project, "noisy") == noisy, "the same seed drops the same values");
    project.edit("save_every: 0 }\n  predicted", "save_every: 0, dropout: [0.0, 0.0] }\n  predicted");
    ok(&project, &["features", "noisy"]);
    assert!(result(&project, "features") == result(&project, "noisy"), "the shares are those of the training");
}

#[test]
fn other_work_goes_on_from_nothing() {
    let project = project();
    killed(&project, "predicted", 2);
    ok(&project, &["predicted", "--set", "seed=1"]);
    assert!(!went_on(&project, "predicted"), "answers with another seed are others");
    killed(&project, "metric", 3);
    project.edit("save_every: 0 }\n  predicted", "save_every: 0, dropout: [0.2, 0.2] }\n  predicted");
    ok(&project, &["metric"]);
    assert!(!went_on(&project, "metric"), "a training with other parameters is another");
}

#[test]
fn bad_input_fails_the_stage_before_it_learns() {
    let project = project();
    let good = project.read("p.yaml");
    let told = |stage: &str, change: (&str, &str)| {
        project.edit(change.0, change.1);
        let outcome = project.run(&[stage]);
        project.write("p.yaml", &good);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(!outcome.out.contains(" steps"), "{}", outcome.out);
        outcome.out
    };
    let assert_told = |told: String, piece: &str| assert!(told.contains(piece), "{piece} is not in {told}");
    assert_told(told("model", ("classes: 2", "classes: 1")), "labels.csv, row 3: there is no class 1");
    assert_told(told("model", ("crop: 16", "crop: 21")), "has 20 x 20 pixels, but the crop is 21 x 21");
    project.write("empty.csv", "Id,Target\n");
    assert_told(told("model", ("validation: labels.csv", "validation: empty.csv")), "empty.csv: the table has no rows");
    project.write("cut.pth", "PK\u{3}\u{4}");
    let pretrained = ("train: labels.csv", "pretrained: cut.pth, train: labels.csv");
    assert_told(told("model", pretrained), "cut.pth: is a zip archive without a sound list of its content");
}
