//! Every network: logits, the gradient of every parameter and the running statistics, in both modes.

use std::collections::BTreeSet;

use athanor_stages::learn::models::{Architecture, ClassifierConfig, MetricConfig, Model};
use athanor_stages::learn::weights::{StateDict, load_state_dict, state_dict};
use burn::module::{Flag, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use serde_json::Value;

use crate::formula::{Summary, golden_json, images, tensor, weights};

const CHANNELS: usize = 4;
const CLASSES: usize = 5;
const IDENTITIES: usize = 7;

/// Relative.
const TOLERANCE: f64 = 1e-3;

/// Gradients smaller than this share of the largest, some of which are zero but for rounding, are compared with the share.
const NEGLIGIBLE: f64 = 1e-3;

fn cases(architecture: Architecture) -> Vec<Value> {
    let cases: Vec<Value> = serde_json::from_value(golden_json("learn-models.json")).unwrap();
    cases.into_iter().filter(|case| case["architecture"] == architecture.name()).collect()
}

/// Makes batch norms use their running statistics, while parameters still get gradients.
struct Still;

impl ModuleMapper for Still {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

/// Puts the gradient of each parameter in its place.
struct GradientsInPlace<'a>(&'a GradientsParams);

impl ModuleMapper for GradientsInPlace<'_> {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.0.get::<D>(parameter.id) else { return parameter };
        parameter.map(|_| gradient)
    }
}

fn gradients_by_name<M: Model>(model: &M, gradients: &GradientsParams) -> StateDict {
    let mut found = state_dict(&model.valid().map(&mut GradientsInPlace(gradients)), model.architecture());
    found.retain(|name, _| !name.contains("running_"));
    found
}

/// Compares one network with several images.
///
/// Rounding can move a value across the kink of a ReLU or to another maximum, which changes gradients by up to some percents
/// in float32; it depends on the processor in which images it does. With some images all gradients must agree, with all of
/// them logits and running statistics.
fn compare<M: Model>(model: M, forward: impl Fn(&M, Tensor<4>) -> Tensor<2>) {
    let architecture = model.architecture();
    let weights = weights(&state_dict(&model, architecture));
    for mode in ["eval", "train"] {
        let agrees = cases(architecture).iter().any(|case| {
            let model = load_state_dict(model.clone(), architecture, weights.clone()).unwrap();
            let model = if mode == "eval" { model.map(&mut Still) } else { model };
            let (worst, difference) = worst_gradient(&model, &forward, case, mode);
            if mode == "train" {
                check_running_statistics(&model, case);
            }
            println!("{architecture} {mode}: worst gradient {worst}, {difference:.1e}");
            difference < TOLERANCE
        });
        assert!(agrees, "{architecture} {mode}: gradients differ");
    }
}

fn check_running_statistics<M: Model>(model: &M, case: &Value) {
    let state = state_dict(model, model.architecture());
    for (name, stored) in case["running"].as_object().unwrap() {
        let difference = Summary::of(name, state[name].as_slice().unwrap()).difference(stored, 0.0);
        assert!(difference < TOLERANCE, "{name}: {difference}");
    }
}

fn check_logits(logits: Tensor<2>, stored: &Value) {
    let stored: Vec<f64> = serde_json::from_value(stored.clone()).unwrap();
    let largest = stored.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for (ours, theirs) in logits.into_data().iter::<f64>().zip(stored) {
        assert!((ours - theirs).abs() < TOLERANCE * largest, "logit {ours} is not {theirs}");
    }
}

/// The parameter whose gradient differs most, and by how much.
fn worst_gradient<M: Model>(
    model: &M,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
    case: &Value,
    mode: &str,
) -> (String, f64) {
    let device = Device::flex().autodiff();
    let [side, batch] = ["size", "batch"].map(|key| case[key].as_u64().unwrap() as usize);
    let images = images(case["noise"].as_str().unwrap(), [batch, CHANNELS, side, side], &device);
    let logits = forward(model, images);
    let loss = (logits.clone() * tensor("direction", logits.dims(), &device)).sum();
    let gradients = GradientsParams::from_grads(loss.backward(), model);
    check_logits(logits, &case[mode]["logits"]);

    let gradients = gradients_by_name(model, &gradients);
    let stored = case[mode]["gradients"].as_object().unwrap();
    assert_eq!(gradients.keys().collect::<BTreeSet<_>>(), stored.keys().collect::<BTreeSet<_>>());
    let largest = stored.values().map(|stored| stored[0].as_f64().unwrap()).fold(0.0, f64::max);
    let differences = gradients.into_iter().map(|(name, values)| {
        let ours = Summary::of(&name, values.as_slice().unwrap());
        let difference = ours.difference(&stored[&name], NEGLIGIBLE * largest);
        (name, difference)
    });
    differences.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

fn compare_classifier(architecture: Architecture) {
    let config = ClassifierConfig { dropout: 0.0, ..ClassifierConfig::new(architecture, CHANNELS, CLASSES) };
    compare(config.init(&Device::flex().autodiff()), |model, images| model.forward(images));
}

#[test]
fn resnet18_is_torchvisions() {
    compare_classifier(Architecture::Resnet18);
}

#[test]
fn resnet34_is_torchvisions() {
    compare_classifier(Architecture::Resnet34);
}

#[test]
fn resnet50_with_the_metric_head_is_torchvisions() {
    let config =
        MetricConfig { dropout: [0.0, 0.0], ..MetricConfig::new(Architecture::Resnet50, CHANNELS, IDENTITIES) };
    let model = config.init(&Device::flex().autodiff());
    compare(model, |model, images| model.cosines(model.features(images)));
}

#[test]
fn densenet121_is_torchvisions() {
    compare_classifier(Architecture::Densenet121);
}

#[test]
fn densenet121_large_is_torchvisions() {
    compare_classifier(Architecture::Densenet121Large);
}

#[test]
fn inceptionv3_is_torchvisions() {
    compare_classifier(Architecture::InceptionV3);
}

#[test]
fn unknown_names_come_with_the_known_ones() {
    let error = "resnet19".parse::<Architecture>().unwrap_err();
    assert_eq!(error.to_string(), "there is no architecture `resnet19`");
    assert!(error.candidates.contains(&"resnet18"));
    for architecture in Architecture::ALL {
        assert_eq!(architecture.name().parse(), Ok(*architecture));
        assert_eq!(serde_json::to_value(architecture).unwrap(), architecture.name());
    }
}
