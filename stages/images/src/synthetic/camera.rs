//! From light to grey levels: lens, lamp, detector.

use super::blur::blur;
use super::plane::Plane;
use athanor_random::Random;

/// Blur of the lens, in picture sides.
const LENS: f32 = 0.0019;
/// Light is collected on a finer grid where a picture has fewer pixels than this a side.
const COARSE: usize = 256;
/// Noise of the detector in a picture of `REFERENCE` pixels a side; smaller pictures are means of several of its
/// pixels.
const READ_NOISE: f32 = 0.009;
/// Noise of the light itself, at full scale.
const SHOT_NOISE: f32 = 0.045;
/// See [`READ_NOISE`].
const REFERENCE: f32 = 512.0;
/// Light that counts as darkness.
const BLACK: f32 = 0.012;

/// Pixels a side of the planes on which a picture of `side` pixels is drawn.
pub(crate) fn drawing_side(side: usize) -> usize {
    if side < COARSE { 2 * side } else { side }
}

/// One exposure: how the lamp shines on the picture.
#[derive(Debug, Clone)]
pub(crate) struct Exposure {
    slope: (f32, f32),
    falloff: f32,
    gain: f32,
    noise: Random,
}

impl Exposure {
    /// The exposure of one channel: the lamp's unevenness belongs to the scene, its brightness and the noise to the
    /// shot.
    pub(crate) fn new(lamp: &mut Random, gain: f32, noise: Random) -> Exposure {
        let slope = (0.25 * lamp.signed(), 0.25 * lamp.signed());
        Exposure { slope, falloff: lamp.between(0.1, 0.5), gain, noise }
    }

    /// The picture of `side` x `side` pixels that develops from `light`.
    pub(crate) fn develop(mut self, mut light: Plane, side: usize) -> Vec<u8> {
        let spread = LENS * light.side as f32;
        blur(&mut light, spread);
        let light = if light.side == side { light } else { light.halved() };
        let coarseness = (side as f32 / REFERENCE).min(1.0);
        let (read, shot) = (READ_NOISE * coarseness, SHOT_NOISE * coarseness);
        let mut picture = Vec::with_capacity(side * side);
        for (row, line) in light.light.chunks_exact(side).enumerate() {
            let y = (row as f32 + 0.5) / side as f32 - 0.5;
            for (column, light) in line.iter().enumerate() {
                let x = (column as f32 + 0.5) / side as f32 - 0.5;
                let lamp = 1.0 + self.slope.0 * x + self.slope.1 * y - self.falloff * (x * x + y * y);
                let signal = light * lamp * self.gain;
                let noise = (read * read + shot * shot * signal).sqrt() * bell(self.noise.bits());
                picture.push(((signal + noise - BLACK) * 255.0 + 0.5) as u8);
            }
        }
        picture
    }
}

/// A number of mean 0, variance 1 and nearly normal distribution, from random bits.
fn bell(bits: u64) -> f32 {
    /// Standard deviation of the sum of four uniform 16-bit numbers.
    const SPREAD: f32 = 37_837.2;
    let sum = (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    (sum as f32 - 131_070.0) / SPREAD
}
