//! Predictions are what the network in the checkpoint says.

use athanor_stages::artifact::matrix::{Matrix, MatrixInput};
use athanor_stages::learn::data::Augmentation;
use athanor_stages::nn::models::{Classifier, ClassifierConfig};
use athanor_stages::nn::weights::Checkpoint;
use athanor_stages::ports::InputFile;
use burn::prelude::*;
use burn::tensor::activation::sigmoid;
use serde_json::{Value, json};

use crate::fixture::{CHANNELS, Fixture, IMAGE, RecordingReporter, Run, alone, params, pixels};

const STATISTICS: &str = "color,mean,std\nblue,0.5,0.5\ngreen,0.2,0.1\nred,0.3,0.2\n";

/// A bench with a checkpoint in `trained`, for whole images of 24 x 24 pixels.
fn trained() -> Fixture {
    let fixture = Fixture::new(16);
    let mut inputs = fixture.inputs();
    inputs.push(("statistics", fixture.file("statistics.csv", STATISTICS)));
    let params = params(json!({ "epochs": 1, "crop": IMAGE }));
    fixture.run("train_classifier", &params, &inputs, "trained", Run::new(&RecordingReporter::patient())).unwrap();
    fixture
}

fn predict(fixture: &Fixture, params: Value, ids: Option<InputFile>, name: &str) {
    let mut inputs =
        vec![("checkpoint", fixture.input("trained/checkpoint.safetensors")), ("images", fixture.input("images"))];
    inputs.extend(ids.map(|ids| ("ids", ids)));
    fixture.run("predict", &params, &inputs, name, Run::new(&RecordingReporter::patient())).unwrap();
}

fn matrix(fixture: &Fixture, name: &str) -> Matrix {
    MatrixInput(fixture.input(name)).read().unwrap()
}

/// The network's output for one image.
fn directly(fixture: &Fixture, image: usize) -> Vec<f64> {
    let device = Device::flex();
    let checkpoint = Checkpoint::read::<Classifier>(fixture.input("trained/checkpoint.safetensors").weights()).unwrap();
    let config = ClassifierConfig::new(checkpoint.architecture, checkpoint.channels, checkpoint.outputs);
    let model = checkpoint.into_model(config.init(&device)).unwrap();
    let figures = [(0.3, 0.2), (0.2, 0.1)];
    let values: Vec<f32> = pixels(image, CHANNELS.len(), IMAGE)
        .chunks(IMAGE * IMAGE)
        .zip(figures)
        .flat_map(|(plane, (mean, std))| plane.iter().map(move |byte| (f32::from(*byte) / 255.0 - mean) / std))
        .collect();
    let images = Tensor::from_data(TensorData::new(values, [1, CHANNELS.len(), IMAGE, IMAGE]), &device);
    sigmoid(model.forward(images)).into_data().iter().collect()
}

#[test]
fn probabilities_are_those_of_the_network() {
    let _alone = alone();
    let fixture = trained();
    let ids = fixture.file("ids.csv", "Id,fold\nimage5,0\nimage2,1\nimage11,0\n");
    predict(&fixture, json!({ "augmentations": ["default"], "batch": 2 }), Some(ids), "some");
    let some = matrix(&fixture, "some/probabilities");
    assert_eq!(some.ids.as_deref().unwrap(), ["image5", "image2", "image11"]);
    for (row, image) in [5, 2, 11].into_iter().enumerate() {
        for (ours, direct) in some.row(row).iter().zip(directly(&fixture, image)) {
            assert!((ours - direct).abs() < 1e-5, "image {image}: {ours} is not {direct}");
        }
    }

    predict(&fixture, json!({ "each": true, "reduce": "mean" }), None, "all");
    let mean = matrix(&fixture, "all/probabilities");
    assert_eq!(mean.rows(), 16);
    let each: Vec<Matrix> = Augmentation::ALL
        .iter()
        .map(|augmentation| matrix(&fixture, &format!("all/{}", augmentation.name())))
        .collect();
    let element = |at: usize| each.iter().map(move |matrix| matrix.values[at]);
    for (at, value) in mean.values.iter().enumerate() {
        assert!((value - element(at).sum::<f64>() / 8.0).abs() < 1e-12);
    }
    predict(&fixture, json!({}), None, "maximum");
    for (at, value) in matrix(&fixture, "maximum/probabilities").values.iter().enumerate() {
        assert_eq!(*value, element(at).fold(0.0, f64::max));
    }
    assert!(each.iter().skip(1).all(|other| other.values != each[0].values), "augmentations change what is seen");
}

#[test]
fn seeds_show_parts_that_depend_on_the_image_alone() {
    let _alone = alone();
    let fixture = Fixture::new(16);
    let params = params(json!({ "epochs": 1 }));
    fixture.train(&params, "trained", Run::new(&RecordingReporter::patient())).unwrap();
    let values = |seed: u64, ids: Option<InputFile>, name: &str| {
        predict(&fixture, json!({ "augmentations": ["default"], "seed": seed }), ids, name);
        matrix(&fixture, &format!("{name}/probabilities"))
    };
    let (whole, one, two) = (values(0, None, "0"), values(1, None, "1"), values(2, None, "2"));
    assert!(whole.values != one.values && one.values != two.values);
    let alone = values(1, Some(fixture.file("ids.csv", "Id\nimage9\n")), "alone");
    let row = one.ids.as_ref().unwrap().iter().position(|id| id == "image9").unwrap();
    for (ours, theirs) in alone.values.iter().zip(one.row(row)) {
        assert!((ours - theirs).abs() < 1e-5, "{ours} is not {theirs}");
    }
}
