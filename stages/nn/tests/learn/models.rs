//! Every network: logits, the gradient of every parameter and the running statistics, in both modes.

use std::collections::BTreeSet;

use athanor_nn::models::{Architecture, ClassifierConfig, MetricConfig, Model};
use athanor_nn::weights::{StateDict, load_state_dict, state_dict};
use burn::module::{Flag, Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::DType;
use serde_json::Value;

use crate::formula::{Summary, golden_json, images, tensor, weights};

const CHANNELS: usize = 4;
const CLASSES: usize = 5;
const IDENTITIES: usize = 7;

/// A type to compute in, and the relative difference allowed in it.
struct Precision {
    kind: DType,
    tolerance: f64,
}

/// Tolerance in training's own precision.
const SINGLE: Precision = Precision { kind: DType::F32, tolerance: 1e-3 };
/// Tolerance of six stored digits.
const DOUBLE: Precision = Precision { kind: DType::F64, tolerance: 2e-5 };

/// Gradients smaller than this share of the largest, some of which are zero but for rounding, are compared with the
/// share.
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

/// Casts parameters and running statistics.
struct InKind(DType);

impl ModuleMapper for InKind {
    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        parameter.map(|values| values.cast(self.0))
    }
}

/// Compares one network in both modes and both precisions.
///
/// In float32, rounding can move a value across the kink of a ReLU or to another maximum, which changes gradients by up
/// to some percents; in which images it does depends on the processor. So all gradients must agree with some of the
/// images, and logits and running statistics with all that are tried. In float64 nothing comes near a kink.
fn compare<M: Model>(model: M, forward: impl Fn(&M, Tensor<4>) -> Tensor<2>) {
    let architecture = model.architecture();
    let weights = weights(&state_dict(&model, architecture));
    let cases = cases(architecture);
    for mode in ["eval", "train"] {
        let agrees = |case: &Value, precision: &Precision| {
            let model = load_state_dict(model.clone(), architecture, weights.clone()).unwrap();
            let model = model.map(&mut InKind(precision.kind)).train();
            let model = if mode == "eval" { model.map(&mut Still) } else { model };
            let (worst, difference) = worst_gradient(&model, &forward, case, mode, precision);
            println!("{architecture} {mode} {:?}: worst gradient {worst}, {difference:.1e}", precision.kind);
            difference < precision.tolerance
        };
        assert!(agrees(&cases[0], &DOUBLE), "{architecture} {mode}: gradients differ in float64");
        assert!(cases.iter().any(|case| agrees(case, &SINGLE)), "{architecture} {mode}: gradients differ in float32");
    }
}

/// The parameter whose gradient differs most, and by how much.
fn worst_gradient<M: Model>(
    model: &M,
    forward: impl Fn(&M, Tensor<4>) -> Tensor<2>,
    case: &Value,
    mode: &str,
    precision: &Precision,
) -> (String, f64) {
    let device = Device::flex().autodiff();
    let [side, batch] = ["size", "batch"].map(|key| case[key].as_u64().unwrap() as usize);
    let images = images(case["noise"].as_str().unwrap(), [batch, CHANNELS, side, side], &device);
    let logits = forward(model, images.cast(precision.kind));
    let direction = tensor("direction", logits.dims(), &device).cast(precision.kind);
    let gradients = GradientsParams::from_grads((logits.clone() * direction).sum().backward(), model);
    check_logits(logits, &case[mode]["logits"], precision);
    if mode == "train" {
        check_running_statistics(model, case, precision);
    }

    let gradients = gradients_by_name(model, &gradients);
    let stored = case[mode]["gradients"].as_object().unwrap();
    assert_eq!(gradients.keys().collect::<BTreeSet<_>>(), stored.keys().collect::<BTreeSet<_>>());
    let largest = stored.values().map(|stored| stored[0].as_f64().unwrap()).fold(0.0, f64::max);
    let differences = gradients.into_iter().map(|(name, values)| {
        let ours = Summary::of(&name, &values);
        let difference = ours.difference(&stored[&name], NEGLIGIBLE * largest);
        (name, difference)
    });
    differences.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
}

fn check_logits(logits: Tensor<2>, stored: &Value, precision: &Precision) {
    let stored: Vec<f64> = serde_json::from_value(stored.clone()).unwrap();
    let largest = stored.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    for (ours, theirs) in logits.into_data().iter::<f64>().zip(stored) {
        assert!((ours - theirs).abs() < precision.tolerance * largest, "logit {ours} is not {theirs}");
    }
}

fn check_running_statistics<M: Model>(model: &M, case: &Value, precision: &Precision) {
    let state = state_dict(model, model.architecture());
    for (name, stored) in case["running"].as_object().unwrap() {
        let difference = Summary::of(name, &state[name]).difference(stored, 0.0);
        assert!(difference < precision.tolerance, "{name}: {difference}");
    }
}

fn compare_classifier(architecture: Architecture) {
    let config = ClassifierConfig { dropout: 0.0, ..ClassifierConfig::new(architecture, CHANNELS, CLASSES) };
    compare(config.init(&Device::flex()), |model, images| model.forward(images));
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
    compare(config.init(&Device::flex()), |model, images| model.cosines(model.features(images)));
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
fn images_in_bfloat16_make_mixed_precision() {
    let device = Device::flex().autodiff();
    let config = ClassifierConfig { dropout: 0.0, ..ClassifierConfig::new(Architecture::Resnet18, CHANNELS, CLASSES) };
    let model = config.init(&device);
    let model =
        load_state_dict(model.clone(), model.architecture(), weights(&state_dict(&model, model.architecture())));
    let model = model.unwrap().map(&mut Still);
    let images = images("images", [2, CHANNELS, 64, 64], &device).cast(DType::F32);
    let single: Vec<f32> = model.forward(images.clone()).into_data().try_into_vec().unwrap();
    let logits = model.forward(images.cast(DType::BF16));
    assert_eq!(logits.dtype(), DType::F32);
    let gradients = GradientsParams::from_grads(logits.clone().sum().backward(), &model);
    for (name, gradient) in gradients_by_name(&model, &gradients) {
        assert_eq!(gradient.dtype(), DType::F32, "{name}");
        assert!(gradient.iter::<f32>().all(f32::is_finite), "{name}");
    }
    let largest = single.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    for (mixed, single) in logits.into_data().iter::<f32>().zip(single) {
        assert!((mixed - single).abs() < 0.05 * largest, "{mixed} is far from {single}");
    }
}

#[test]
fn a_frozen_backbone_learns_nothing_and_keeps_its_statistics() {
    let device = Device::flex().autodiff();
    let model = ClassifierConfig::new(Architecture::Resnet18, CHANNELS, CLASSES).init(&device);
    let frozen = model.backbone().clone().freeze();
    let model = model.with_backbone(frozen);
    let before = state_dict(&model, model.architecture());
    let loss = model.forward(images("images", [2, CHANNELS, 64, 64], &device).cast(DType::F32)).sum();
    let gradients = GradientsParams::from_grads(loss.backward(), &model);
    let head: Vec<&String> = before.keys().filter(|name| name.starts_with("head.")).collect();
    let statistics = head.iter().filter(|name| name.contains("running_")).count();
    assert_eq!(gradients.len(), head.len() - statistics);
    for (name, after) in state_dict(&model, model.architecture()) {
        assert_eq!(after == before[&name], !name.starts_with("head.") || !name.contains("running_"), "{name}");
    }
}

#[test]
fn each_network_takes_the_smallest_image_it_promises() {
    for architecture in Architecture::ALL {
        let network = architecture.init(1, &Device::flex());
        let side = architecture.smallest_image();
        let maps = network.forward(Tensor::ones([1, 1, side, side], &Device::flex()));
        assert_eq!(maps.dims(), [1, architecture.width(), 1, 1], "{architecture}");
    }
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
