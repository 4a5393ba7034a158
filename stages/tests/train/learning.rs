//! Training learns, and the same every time.

use std::collections::BTreeMap;

use athanor_stages::nn::weights::{StateDict, TensorEntry, WeightsFile, write_container};
use athanor_stages::ports::InputFile;
use burn::prelude::*;
use serde_json::{Value, json};

use crate::fixture::{Fixture, RecordingReporter, Run, alone, params, steps};

#[test]
fn what_is_easily_told_apart_is_learned() {
    let _alone = alone();
    let fixture = Fixture::new(64);
    let heard = RecordingReporter::patient();
    let params = params(json!({ "epochs": 10, "schedule": 3e-4, "batch": 8 }));
    fixture.train(&params, "run", Run { threads: 2, ..Run::new(&heard) }).unwrap();
    let [losses, focal, macro_f1] = ["loss", "focal", "macro_f1"].map(|name| heard.metric(name));
    assert_eq!(losses.len(), 10);
    let smallest = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(smallest < 0.2 * losses[0], "{losses:?}");
    let best = heard.metric("best_epoch")[0] as usize;
    assert!(macro_f1[best - 1] > 0.9, "{macro_f1:?}");
    assert_eq!(
        focal.iter().copied().fold(f64::INFINITY, f64::min),
        focal[best - 1],
        "the best has the lowest focal loss"
    );
    assert!(heard.metric("share_waiting_for_data").iter().all(|share| (0.0..0.9).contains(share)));
    let table = String::from_utf8(fixture.bytes("run/metrics.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "epoch,rate,loss,validation_loss,focal,accuracy,macro_f1,f1_0,f1_1");
    assert_eq!(lines.len(), 1 + 10);
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let _alone = alone();
    let fixture = Fixture::new(24);
    for (name, seed, threads) in [("one", 7, 1), ("three", 7, 3), ("other", 8, 1)] {
        let heard = RecordingReporter::patient();
        fixture.train(&params(json!({})), name, Run { seed, threads, ..Run::new(&heard) }).unwrap();
    }
    for file in ["checkpoint.safetensors", "last.safetensors", "metrics.csv"] {
        let of = |name: &str| fixture.bytes(format!("{name}/{file}"));
        assert!(of("one") == of("three"), "{file} differs from run to run, or depends on the number of threads");
        assert!(of("one") != of("other"), "{file} does not depend on the seed");
    }
}

#[test]
fn a_frozen_backbone_stays_as_it_is() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    let trained = |name: &str, rate: f64, frozen: u32| {
        let params = params(json!({ "epochs": 1, "schedule": rate, "freeze_epochs": frozen }));
        fixture.train(&params, name, Run::new(&RecordingReporter::patient())).unwrap();
        WeightsFile::read(fixture.input(&format!("{name}/last.safetensors")).weights()).unwrap().state
    };
    let (slow, fast, with_freezing) =
        (trained("slow", 1e-4, 1), trained("fast", 1e-3, 1), trained("with_freezing", 1e-3, 0));
    let differ = |one: &StateDict, other: &StateDict, head: bool| {
        one.iter().filter(|(name, data)| name.starts_with("head.") == head && other[*name] != **data).count()
    };
    assert_eq!(differ(&slow, &fast, false), 0, "of the backbone");
    assert!(differ(&slow, &fast, true) > 0, "of the head");
    assert!(differ(&fast, &with_freezing, false) > 0, "of the backbone");
}

#[test]
fn weights_of_an_earlier_training_and_soft_labels_are_learned_from() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    let rate = json!({ "epochs": 1, "schedule": 1e-9, "freeze_epochs": 1, "loss": "bce" });
    let losses = |name: &str, changes: Value, more: &[(&'static str, InputFile)]| {
        let mut params = params(rate.clone());
        params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let inputs: Vec<_> = fixture.inputs().into_iter().chain(more.iter().cloned()).collect();
        let heard = RecordingReporter::patient();
        fixture.run("train_classifier", &params, &inputs, name, Run::new(&heard)).unwrap();
        heard.metric("loss")[0]
    };
    let hard = losses("hard", json!({}), &[]);
    assert_eq!(losses("checkpointed", json!({ "gradient_checkpointing": true }), &[]), hard);
    let mixed = losses("mixed", json!({ "precision": "bf16" }), &[]);
    assert!(mixed != hard && (mixed - hard).abs() < 0.05 * hard, "{mixed} in bfloat16, {hard} in float32");
    fixture.matrix("soft", &["image0".to_owned()], 2, &[0.5, 0.5]);
    assert_ne!(losses("soft-labels", json!({}), &[("soft_labels", fixture.input("soft"))]), hard);
    let backbone = WeightsFile::read(fixture.input("hard/last.safetensors").weights()).unwrap().state;
    let views = backbone.iter().filter(|(name, _)| !name.starts_with("head.")).map(|(name, data)| {
        let halved: Vec<f32> = data.iter::<f32>().map(|value| value / 2.0).collect();
        (name.clone(), TensorData::new(halved, data.shape().to_vec()))
    });
    let halved: StateDict = views.collect();
    let entries: Vec<TensorEntry<'_>> = halved.iter().map(|(name, data)| TensorEntry::float32(name, data)).collect();
    write_container(&fixture.path("halved.safetensors"), &entries, &BTreeMap::new()).unwrap();
    let pretrained = [("pretrained", fixture.input("halved.safetensors"))];
    assert_ne!(losses("pretrained", json!({}), &pretrained), hard);
    let last = WeightsFile::read(fixture.input("pretrained/last.safetensors").weights()).unwrap().state;
    assert!(halved.iter().all(|(name, data)| last[name] == *data), "the frozen backbone is the one that was given");
}

/// Trains with rates that move nothing, on one batch of four images an epoch; returns the losses.
fn losses_of_what_is_shown(fixture: &Fixture, name: &str, changes: Value, seed: u64) -> Vec<f64> {
    let mut params = params(json!({ "epochs": 3, "schedule": 1e-30, "dropout": 0.0, "crop": 12 }));
    params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let heard = RecordingReporter::patient();
    fixture.train(&params, name, Run { seed, ..Run::new(&heard) }).unwrap();
    heard.metric("loss")
}

#[test]
fn every_epoch_shows_and_drops_something_else() {
    let _alone = alone();
    // Four images to learn from: what differs from epoch to epoch are views, or what is dropped.
    let fixture = Fixture::new(4);
    fixture.file("validation.csv", "Id,Target\nimage0,0\n");
    let far = |losses: &[f64]| {
        let pairs = [(0, 1), (0, 2), (1, 2)].map(|(one, other)| (losses[one] - losses[other]).abs());
        pairs.into_iter().fold(f64::INFINITY, f64::min)
    };
    let views = losses_of_what_is_shown(&fixture, "views", json!({}), 7);
    assert!(far(&views) > 1e-4, "views are those of the epoch before: {views:?}");
    let dropped = losses_of_what_is_shown(&fixture, "dropped", json!({ "dropout": 0.9 }), 7);
    let by_dropout: Vec<f64> = dropped.iter().zip(&views).map(|(dropped, whole)| dropped - whole).collect();
    assert!(far(&by_dropout) > 1e-4, "values are dropped as in the epoch before: {by_dropout:?}");
    assert_ne!(losses_of_what_is_shown(&fixture, "other", json!({}), 8), views, "seeds show something else");
}

#[test]
fn rare_classes_are_shown_more_often() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    // One image of class 1 to seven of class 0.
    let rows: String = (0..8).map(|image| format!("image{},{}\n", 2 * image + image / 7, image / 7)).collect();
    fixture.file("train.csv", format!("Id,Target\n{rows}"));
    let steps_of_epoch = |name: &str, changes: Value| {
        let params = params(json!({ "epochs": 1, "batch": 2, "crop": 12 }));
        let mut params = params;
        params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let heard = RecordingReporter::patient();
        fixture.train(&params, name, Run::new(&heard)).unwrap();
        *steps(&heard.reports.lock().unwrap()).last().unwrap()
    };
    assert_eq!(steps_of_epoch("plain", json!({})), 4);
    // Half of eight images: the one of class 1 comes four times, those of class 0 as before.
    assert_eq!(steps_of_epoch("upsampled", json!({ "upsample": { "share": 0.5 } })), 5);
    assert_eq!(steps_of_epoch("capped", json!({ "upsample": { "share": 0.5, "at_most": 3 } })), 5);
    assert_eq!(steps_of_epoch("more", json!({ "upsample": { "share": 1.0, "at_most": 9 } })), 7);
    let differ = fixture.bytes("plain/last.safetensors") != fixture.bytes("upsampled/last.safetensors");
    assert!(differ, "what is shown more often changes what is learned");
}
