//! Every network: logits, the gradient of every parameter and the running statistics, in both modes.

use std::collections::HashSet;

use athanor_nn::devices::computes_in_float64;
use athanor_nn::golden::formula::{images, weights};
use athanor_nn::golden::{
    Comparison, CpuComparison, Mode, ModelCase, ModelCases, compare_model, compare_with_cpu, gradient_norms,
};
use athanor_nn::models::{Architecture, ClassifierConfig, Model};
use athanor_nn::weights::{load_state_dict, state_dict};
use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;
use burn::tensor::DType;

use crate::{device, golden, is_gpu};

const CHANNELS: usize = 4;
const CLASSES: usize = 5;

/// Tolerance in training's own precision.
const SINGLE: f64 = 1e-3;
/// The same on a GPU, whose sums are of other parts.
const SINGLE_ON_GPU: f64 = 2e-2;
/// Tolerance of six stored digits.
const DOUBLE: f64 = 2e-5;

/// Compares one network in both modes and both precisions.
///
/// In float32 all gradients must agree with some of the images, and logits and running statistics with all that are
/// tried (see [`compare_model`]).
fn compare(architecture: Architecture) {
    let all = ModelCases::read(&golden("")).unwrap();
    // Another pooling changes nothing but the kernel that pools, and a GPU takes minutes to choose the others.
    let pools = all.of(architecture).map(ModelCase::stem_pool).filter(|pool| pool.is_none() || !is_gpu());
    let pools: HashSet<_> = pools.collect();
    for (pool, mode) in pools.into_iter().flat_map(|pool| [Mode::Eval, Mode::Train].map(|mode| (pool, mode))) {
        let cases: Vec<&ModelCase> = all.of(architecture).filter(|case| case.stem_pool() == pool).collect();
        let differing = |case: &ModelCase, dtype, tolerance| -> Vec<Comparison> {
            let comparisons = compare_model(case, mode, dtype, tolerance, &device());
            comparisons.into_iter().filter(|comparison| !comparison.agrees()).collect()
        };
        if computes_in_float64(&device()) {
            let double = differing(cases[0], DType::F64, DOUBLE);
            assert!(double.is_empty(), "in float64: {double:?}");
        }
        let agrees = |case: &&ModelCase| {
            let single = differing(case, DType::F32, if is_gpu() { SINGLE_ON_GPU } else { SINGLE });
            let others: Vec<_> = single.iter().filter(|one| !one.name.contains(": gradients")).collect();
            assert!(others.is_empty(), "in float32: {others:?}");
            single.is_empty()
        };
        assert!(cases.iter().any(agrees), "{architecture} {mode}: gradients differ in float32");
    }
}

#[test]
fn resnet18_is_torchvisions() {
    compare(Architecture::Resnet18);
}

/// The bias of the last batch norm shifts all features alike, and the batch norm of the head takes that away: what a device computes
/// for its gradient is rounding, which has nothing to be compared with.
#[test]
fn a_gradient_that_is_zero_is_no_more_than_rounding() {
    let all = ModelCases::read(&golden("")).unwrap();
    let case = all.of(Architecture::Resnet18).next().unwrap();
    let norms = gradient_norms(case, DType::F32, &device());
    let largest = norms.values().fold(0.0_f64, |largest, [_, stored]| largest.max(*stored));
    let [ours, stored] = norms["layer4.1.bn2.bias"].map(|norm| norm / largest);
    assert!(stored < 1e-14, "in float64 it is {stored:.1e} of the largest");
    assert!(ours < 1e-5, "in float32 it is {ours:.1e} of the largest");
}

#[test]
fn resnet34_is_torchvisions() {
    compare(Architecture::Resnet34);
}

#[test]
fn resnet50_with_the_metric_head_is_torchvisions() {
    compare(Architecture::Resnet50);
}

#[test]
fn densenet121_is_torchvisions() {
    compare(Architecture::Densenet121);
}

#[test]
fn densenet121_large_is_torchvisions() {
    compare(Architecture::Densenet121Large);
}

#[test]
fn inceptionv3_is_torchvisions() {
    compare(Architecture::InceptionV3);
}

#[test]
fn a_device_that_rounds_as_the_cpu_does_agrees_with_it_and_another_type_nearly_does() {
    let with = |images, tolerance| {
        let request = CpuComparison { architecture: Architecture::Resnet18, side: 32, batch: 2, images, tolerance };
        compare_with_cpu(request, Mode::Eval, &Device::flex())
    };
    assert!(with(DType::F32, 0.0).iter().all(Comparison::agrees), "{:?}", with(DType::F32, 0.0));
    let [none, mixed] = [0.0, 0.2].map(|tolerance| with(DType::BF16, tolerance));
    assert!(!none.iter().any(Comparison::agrees) && mixed.iter().all(Comparison::agrees), "{mixed:?}");
}

#[test]
fn densenet_on_32_pixels_is_that_of_the_cpu() {
    let tolerance = if is_gpu() { SINGLE_ON_GPU } else { 0.0 };
    let architecture = Architecture::Densenet121;
    let request = CpuComparison { architecture, side: 32, batch: 2, images: DType::F32, tolerance };
    let compared = compare_with_cpu(request, Mode::Eval, &device());
    assert!(compared.iter().all(Comparison::agrees), "{compared:?}");
}

/// Makes batch norms use their running statistics, while parameters still get gradients.
struct Still;

impl ModuleMapper for Still {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

/// Asserts that the gradients of a model's parameters are finite, and of float32.
struct FiniteSingles<'a>(&'a GradientsParams);

impl ModuleVisitor for FiniteSingles<'_> {
    fn visit_float<const D: usize>(&mut self, parameter: &Param<Tensor<D>>) {
        let Some(gradient) = self.0.get::<D>(parameter.id) else { return };
        assert_eq!(gradient.dtype(), DType::F32);
        assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));
    }
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
    model.visit(&mut FiniteSingles(&gradients));
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
