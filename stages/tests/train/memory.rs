//! Devices that run out of memory.

use athanor_stages::error::StageError;
use athanor_stages::kind::RunError;
use serde_json::{Value, json};

use crate::fixture::{Fixture, RecordingReporter, Run, alone, params, steps};

/// The failure of a training, or of another kind, for lack of memory.
fn out_of_memory_error(outcome: Result<(), RunError>) -> (String, String, bool) {
    match outcome {
        Err(RunError::Stage(StageError::DeviceMemory { message, help, retry })) => (message, help, retry),
        other => panic!("{other:?}"),
    }
}

/// Six images a step.
fn six(changes: Value) -> Value {
    let mut params = params(json!({ "batch": 6, "epochs": 1, "crop": 12 }));
    params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    params
}

#[test]
fn what_would_fit_is_said() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    let heard = RecordingReporter::patient();
    let run = || Run { room: Some(5), ..Run::new(&heard) };
    let (message, help, retry) = out_of_memory_error(fixture.train(&six(json!({})), "run", run()));
    assert_eq!(message, "the GPU has no room for 6 MiB more, with batches of 6 images of 12 x 12 pixels in float32");
    assert_eq!(
        help,
        "Options that need less memory: `batch: 3` with `accumulation: 2` (as many images a step, though batch norms see fewer at once), `precision: bf16`, \
         `gradient_checkpointing: true`, or `on_out_of_memory: split`."
    );
    assert!(!retry);
    let frugal = six(json!({ "batch": 7, "gradient_checkpointing": true }));
    let (_, help, _) = out_of_memory_error(fixture.train(&frugal, "frugal", run()));
    assert_eq!(help, "Options that need less memory: `precision: bf16`, or `on_out_of_memory: split`.");
}

#[test]
fn batches_are_split_if_that_is_asked_for() {
    let _alone = alone();
    let fixture = Fixture::new(22);
    let split = six(json!({ "batch": 12, "on_out_of_memory": "split" }));
    let heard = RecordingReporter::patient();
    let run = || Run { room: Some(3), ..Run::new(&heard) };
    for (batch, finer) in [(12, "2 batches of 6"), (6, "4 batches of 3")] {
        let (message, help, retry) = out_of_memory_error(fixture.train(&split, "split", run()));
        assert!(message.contains(&format!("with batches of {batch} images")), "{message}");
        assert!(retry && help.starts_with(&format!("It continues with {finer} images a step. ")), "{help}");
    }
    fixture.train(&split, "split", run()).unwrap();
    fixture.train(&six(json!({ "batch": 3, "accumulation": 4 })), "small", Run::new(&heard)).unwrap();
    let same = fixture.bytes("split/last.safetensors") == fixture.bytes("small/last.safetensors");
    assert!(same, "it learns what batches teach that were small from the beginning");
    let (message, help, retry) =
        out_of_memory_error(fixture.train(&split, "never", Run { room: Some(1), ..Run::new(&heard) }));
    assert!(retry, "{message} {help}");
}

#[test]
fn batches_that_cannot_be_split_fail() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    let params = six(json!({ "batch": 2, "on_out_of_memory": "split" }));
    let heard = RecordingReporter::patient();
    let (_, help, retry) =
        out_of_memory_error(fixture.train(&params, "run", Run { room: Some(1), ..Run::new(&heard) }));
    assert!(
        !retry && help.starts_with("Batches cannot be split further. Options that need less memory: `precision: bf16`"),
        "{help}"
    );
}

#[test]
fn training_goes_on_with_split_batches_from_its_last_state() {
    let _alone = alone();
    let fixture = Fixture::new(22);
    let params = six(json!({ "batch": 4, "on_out_of_memory": "split" }));
    let stop = RecordingReporter::stopping(|reports| steps(reports).last().is_some_and(|done| *done >= 1));
    fixture.train(&params, "run", Run::new(&stop)).unwrap_err();
    let heard = RecordingReporter::patient();
    let run = || Run { room: Some(2), devices: 2, ..Run::new(&heard) };
    // With one batch a step there is nothing to share out; with two there is.
    let refused = fixture.train(&params, "run", run()).unwrap_err().to_string();
    assert!(refused.contains("only has 1 batch"), "{refused}");
    let (_, _, retry) = out_of_memory_error(fixture.train(&params, "run", Run { room: Some(2), ..Run::new(&heard) }));
    assert!(retry);
    let heard = RecordingReporter::patient();
    fixture.train(&params, "run", Run { room: Some(2), devices: 2, ..Run::new(&heard) }).unwrap();
    assert_eq!(heard.began_after(), 2);
}

#[test]
fn prediction_says_what_would_fit() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    let heard = RecordingReporter::patient();
    fixture.train(&six(json!({})), "trained", Run::new(&heard)).unwrap();
    let given = [("checkpoint", fixture.input("trained/checkpoint.safetensors")), ("images", fixture.input("images"))];
    let predict = |batch: usize| {
        let run = Run { room: Some(8), ..Run::new(&heard) };
        fixture.run("predict", &json!({ "batch": batch }), &given, "predicted", run)
    };
    let (message, help, _) = out_of_memory_error(predict(10));
    assert!(message.ends_with("with batches of 10 images of 12 x 12 pixels"), "{message}");
    assert_eq!(help, "Choose a smaller `batch`, such as 5.");
    predict(5).unwrap();
}
