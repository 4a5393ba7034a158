//! Metric learning and the features it makes.

use athanor_stages::artifact::matrix::MatrixInput;
use athanor_stages::ports::InputFile;
use serde_json::json;

use crate::fixture::{Fixture, RecordingReporter, Run, alone, class, copy_folder, steps};

/// The inputs of training, with classes as identities.
fn inputs(fixture: &Fixture, images: usize) -> Vec<(&'static str, InputFile)> {
    let table = |name: &str, rows: &mut dyn Iterator<Item = usize>| {
        let rows: String = rows.map(|image| format!("image{image},{}\n", class(image))).collect();
        fixture.file(name, format!("Id,identity\n{rows}"))
    };
    vec![
        ("images", fixture.input("images")),
        ("train", table("train.csv", &mut (0..images).filter(|image| image % 8 < 6))),
        ("validation", table("validation.csv", &mut (0..images).filter(|image| image % 8 >= 6))),
    ]
}

#[test]
fn features_of_one_identity_lie_close() {
    let _alone = alone();
    let images = 48;
    let fixture = Fixture::new(images);
    let heard = RecordingReporter::patient();
    let params = json!({
        "arch": "resnet18", "identity": "identity", "size": 16, "batch": 6, "epochs": 8, "schedule": 3e-4,
    });
    fixture
        .run("train_metric", &params, &inputs(&fixture, images), "run", Run { threads: 2, ..Run::new(&heard) })
        .unwrap();
    let losses = heard.metric("loss");
    assert!(losses[7] < 0.5 * losses[0], "{losses:?}");
    let best = heard.metric("best_epoch")[0] as usize;
    assert!(heard.metric("map_at_5")[best - 1] > 0.9, "{:?}", heard.metric("map_at_5"));
    let table = String::from_utf8(fixture.bytes("run/metrics.csv")).unwrap();
    assert!(table.starts_with("epoch,rate,loss,validation_loss,map_at_5,accuracy\n1,0.0003,"), "{table}");

    let given = [("checkpoint", fixture.input("run/last.safetensors")), ("images", fixture.input("images"))];
    fixture.run("embed", &json!({ "batch": 10 }), &given, "embedded", Run::new(&heard)).unwrap();
    let features = MatrixInput(fixture.input("embedded/features")).read().unwrap();
    assert_eq!((features.rows(), features.columns), (images, 512));
    let cosine = |one: usize, other: usize| {
        let dot = |one: usize, other: usize| -> f64 {
            features.row(one).iter().zip(features.row(other)).map(|(one, other)| one * other).sum()
        };
        dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
    };
    assert!(cosine(0, 2) > cosine(0, 1) && cosine(1, 3) > cosine(1, 2), "images 0 and 2, and 1 and 3, are alike");

    let predicted = fixture.run("predict", &json!({}), &given, "predicted", Run::new(&heard)).unwrap_err();
    assert_eq!(predicted.to_string(), "run/last.safetensors: is the checkpoint of a metric model, not of a classifier");
}

#[test]
fn identities_that_are_not_learned_are_refused() {
    let fixture = Fixture::new(16);
    let params = json!({ "arch": "resnet18", "identity": "identity", "size": 16, "batch": 4, "epochs": 1 });
    let told = |port: &'static str, content: &str| {
        let mut inputs = inputs(&fixture, 16);
        inputs.retain(|(name, _)| *name != port);
        inputs.push((port, fixture.file("bad.csv", content)));
        fixture
            .run("train_metric", &params, &inputs, "run", Run::new(&RecordingReporter::patient()))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        told("validation", "Id,identity\nimage0,5\n"),
        "validation has images of identity 5, which training has not"
    );
    assert_eq!(
        told("train", "Id,identity\nimage0,x\n"),
        "bad.csv, row 2: `x` is not the number of an identity, from 0 to 999999"
    );
    assert_eq!(told("train", "Id,Target\nimage0,1\n"), "bad.csv, row 1: there is no column `identity`");
}

#[test]
fn stopped_and_killed_trainings_end_as_if_nothing_had_happened() {
    let _alone = alone();
    let images = 22;
    let fixture = Fixture::new(images);
    let params = |save_every: f64| {
        json!({
            "arch": "resnet18", "identity": "identity", "size": 12, "batch": 2, "accumulation": 2, "epochs": 2,
            "freeze_epochs": 1, "save_every": save_every,
        })
    };
    let train = |name: &str, save_every: f64, heard: &RecordingReporter<'_>| {
        fixture.run("train_metric", &params(save_every), &inputs(&fixture, images), name, Run::new(heard))
    };
    train("whole", 1e9, &RecordingReporter::patient()).unwrap();
    // A state after every step; what lies there when the sixth begins is what a kill at that instant would leave.
    let (unfinished, copy) = (fixture.unfinished("killed"), fixture.unfinished("copy"));
    let killed = RecordingReporter::stopping(|reports| {
        let now = steps(reports).last() == Some(&5);
        if now && !copy.exists() {
            copy_folder(&unfinished, &copy);
        }
        now
    });
    train("killed", 0.0, &killed).unwrap_err();
    for (name, began_after) in [("copy", 5), ("killed", 6)] {
        let heard = RecordingReporter::patient();
        train(name, 1e9, &heard).unwrap();
        assert_eq!(heard.began_after(), began_after, "{name}");
        for file in ["checkpoint.safetensors", "last.safetensors", "metrics.csv"] {
            let same = fixture.bytes(format!("{name}/{file}")) == fixture.bytes(format!("whole/{file}"));
            assert!(same, "{file} of `{name}` is not that of a training in one go");
        }
    }
}
