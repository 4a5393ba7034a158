//! Errors before training or prediction begins.

use athanor_stages::kind::RunError;
use athanor_stages::ports::InputFile;
use athanor_stages::registry;
use serde_json::{Value, json};

use crate::fixture::{Fixture, RecordingReporter, Run, alone, params};

/// The error of a training with some of its inputs changed.
fn refused(fixture: &Fixture, params: &Value, changes: &[(&'static str, InputFile)]) -> String {
    let mut inputs = fixture.inputs();
    inputs.retain(|(port, _)| changes.iter().all(|(changed, _)| changed != port));
    inputs.extend_from_slice(changes);
    let heard = RecordingReporter::patient();
    let error = fixture.run("train_classifier", params, &inputs, "refused", Run::new(&heard)).unwrap_err();
    assert!(heard.metric("loss").is_empty(), "nothing was trained");
    error.to_string()
}

#[test]
fn bad_rows_and_images_are_refused() {
    let fixture = Fixture::new(16);
    let short = params(json!({}));
    let told = |changes: &[(&'static str, InputFile)]| refused(&fixture, &short, changes);

    let outside = fixture.file("outside.csv", "Id,Target\nimage0,0\nimage1,0 2\n");
    assert_eq!(told(&[("train", outside)]), "outside.csv, row 3: there is no class 2: classes go from 0 to 1");
    let empty = fixture.file("empty.csv", "Id,Target\n");
    assert_eq!(told(&[("validation", empty)]), "empty.csv: the table has no rows");
    let missing = fixture.file("missing.csv", "Id,Target\nimage0,0\nimage99,1\nimage98,1\n");
    assert_eq!(told(&[("train", missing)]), "`images` has no image `image99` (2 are missing)");
    let few = fixture.file("few.csv", "Id,Target\nimage0,0\nimage1,1\n");
    assert_eq!(told(&[("train", few)]), "an epoch shows 2 images, but a step needs 4");

    let large = params(json!({ "crop": 32 }));
    assert_eq!(refused(&fixture, &large, &[]), "the image `image0` has 24 x 24 pixels, but the crop is 32 x 32");

    let other = fixture.pack("other", &["blue"], 1, 24);
    let both = [("images", fixture.input("images")), ("images", other)];
    assert_eq!(told(&both), "other: has the channels blue, but `images` has red, green");
    let both = [("images", fixture.input("images")), ("images", fixture.input("images"))];
    assert_eq!(told(&both), "images: has an image `image0`, as another set has");
}

/// Ids of files, of folders and of other programs.
#[test]
fn an_id_that_is_nearly_that_of_an_image_is_told() {
    let fixture = Fixture::new(16);
    for (id, told) in [
        ("image0.png", "It has `image0`: `label_table` with `strip_extension: true`"),
        ("IMAGE0.PNG", "It has `image0`: ids must be the same"),
        ("some/image0", "It has `image0`: ids must be the same"),
        ("image99", "Pack the images of all rows"),
    ] {
        let labels = fixture.file("labels.csv", format!("Id,Target\nimage1,0\n{id},1\n"));
        let mut inputs = fixture.inputs();
        inputs.retain(|(port, _)| *port != "train");
        inputs.push(("train", labels));
        let heard = RecordingReporter::patient();
        let run = fixture.run("train_classifier", &params(json!({})), &inputs, "refused", Run::new(&heard));
        let RunError::Stage(error) = run.unwrap_err() else { panic!("{id}") };
        let help = error.help().unwrap_or_default();
        assert!(help.starts_with(told), "{id}: {help}");
    }
}

#[test]
fn bad_figures_and_soft_labels_are_refused() {
    let fixture = Fixture::new(16);
    let short = params(json!({}));
    let bce = params(json!({ "loss": "bce" }));
    let statistics = |content: &str| {
        let file = fixture.file("statistics.csv", content);
        refused(&fixture, &short, &[("statistics", file)])
    };
    assert_eq!(statistics("color,mean,std\nred,0.1,0.2\n"), "statistics.csv: there is no row for the channel `green`");
    assert_eq!(statistics("color,mean,std\nred,0.1,x\ngreen,0,1\n"), "statistics.csv, row 2: `x` is not a number");
    assert_eq!(
        statistics("color,mean,std\nred,0.1,1\ngreen,0,0\n"),
        "statistics.csv, row 3: the standard deviation of `green` is 0"
    );

    let soft = |name: &str, id: &str, values: &[f64]| {
        fixture.matrix(name, &[id.to_owned()], values.len(), values);
        fixture.input(name)
    };
    let good = soft("good", "image0", &[0.5, 0.25]);
    assert_eq!(
        refused(&fixture, &short, &[("soft_labels", good)]),
        "soft labels are given, but the loss is for labels that are 0 or 1"
    );
    let told = |file: InputFile| refused(&fixture, &bce, &[("soft_labels", file)]);
    assert_eq!(told(soft("wide", "image0", &[0.5; 3])), "wide: has 3 columns, but there are 2 classes");
    assert_eq!(
        told(soft("unknown", "image99", &[0.5; 2])),
        "unknown, row 1: is of `image99`, which is not learned from"
    );
    let odd = told(soft("odd", "image0", &[0.5, 1.5]));
    assert!(odd.contains("holds 1.5, which is no probability"), "{odd}");
}

#[test]
fn bad_weights_are_refused() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    let params = params(json!({ "epochs": 1, "crop": 12 }));
    fixture.train(&params, "trained", Run::new(&RecordingReporter::patient())).unwrap();
    let checkpoint = fixture.bytes("trained/checkpoint.safetensors");
    let cut = fixture.file("cut.safetensors", &checkpoint[..checkpoint.len() / 2]);
    let told = refused(&fixture, &params, &[("pretrained", cut.clone())]);
    assert!(told.starts_with("cut.safetensors: cannot be read as weights in the safetensors format"), "{told}");

    let pretrained =
        |params: &Value| refused(&fixture, params, &[("pretrained", fixture.input("trained/checkpoint.safetensors"))]);
    let mut deeper = params.clone();
    deeper["arch"] = json!("resnet34");
    let told = pretrained(&deeper);
    assert!(told.starts_with("trained/checkpoint.safetensors: holds no weights of resnet34: it lacks `"), "{told}");
    let narrow = fixture.pack("narrow", &["red"], 16, 24);
    let changes = [("pretrained", fixture.input("trained/checkpoint.safetensors")), ("images", narrow)];
    assert_eq!(
        refused(&fixture, &params, &changes),
        "trained/checkpoint.safetensors: its weights are for images of 2 channels, but the images have 1"
    );

    let heard = RecordingReporter::patient();
    let predict = |checkpoint: InputFile, images: InputFile| {
        let inputs = [("checkpoint", checkpoint), ("images", images)];
        fixture.run("predict", &json!({}), &inputs, "predicted", Run::new(&heard)).unwrap_err().to_string()
    };
    let good = fixture.input("trained/checkpoint.safetensors");
    let told = predict(cut, fixture.input("images"));
    assert!(told.starts_with("cut.safetensors: cannot be read as weights in the safetensors format"), "{told}");
    let wide = fixture.pack("wide", &["red", "green", "blue"], 1, 24);
    assert_eq!(
        predict(good.clone(), wide),
        "trained/checkpoint.safetensors: was trained on the channels red, green, but the images have red, green, blue"
    );
    let small = fixture.pack("small", &["red", "green"], 1, 8);
    assert_eq!(predict(good, small), "the image `image0` has 8 x 8 pixels, but the crop is 12 x 12");
}

#[test]
fn losses_that_grow_without_end_stop_the_training() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    let params = params(json!({ "schedule": 1e30 }));
    let error = fixture.train(&params, "exploding", Run::new(&RecordingReporter::patient())).unwrap_err().to_string();
    assert!(error.starts_with("the loss ") && error.contains(" in epoch 1, not later than step "), "{error}");
}

#[test]
fn parameters_are_checked() {
    let told = |kind: &str, given: Value| {
        let problems = registry::find(kind).unwrap().check_params(&given).unwrap_err();
        problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; ")
    };
    let train = |changes: Value| told("train_classifier", params(changes));
    assert_eq!(train(json!({ "batch": 1 })), "a batch must have at least 2 images, for the statistics of batch norm");
    assert_eq!(
        train(json!({ "epochs": 0, "dropout": 1.0 })),
        "there must be at least one epoch; the share is from 0 to below 1"
    );
    assert_eq!(train(json!({ "schedule": [[2, 0.1]] })), "the schedule must begin with epoch 1");
    assert_eq!(train(json!({ "upsample": { "share": 0 } })), "`share` is above 0 and at most 1");
    let small = train(json!({ "arch": "inceptionv3" }));
    assert_eq!(small, "inceptionv3 needs images of at least 75 x 75 pixels");
    let pool = train(json!({ "arch": "inceptionv3", "crop": 75, "stem_pool": "2x2" }));
    assert_eq!(pool, "inceptionv3 has no choice here: only ResNets have");
    let arch = train(json!({ "arch": "resnet19" }));
    assert!(arch.contains("resnet19"), "{arch}");
    let predict = |given: Value| told("predict", given);
    assert_eq!(
        predict(json!({ "augmentations": [] })),
        "there must be at least one; `default` leaves images as they are"
    );
    assert_eq!(predict(json!({ "augmentations": ["flipud", "flipud"] })), "no augmentation may be there twice");
}
