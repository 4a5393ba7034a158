//! Adam after clipping, step by step.

use athanor_nn::optim::{adam, clip_gradient_norm};
use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::prelude::*;

use crate::formula::{data, golden_json, tensor};

const TOLERANCE: f64 = 1e-5;

#[derive(Module, Debug)]
struct Parameters {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

fn close(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= TOLERANCE * theirs.abs().max(1e-2)
}

#[test]
fn adam_with_clipped_gradients_is_pytorchs() {
    let device = Device::flex().autodiff();
    let plain = Device::flex();
    let mut model = Parameters {
        weight: Param::from_tensor(tensor("weight", [3, 4], &device)),
        bias: Param::from_tensor(tensor("bias", [3], &device)),
    };
    let mut optimiser = adam();
    for (number, step) in golden_json("learn-optim.json").as_array().unwrap().iter().enumerate() {
        let scale = step["scale"].as_f64().unwrap();
        let gradient = |name: &str, shape: &[usize]| data(&format!("{name}/{number}"), shape, scale, 0.0);
        let mut gradients = GradientsParams::new();
        gradients.register(model.weight.id, Tensor::<2>::from_data(gradient("weight", &[3, 4]), &plain));
        gradients.register(model.bias.id, Tensor::<1>::from_data(gradient("bias", &[3]), &plain));
        let norm = clip_gradient_norm(&model, &mut gradients, 1.0).unwrap();
        let (norm, stored) = (f64::from(norm.into_scalar::<f32>()), step["norm"].as_f64().unwrap());
        assert!((norm - stored).abs() <= TOLERANCE * stored, "step {number}: norm {norm} is not {stored}");
        let rate: f64 = step["rate"].as_f64().unwrap();
        model = optimiser.step(rate, model, gradients);
        for (name, values) in [("weight", model.weight.to_data()), ("bias", model.bias.to_data())] {
            let stored: Vec<f64> = serde_json::from_value(step["after"][name].clone()).unwrap();
            for (ours, theirs) in values.iter::<f64>().zip(stored) {
                assert!(close(ours, theirs), "step {number}: {name} {ours} is not {theirs}");
            }
        }
    }
}

#[test]
fn there_is_no_norm_without_gradients() {
    let device = Device::flex().autodiff();
    let model = Parameters {
        weight: Param::from_tensor(tensor("weight", [3, 4], &device)),
        bias: Param::from_tensor(tensor("bias", [3], &device)),
    };
    assert!(clip_gradient_norm(&model, &mut GradientsParams::new(), 1.0).is_none());
}
