//! The numbers that both sides compute alike, rather than store.

use athanor_random::SplitMix64;
use burn::prelude::*;
use burn::tensor::DType;

use crate::weights::StateDict;

/// Entries of a gradient that are compared one by one.
const SAMPLES: usize = 5;

/// Numbers in [-1, 1) that depend on `name` alone: FNV-1a of the name, then SplitMix64.
pub fn unit(name: &str, count: usize) -> impl Iterator<Item = f64> + use<> {
    let seed = name
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |seed, byte| (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let mut generator = SplitMix64::new(seed);
    (0..count).map(move |_| (generator.bits() >> 40) as f64 / f64::from(1 << 23) - 1.0)
}

/// The named numbers, scaled and shifted.
pub fn data(name: &str, shape: &[usize], scale: f64, offset: f64) -> TensorData {
    let count = shape.iter().product();
    let values: Vec<f32> = unit(name, count).map(|value| (value * scale + offset) as f32).collect();
    TensorData::new(values, shape.to_vec())
}

/// The named numbers as a tensor.
pub fn tensor<const D: usize>(name: &str, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(data(name, &shape, 1.0, 0.0), device)
}

/// Noise around a different brightness in each image and channel.
pub fn images(noise: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let [batch, channels, _, _] = shape;
    let noise = tensor(noise, shape, device).cast(DType::F64);
    noise * 0.5 + tensor("brightness", [batch, channels, 1, 1], device).cast(DType::F64)
}

/// Parameters and running statistics of the right size for their places.
pub fn weights(like: &StateDict) -> StateDict {
    let weight = |name: &String, old: &TensorData| {
        let shape = old.shape().as_slice();
        let fan_in = shape[1..].iter().product::<usize>() as f64;
        let (scale, offset) = match name.rsplit('.').next() {
            _ if shape.len() > 1 => ((6.0 / fan_in).sqrt(), 0.0),
            Some("weight") => (0.1, 0.4),
            Some("bias") => (0.25, 1.0),
            Some("running_mean") => (0.25, 0.0),
            Some("running_var") => (0.25, 1.0),
            _ => panic!("no rule for {name}"),
        };
        data(name, shape, scale, offset)
    };
    like.iter().map(|(name, old)| (name.clone(), weight(name, old))).collect()
}

/// Summary of a tensor: its norm, its projection, and a few entries.
pub struct Summary {
    count: usize,
    norm: f64,
    projection: f64,
    entries: Vec<f64>,
}

impl Summary {
    /// That of the named tensor.
    pub fn of(name: &str, values: &TensorData) -> Summary {
        let values: Vec<f64> = values.iter().collect();
        let samples = unit(&format!("{name}/samples"), SAMPLES);
        let indices = samples.map(|value| ((value + 1.0) / 2.0 * values.len() as f64) as usize);
        let projection = unit(&format!("{name}/projection"), values.len());
        Summary {
            count: values.len(),
            norm: values.iter().map(|value| value * value).sum::<f64>().sqrt(),
            projection: values.iter().zip(projection).map(|(value, by)| value * by).sum(),
            entries: indices.map(|index| values[index]).collect(),
        }
    }

    /// An estimate of the relative difference from the stored tensor: the norm of the difference by that of the tensor.
    ///
    /// It is the root mean square of how much the norm, the projection and the entries differ, each by its usual size.
    /// `floor` is a norm below which differences do not matter. NaN if the stored one is not a norm, a projection and
    /// entries.
    pub fn difference(&self, stored: &[f64], floor: f64) -> f64 {
        let [norm, projection, entries @ ..] = stored else { return f64::NAN };
        let size = norm.max(floor);
        let usual_projection = size / 3.0_f64.sqrt();
        let usual_entry = size / (self.count as f64).sqrt();
        let of_whole = [(self.norm - norm) / size, (self.projection - projection) / usual_projection];
        let of_entries = self.entries.iter().zip(entries).map(|(ours, theirs)| (ours - theirs) / usual_entry);
        let squares: Vec<f64> = of_entries.chain(of_whole).map(|difference| difference * difference).collect();
        (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
    }
}
