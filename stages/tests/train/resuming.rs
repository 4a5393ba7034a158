//! Training that is stopped, killed, or finds its state damaged, ends as if nothing had happened.

use std::sync::OnceLock;

use athanor_stages::error::StageError;
use athanor_stages::kind::RunError;
use serde_json::{Value, json};

use crate::fixture::{Fixture, RecordingReporter, Run, alone, copy_folder, params, steps};

/// Two epochs of four steps; the first with a frozen backbone.
fn four_steps_an_epoch() -> Value {
    params(json!({ "epochs": 2, "batch": 2, "accumulation": 2, "freeze_epochs": 1, "crop": 12 }))
}

/// The images of which give four steps an epoch.
fn fixture() -> Fixture {
    Fixture::new(22)
}

const OUTPUTS: [&str; 3] = ["checkpoint.safetensors", "last.safetensors", "metrics.csv"];

/// Outputs of an uninterrupted training.
fn in_one_go() -> &'static [Vec<u8>; 3] {
    static WRITTEN: OnceLock<[Vec<u8>; 3]> = OnceLock::new();
    WRITTEN.get_or_init(|| {
        let fixture = fixture();
        fixture.train(&four_steps_an_epoch(), "whole", Run::new(&RecordingReporter::patient())).unwrap();
        OUTPUTS.map(|file| fixture.bytes(format!("whole/{file}")))
    })
}

fn assert_same(fixture: &Fixture, name: &str) {
    for (file, expected) in OUTPUTS.iter().zip(in_one_go()) {
        let written = fixture.bytes(format!("{name}/{file}"));
        assert!(written == *expected, "{file} of `{name}` is not that of a training in one go");
    }
}

#[test]
fn stopped_training_goes_on_where_it_was() {
    let _alone = alone();
    let fixture = fixture();
    let interrupted = |after: u64| {
        let heard =
            RecordingReporter::stopping(move |reports| steps(reports).last().is_some_and(|done| *done >= after));
        let result = fixture.train(&four_steps_an_epoch(), "stopped", Run::new(&heard));
        assert!(matches!(result, Err(RunError::Stage(StageError::Interrupted))), "{result:?}");
        heard
    };
    // In the middle of the first epoch, at once, and in the middle of the second.
    assert_eq!(interrupted(1).began_after(), 0);
    assert_eq!(interrupted(0).began_after(), 2);
    assert_eq!(interrupted(5).began_after(), 3);
    let heard = RecordingReporter::patient();
    fixture.train(&four_steps_an_epoch(), "stopped", Run { threads: 2, ..Run::new(&heard) }).unwrap();
    assert_eq!(heard.began_after(), 6);
    assert_same(&fixture, "stopped");
    assert_eq!(heard.metric("loss").len(), 2, "the curves are whole");
}

#[test]
fn killed_training_goes_on_from_its_last_state() {
    let _alone = alone();
    let fixture = fixture();
    let mut params = four_steps_an_epoch();
    params["save_every"] = json!(0);
    let (name, unfinished, copy) = ("copy", fixture.unfinished("killed"), fixture.unfinished("copy"));
    let killed = RecordingReporter::stopping(|reports| {
        // The state that a kill at this instant leaves; later changes do not matter.
        let now = steps(reports).last() == Some(&5);
        if now && !copy.exists() {
            copy_folder(&unfinished, &copy);
        }
        now
    });
    fixture.train(&params, "killed", Run::new(&killed)).unwrap_err();
    let heard = RecordingReporter::patient();
    fixture.train(&four_steps_an_epoch(), name, Run::new(&heard)).unwrap();
    assert_eq!(heard.began_after(), 5);
    assert_same(&fixture, name);
}

#[test]
fn damaged_states_are_not_trusted() {
    let _alone = alone();
    let fixture = fixture();
    let mut params = four_steps_an_epoch();
    params["save_every"] = json!(0);
    let stop = RecordingReporter::stopping(|reports| steps(reports).last().is_some_and(|done| *done >= 5));
    fixture.train(&params, "left", Run::new(&stop)).unwrap_err();
    // States were kept after 5 and after 6 steps.
    let states = ["state-0.safetensors", "state-1.safetensors"].map(|name| fixture.unfinished("left").join(name));
    let newer = usize::from(
        states[1].metadata().unwrap().modified().unwrap() > states[0].metadata().unwrap().modified().unwrap(),
    );
    let damage = |name: &str, change: &dyn Fn(&mut Vec<u8>), states: &[usize], begins_after: u64| {
        copy_folder(&fixture.unfinished("left"), &fixture.unfinished(name));
        for state in states {
            let path = fixture.unfinished(name).join(format!("state-{state}.safetensors"));
            let mut bytes = std::fs::read(&path).unwrap();
            change(&mut bytes);
            std::fs::write(&path, bytes).unwrap();
        }
        let heard = RecordingReporter::patient();
        fixture.train(&four_steps_an_epoch(), name, Run::new(&heard)).unwrap();
        assert_eq!(heard.began_after(), begins_after, "{name}");
        assert_same(&fixture, name);
    };
    damage("cut", &|bytes| bytes.truncate(bytes.len() / 2), &[newer], 5);
    damage("flipped", &|bytes| *bytes.last_mut().unwrap() ^= 1, &[newer], 5);
    damage("empty", &|bytes| bytes.clear(), &[0, 1], 0);
    let best = fixture.unfinished("left").join("best-1.safetensors");
    std::fs::write(best, b"").unwrap();
    damage("no best", &|_| (), &[], 0);
}
