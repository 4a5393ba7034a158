//! The gradient of the kernels: inner products, over all pixels of all images, of the result's gradient and the input.

use std::cell::RefCell;

use rayon::prelude::*;

use super::Convolution;
use super::columns::{Grid, LANES, Places, Planes, Segment, Tap};
use super::product::{self, ChannelPlanes, LinePairs, Lines, SIDE, SumRows};
use super::taps::{Phases, Source};
use crate::memory::SharedMut;

/// Pixels whose products are summed up in registers.
const PIXELS: usize = 1024;
/// Numbers from one line of packed pixels to the next; no power of two, so that lines do not fight for the same cache.
const LINE: usize = PIXELS + LANES;
/// Lines of the input that are packed at once, about.
const DEPTH: usize = 96;

thread_local! {
    /// Packed pixels of the input and of the gradient.
    static PACKED: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// The gradient of the kernels, given the input and the result's gradient.
pub fn kernel_gradient(convolution: &Convolution, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    crate::assert_available();
    assert_eq!(input.len(), convolution.input_length(), "the input's length");
    assert_eq!(gradient.len(), convolution.output_length(), "the gradient's length");
    let Convolution { batch, channels_in, channels_out, .. } = *convolution;
    let (phases, grid) = (Phases::of(convolution, input), Grid { images: batch, size: convolution.size_out() });
    let source = phases.source();
    let taps = source.taps.len();
    let planes = Planes { count: channels_out, size: grid.size };
    let mut kernels = vec![0.0; convolution.kernel_length()];
    let task = KernelGradient { source, gradient, planes, grid, kernels: SharedMut::of(&mut kernels) };
    // Each piece has channels of its own, so that how many there are changes no sum.
    let threads = rayon::current_num_threads();
    let at_once = (DEPTH / taps).max(1);
    let pieces = channels_in.div_ceil(at_once).next_multiple_of(threads);
    let at_once = channels_in.div_ceil(pieces);
    (0..channels_in.div_ceil(at_once)).into_par_iter().for_each(|piece| {
        let channels = piece * at_once..channels_in.min((piece + 1) * at_once);
        PACKED.with_borrow_mut(|packed| task.multiply(&channels, packed));
    });
    kernels
}

struct KernelGradient<'a> {
    source: Source<'a>,
    gradient: &'a [f32],
    /// Of the gradient.
    planes: Planes,
    grid: Grid,
    kernels: SharedMut<'a>,
}

impl KernelGradient<'_> {
    /// The gradient of the kernels on some of the input's channels.
    fn multiply(&self, channels: &std::ops::Range<usize>, [input, gradient]: &mut [Vec<f32>; 2]) {
        let taps = self.source.taps.len();
        input.resize((channels.len() * taps * LINE).max(input.len()), 0.0);
        gradient.resize((self.planes.count * LINE).max(gradient.len()), 0.0);
        let (mut segments, mut places) = (Vec::new(), Places::default());
        for first in (0..self.grid.pixels()).step_by(PIXELS) {
            let count = PIXELS.min(self.grid.pixels() - first);
            let vectors = count.div_ceil(LANES);
            self.grid.segments(first, count, &mut segments);
            self.pack(channels, &segments, vectors, &mut places, input);
            self.pack_gradient(&segments, vectors, &mut places, gradient);
            self.products(channels, vectors, gradient, input);
        }
    }

    fn pack(
        &self,
        channels: &std::ops::Range<usize>,
        segments: &[Segment],
        vectors: usize,
        places: &mut Places,
        packed: &mut [f32],
    ) {
        self.source.locate(segments, vectors * LANES, places);
        let stride = self.source.stride();
        let base = self.source.pixels[channels.start * stride..].as_ptr();
        let pixels = ChannelPlanes { base, count: channels.len(), stride };
        let to = Lines { base: packed.as_mut_ptr(), stride: LINE, vectors };
        // SAFETY: The places lie in the source, and the lines in `packed`, which was made large enough.
        unsafe { product::pack(to, pixels, places) };
    }

    fn pack_gradient(&self, segments: &[Segment], vectors: usize, places: &mut Places, packed: &mut [f32]) {
        places.clear();
        self.planes.locate(segments, vectors * LANES, Tap::NONE, places);
        let base = self.gradient.as_ptr();
        let from = ChannelPlanes { base, count: self.planes.count, stride: self.planes.area() };
        let to = Lines { base: packed.as_mut_ptr(), stride: LINE, vectors };
        // SAFETY: As above.
        unsafe { product::pack(to, from, places) };
    }

    /// Adds the products of all lines of the gradient and of the input.
    fn products(&self, channels: &std::ops::Range<usize>, vectors: usize, gradient: &[f32], input: &[f32]) {
        let taps = self.source.taps.len();
        let row = self.source.planes.count / self.source.planes_a_channel * taps;
        let (lines, outs) = (channels.len() * taps, self.planes.count);
        let sums = |out: usize, line: usize| self.kernels.at(out * row + channels.start * taps + line);
        let packed = |out: usize, line: usize| {
            let (left, right) = (gradient[out * LINE..].as_ptr(), input[line * LINE..].as_ptr());
            LinePairs { left, right, stride: LINE, vectors }
        };
        let [whole_lines, whole_outs] = [lines, outs].map(|count| count / SIDE * SIDE);
        // SAFETY: Lines are within what was packed, sums within the kernels, and no other thread has these channels.
        unsafe {
            for line in (0..whole_lines).step_by(SIDE) {
                for out in (0..whole_outs).step_by(SIDE) {
                    let sums = SumRows { base: sums(out, line), stride: row };
                    product::inner_products(packed(out, line), sums);
                }
            }
            for line in 0..lines {
                for out in if line < whole_lines { whole_outs } else { 0 }..outs {
                    product::inner_product(packed(out, line), sums(out, line));
                }
            }
        }
    }
}
