//! Convolutions on drivers that nobody has tried: each shape is computed on the CPU too before its results are used.
//!
//! A convolution has several kernels, of which the fastest is chosen on the machine itself, and a driver may get one of them wrong: on a
//! Mac a wrong 1 x 1 convolution was chosen (Burn's issue 5626). A network trains on such results as if nothing were wrong. A shape
//! that agrees is noted beside the kernels of that model and driver, so that it is checked once.

use std::collections::HashSet;
use std::fs;
use std::sync::{Mutex, PoisonError};

use athanor_random::Random;
use burn::prelude::*;
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, FloatDType};

use crate::devices::kernels_folder;
use crate::devices::vulkan::{VulkanGpu, gpu_of};
use crate::kernels::{self, Geometry};

/// Largest difference of a result, as a share of its Euclidean norm: between sums of other parts in float32, which may round factors
/// to eleven bits …
const SINGLE: f32 = 1e-2;
/// … and in bfloat16, which has eight.
const BRAIN: f32 = 5e-2;

/// The convolution by Burn's kernels of the device.
pub(crate) fn convolve(input: Tensor<4>, weight: Tensor<4>, geometry: Geometry) -> Tensor<4> {
    const NO_DILATION: [usize; 2] = [1, 1];
    const ONE_GROUP: usize = 1;
    conv2d(input, weight, None, ConvOptions::new(geometry.stride, geometry.padding, NO_DILATION, ONE_GROUP))
}

/// Checks the convolution of tensors like these, with its gradients if the device has any, unless it was checked before or its
/// driver is known to be good.
///
/// # Panics
/// If a result differs from the CPU's by more than rounding.
pub(crate) fn check(input: &Tensor<4>, weight: &Tensor<4>, geometry: Geometry) {
    let device = input.device();
    let Some(gpu) = gpu_of(&device.clone().without_autodiff()) else { return };
    let shape = Shape { input: input.dims(), weight: weight.dims(), geometry, dtype: input.dtype() };
    let gradients = device.is_autodiff();
    let name = format!("{}{}", shape.file_name(), if gradients { "-gradients" } else { "" });
    static CHECKED: Mutex<Option<HashSet<(u32, String)>>> = Mutex::new(None);
    let mut checked = CHECKED.lock().unwrap_or_else(PoisonError::into_inner);
    if !checked.get_or_insert_default().insert((gpu.index, name.clone())) {
        return;
    }
    drop(checked);
    let note = kernels_folder().map(|folder| folder.join("convolutions").join(name));
    if note.as_ref().is_some_and(|note| note.exists()) {
        return;
    }
    let cpu = if gradients { Device::flex().autodiff() } else { Device::flex() };
    let found = shape.results(&device, FloatDType::from(shape.dtype), gradients);
    let expected = shape.results(&cpu, FloatDType::F32, gradients);
    if let Err(wrong) = shape.compare(&gpu, &found, &expected) {
        panic!("{wrong}");
    }
    if let Some(note) = note {
        // What cannot be noted is checked again.
        let _ = note.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::File::create(&note));
    }
}

/// A convolution's shape.
#[derive(Debug, Clone, Copy)]
struct Shape {
    input: [usize; 4],
    weight: [usize; 4],
    geometry: Geometry,
    dtype: DType,
}

impl Shape {
    fn file_name(&self) -> String {
        let join = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        let Geometry { stride, padding } = self.geometry;
        let [input, weight] = [join(&self.input), join(&self.weight)];
        format!("{input}-by-{weight}-stride-{}-padding-{}-{:?}", join(&stride), join(&padding), self.dtype)
    }

    /// Compares results in the order of [`Shape::results`]; fails with the sentence about the first that differs.
    fn compare(&self, gpu: &VulkanGpu, found: &[Vec<f32>], expected: &[Vec<f32>]) -> Result<(), String> {
        let tolerance = if self.dtype == DType::BF16 { BRAIN } else { SINGLE };
        let names = ["the result", "the gradient of the images", "the gradient of the weights"];
        for ((name, found), expected) in names.into_iter().zip(found).zip(expected) {
            let share = difference(found, expected);
            // NaN is no agreement.
            if share <= tolerance {
                continue;
            }
            let Shape { input, weight, geometry: Geometry { stride, padding }, dtype } = self;
            return Err(format!(
                "Vulkan computes a convolution wrongly on {} with the driver {}: of images {input:?} with weights {weight:?} (stride \
                 {stride:?}, padding {padding:?}, {dtype:?}), {name} differs from the CPU's by {share:.1e} of its norm, where \
                 {tolerance:.0e} is rounding",
                gpu.name, gpu.driver
            ));
        }
        Ok(())
    }

    /// The result and, if they are asked for, the gradients of its product with other numbers.
    fn results(&self, device: &Device, dtype: FloatDType, gradients: bool) -> Vec<Vec<f32>> {
        let tensor = |shape: [usize; 4], seed: u64| numbers(shape, seed, device).cast(dtype);
        let read = |tensor: Tensor<4>| -> Vec<f32> {
            tensor.cast(FloatDType::F32).into_data().try_into_vec().expect("the numbers were just made float32")
        };
        let (input, weight) = (tensor(self.input, 1), tensor(self.weight, 2));
        if !gradients {
            return vec![read(self.convolve(input, weight))];
        }
        let (input, weight) = (input.require_grad(), weight.require_grad());
        let output = self.convolve(input.clone(), weight.clone());
        let factors = tensor(output.dims(), 3);
        let gradients = (output.clone() * factors).sum().backward();
        let of = |tensor: &Tensor<4>| read(tensor.grad(&gradients).expect("both have part in the result"));
        vec![read(output.inner()), of(&input), of(&weight)]
    }

    fn convolve(&self, input: Tensor<4>, weight: Tensor<4>) -> Tensor<4> {
        if kernels::supports(&input) {
            return kernels::convolve(input, weight, self.geometry);
        }
        convolve(input, weight, self.geometry)
    }
}

/// Numbers in [-1, 1], the same on every device.
fn numbers(shape: [usize; 4], seed: u64, device: &Device) -> Tensor<4> {
    let mut random = Random::new(seed);
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|_| random.signed()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Euclidean norm of the difference, as a share of that of `expected`.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    if found.len() != expected.len() {
        return f32::INFINITY;
    }
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    let difference = norm(&mut found.iter().zip(expected).map(|(found, expected)| found - expected));
    (difference / norm(&mut expected.iter().copied()).max(f64::MIN_POSITIVE)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        input: [2, 3, 6, 5],
        weight: [4, 3, 3, 3],
        geometry: Geometry { stride: [2, 2], padding: [1, 1] },
        dtype: DType::F32,
    };

    fn gpu() -> VulkanGpu {
        let (name, driver) = ("Model".to_owned(), "driver 1.2".to_owned());
        VulkanGpu { index: 0, name, driver, memory: 1 << 30, is_software: false }
    }

    #[test]
    fn a_wrong_gradient_is_told_of_with_shape_and_driver() {
        let cpu = Device::flex().autodiff();
        let expected = SHAPE.results(&cpu, FloatDType::F32, true);
        assert_eq!(expected.iter().map(Vec::len).collect::<Vec<_>>(), [2 * 4 * 3 * 3, 2 * 3 * 6 * 5, 4 * 3 * 3 * 3]);
        // Burn's own kernels, beside ours.
        let mut found = SHAPE.results(&cpu, FloatDType::F64, true);
        assert_eq!(SHAPE.compare(&gpu(), &found, &expected), Ok(()));
        found[1].rotate_left(1);
        let wrong = SHAPE.compare(&gpu(), &found, &expected).unwrap_err();
        for piece in
            ["Model with the driver driver 1.2", "[2, 3, 6, 5] with weights [4, 3, 3, 3]", "the gradient of the images"]
        {
            assert!(wrong.contains(piece), "{piece}: {wrong}");
        }
    }

    #[test]
    fn what_is_no_number_or_missing_does_not_agree() {
        let expected = vec![vec![1.0, 2.0]];
        for found in [vec![1.0, f32::NAN], vec![1.0], vec![1.0, 2.1]] {
            assert!(SHAPE.compare(&gpu(), &[found], &expected).is_err());
        }
        assert_eq!(SHAPE.compare(&gpu(), &[vec![1.0, 2.001]], &expected), Ok(()));
    }

    #[test]
    fn shapes_have_names_of_their_own() {
        assert_eq!(SHAPE.file_name(), "2x3x6x5-by-4x3x3x3-stride-2x2-padding-1x1-F32");
    }
}
