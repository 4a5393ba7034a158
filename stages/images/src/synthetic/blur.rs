//! The blur of the lens.

use super::plane::Plane;

/// Below this many pixels a blur would change nothing that can be seen.
const LEAST_SPREAD: f32 = 0.3;
/// Spreads after which the kernel ends.
const REACH: f32 = 3.0;

/// Blurs by a bell of standard deviation `spread`, in pixels.
pub(crate) fn blur(plane: &mut Plane, spread: f32) {
    if spread < LEAST_SPREAD {
        return;
    }
    let kernel = bell(spread);
    let side = plane.side;
    let reach = kernel.len() / 2;
    let mut padded = vec![0.0; side + 2 * reach];
    let mut across = vec![0.0; side * side];
    for (source, target) in plane.light.chunks_exact(side).zip(across.chunks_exact_mut(side)) {
        padded[..reach].fill(source[0]);
        padded[reach..reach + side].copy_from_slice(source);
        padded[reach + side..].fill(source[side - 1]);
        for (tap, weight) in kernel.iter().enumerate() {
            accumulate(target, &padded[tap..tap + side], *weight);
        }
    }
    for (row, target) in plane.light.chunks_exact_mut(side).enumerate() {
        target.fill(0.0);
        for (tap, weight) in kernel.iter().enumerate() {
            let from = (row + tap).saturating_sub(reach).min(side - 1);
            accumulate(target, &across[from * side..][..side], *weight);
        }
    }
}

fn accumulate(target: &mut [f32], source: &[f32], weight: f32) {
    target.iter_mut().zip(source).for_each(|(target, source)| *target += weight * source);
}

/// Weights of a bell that sum to 1; (1 - x^2/n)^n stands for the exponential, which is not the same on every machine.
fn bell(spread: f32) -> Vec<f32> {
    let reach = (REACH * spread).max(1.0) as i32;
    let weight = |tap: i32| {
        let square = (tap * tap) as f32 / (2.0 * spread * spread);
        let rest = (1.0 - square / 8.0).max(0.0);
        let power = rest * rest * rest * rest;
        power * power
    };
    let weights: Vec<f32> = (-reach..=reach).map(weight).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}
