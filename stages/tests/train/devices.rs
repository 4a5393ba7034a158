//! Several devices compute what one computes, to the last bit.

use athanor_stages::error::StageError;
use athanor_stages::kind::RunError;
use serde_json::json;

use crate::fixture::{Fixture, RecordingReporter, Run, alone, params, steps};

const OUTPUTS: [&str; 3] = ["checkpoint.safetensors", "last.safetensors", "metrics.csv"];

/// Whether two trainings wrote the same.
fn assert_same(fixture: &Fixture, one: &str, other: &str) {
    for file in OUTPUTS {
        let same = fixture.bytes(format!("{one}/{file}")) == fixture.bytes(format!("{other}/{file}"));
        assert!(same, "{file} of `{other}` is not that of `{one}`");
    }
}

#[test]
fn training_does_not_depend_on_the_number_of_devices() {
    let _alone = alone();
    let fixture = Fixture::new(22);
    // One loss of all batches, or one that is a mean over images.
    for (loss, accumulation, several) in [("classifier", 3, [2, 3]), ("classifier", 4, [2, 3]), ("focal", 3, [2, 3])] {
        // In the first epoch the batch norms of the backbone use running statistics, in the second those of each batch.
        let params = params(json!({
            "batch": 2, "accumulation": accumulation, "freeze_epochs": 1, "crop": 12, "dropout": 0.5,
            "loss": loss,
        }));
        let heard = RecordingReporter::patient();
        let one = format!("{loss} {accumulation} on one");
        fixture.train(&params, &one, Run::new(&heard)).unwrap();
        for devices in several {
            let name = format!("{loss} {accumulation} on {devices}");
            fixture.train(&params, &name, Run { devices, ..Run::new(&heard) }).unwrap();
            assert_same(&fixture, &one, &name);
        }
    }
}

#[test]
fn training_goes_on_with_another_number_of_devices() {
    let _alone = alone();
    let fixture = Fixture::new(22);
    let params = params(json!({ "batch": 2, "accumulation": 3, "crop": 12 }));
    fixture.train(&params, "whole", Run::new(&RecordingReporter::patient())).unwrap();
    for (after, devices) in [(1, 3), (3, 1)] {
        let stop = RecordingReporter::stopping(move |reports| steps(reports).last().is_some_and(|done| *done >= after));
        let stopped = fixture.train(&params, "parts", Run { devices, ..Run::new(&stop) });
        assert!(matches!(stopped, Err(RunError::Stage(StageError::Interrupted))), "{stopped:?}");
    }
    fixture.train(&params, "parts", Run { devices: 2, ..Run::new(&RecordingReporter::patient()) }).unwrap();
    assert_same(&fixture, "whole", "parts");
}

#[test]
fn metric_models_do_not_depend_on_the_number_of_devices() {
    let _alone = alone();
    let fixture = Fixture::new(22);
    let params = json!({
        "arch": "resnet18", "identity": "Target", "size": 12, "batch": 2, "accumulation": 3, "epochs": 1,
    });
    for (name, devices) in [("one", 1), ("two", 2)] {
        fixture
            .run(
                "train_metric",
                &params,
                &fixture.inputs(),
                name,
                Run { devices, ..Run::new(&RecordingReporter::patient()) },
            )
            .unwrap();
    }
    assert_same(&fixture, "one", "two");
}

#[test]
fn more_devices_than_batches_of_a_step_are_refused() {
    let fixture = Fixture::new(16);
    let heard = RecordingReporter::patient();
    let refused = fixture.train(&params(json!({})), "run", Run { devices: 2, ..Run::new(&heard) }).unwrap_err();
    assert_eq!(refused.to_string(), "the stage has 2 GPUs, but a step only has 1 batch to share out");
    let RunError::Stage(refused) = refused else { panic!("{refused:?}") };
    let help = refused.help().unwrap();
    assert!(help.starts_with("Raise `accumulation` to a multiple of 2"), "{help}");
    assert!(heard.metric("loss").is_empty(), "nothing was trained");
}

#[test]
fn predictions_and_features_do_not_depend_on_the_number_of_devices() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    let heard = RecordingReporter::patient();
    fixture.train(&params(json!({ "epochs": 1, "crop": 12 })), "trained", Run::new(&heard)).unwrap();
    let metric = json!({ "arch": "resnet18", "identity": "Target", "size": 12, "batch": 4, "epochs": 1 });
    fixture.run("train_metric", &metric, &fixture.inputs(), "metric", Run::new(&heard)).unwrap();
    for (kind, model, output) in [("predict", "trained", "probabilities"), ("embed", "metric", "features")] {
        let given = [
            ("checkpoint", fixture.input(&format!("{model}/checkpoint.safetensors"))),
            ("images", fixture.input("images")),
        ];
        let written = |devices: usize| {
            let name = format!("{kind} on {devices}");
            let params = json!({ "batch": 3 });
            fixture.run(kind, &params, &given, &name, Run { devices, ..Run::new(&heard) }).unwrap();
            let folder = fixture.path(&format!("{name}/{output}"));
            let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            let mut files: Vec<_> =
                files.map(|path| (path.file_name().unwrap().to_owned(), std::fs::read(path).unwrap())).collect();
            files.sort();
            files
        };
        let one = written(1);
        assert!(one == written(2) && one == written(3), "{kind}");
    }
}
