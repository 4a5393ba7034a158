//! Smooth random fields over the picture: cubic B-splines over a lattice of random values.

use super::point::Point;
use athanor_random::Random;

/// Brings the field's values to about -1..1; the spline averages neighbours.
const CONTRAST: f32 = 2.2;
/// Lattice points that a value depends on, along each axis.
const TAPS: usize = 4;

/// A smooth random field, the same at every resolution.
pub(crate) struct Noise {
    points: usize,
    lattice: Vec<f32>,
    waves: f32,
}

impl Noise {
    /// A field with about `waves` hills along a side.
    pub(crate) fn new(waves: usize, random: &mut Random) -> Noise {
        let points = waves + TAPS;
        let lattice = (0..points * points).map(|_| CONTRAST * random.signed()).collect();
        Noise { points, lattice, waves: waves as f32 }
    }

    /// The field at a point; of the nearest one in the picture, for points beyond it.
    pub(crate) fn at(&self, point: Point) -> f32 {
        let along = |position: f32| spline(position.clamp(0.0, 1.0) * self.waves * 0.9999);
        let ((column, across), (row, down)) = (along(point.x), along(point.y));
        let lines = [0, 1, 2, 3].map(|tap| {
            let first = (row + tap) * self.points + column;
            blend(&self.lattice[first..first + TAPS], &across)
        });
        blend(&lines, &down)
    }

    /// The field at the centres of `side` x `side` pixels.
    pub(crate) fn raster(&self, side: usize) -> Vec<f32> {
        let weights: Vec<(usize, [f32; TAPS])> =
            (0..side).map(|pixel| spline((pixel as f32 + 0.5) / side as f32 * self.waves)).collect();
        let mut stretched = vec![0.0; self.points * side];
        for (source, target) in self.lattice.chunks_exact(self.points).zip(stretched.chunks_exact_mut(side)) {
            for (value, (first, weights)) in target.iter_mut().zip(&weights) {
                *value = blend(&source[*first..first + TAPS], weights);
            }
        }
        let mut field = vec![0.0; side * side];
        for (row, (first, weights)) in field.chunks_exact_mut(side).zip(&weights) {
            for (tap, weight) in weights.iter().enumerate() {
                let source = &stretched[(first + tap) * side..][..side];
                row.iter_mut().zip(source).for_each(|(value, source)| *value += weight * source);
            }
        }
        field
    }
}

fn blend(values: &[f32], weights: &[f32; TAPS]) -> f32 {
    values[0] * weights[0] + values[1] * weights[1] + values[2] * weights[2] + values[3] * weights[3]
}

/// The first lattice point that counts at `position`, and the weights from there on.
fn spline(position: f32) -> (usize, [f32; TAPS]) {
    let first = position as usize;
    let t = position - first as f32;
    let rest = 1.0 - t;
    let weights = [
        rest * rest * rest / 6.0,
        (3.0 * t * t * t - 6.0 * t * t + 4.0) / 6.0,
        (3.0 * rest * rest * rest - 6.0 * rest * rest + 4.0) / 6.0,
        t * t * t / 6.0,
    ];
    (first, weights)
}
