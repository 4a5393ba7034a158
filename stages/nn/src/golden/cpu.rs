//! A network on a device beside the same on the CPU in float32.

use burn::prelude::*;
use burn::tensor::DType;

use super::comparison::Comparison;
use super::network::{Images, Mode, Network, Pass, Types, pass};
use crate::models::Architecture;

/// Gradients smaller than this share of all are compared with the share.
const NEGLIGIBLE: f64 = 1e-3;

/// Images, and the type that they are of on the device.
#[derive(Debug, Clone, Copy)]
pub struct CpuComparison {
    /// The network.
    pub architecture: Architecture,
    /// Rows and columns of the images.
    pub side: usize,
    /// Number of images.
    pub batch: usize,
    /// Type of the images on the device; parameters are float32.
    pub images: DType,
    /// Tolerance for logits and for the gradients together.
    pub tolerance: f64,
}

/// Compares logits, all gradients together, and the gradient that differs most, each by the norm of the difference.
///
/// A single gradient may differ by more than all together: rounding moves values across kinks. It is held to ten times
/// the tolerance.
pub fn compare_with_cpu(request: CpuComparison, mode: Mode, device: &Device) -> Vec<Comparison> {
    const OF_ONE: f64 = 10.0;
    let CpuComparison { architecture, side, batch, images, tolerance } = request;
    let of = Images { noise: "images", batch, side };
    let run = |images: DType, device: &Device| {
        let types = Types { parameters: DType::F32, images };
        pass(Network { architecture, stem_pool: None }, of, mode, types, device)
    };
    let cpu = run(DType::F32, &Device::flex());
    let other = run(images, device);
    let comparison = |what: &str, difference, tolerance| {
        let name = format!("{architecture}, {side} px, {images:?}, {mode}: {what}");
        Comparison { name, difference, tolerance }
    };
    let [difference, size] = norms(other.logits.iter().copied(), cpu.logits.iter().copied());
    let (all, worst, name) = gradients(&other, &cpu);
    vec![
        comparison("logits", difference / size, tolerance),
        comparison("all gradients", all, tolerance),
        comparison(&format!("gradient of {name}"), worst, OF_ONE * tolerance),
    ]
}

/// The relative difference of all gradients together, that of the one that differs most, and its name.
fn gradients(ours: &Pass, theirs: &Pass) -> (f64, f64, String) {
    let pairs = theirs.gradients.iter().map(|(name, theirs)| {
        let [difference, size] = match ours.gradients.get(name) {
            Some(ours) => norms(ours.iter(), theirs.iter()),
            None => [f64::NAN, 0.0],
        };
        (name, difference, size)
    });
    let pairs: Vec<(&String, f64, f64)> = pairs.collect();
    let norm = |of: fn(&(&String, f64, f64)) -> f64| pairs.iter().map(of).map(|norm| norm * norm).sum::<f64>().sqrt();
    let [difference, size] = [norm(|pair| pair.1), norm(|pair| pair.2)];
    let of_one = pairs.iter().map(|(name, difference, own)| (difference / own.max(NEGLIGIBLE * size), *name));
    let worst = of_one.max_by(|a, b| a.0.total_cmp(&b.0));
    let (worst, name) = worst.map_or((f64::NAN, "nothing".to_owned()), |(worst, name)| (worst, name.clone()));
    (difference / size, worst, name)
}

/// Norms of the difference, and of the second.
fn norms(ours: impl Iterator<Item = f64>, theirs: impl Iterator<Item = f64>) -> [f64; 2] {
    let mut squares = [0.0, 0.0];
    for (ours, theirs) in ours.zip(theirs) {
        squares[0] += (ours - theirs) * (ours - theirs);
        squares[1] += theirs * theirs;
    }
    squares.map(f64::sqrt)
}
