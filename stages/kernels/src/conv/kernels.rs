//! The gradient of the kernels: inner products, over all pixels of all images, of the result's gradient and the input.

use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::Convolution;
use super::columns::{Grid, Places, Planes, Segment, Tap};
use super::product::{ChannelPlanes, InnerProduct, InnerProducts, LinePairs, Lines, Pack, SIDE, SumRows};
use super::taps::{Phases, Source};
use crate::memory::{SharedMut, aligned};
use crate::simd::{InstructionSet, Simd, dispatch};

/// Lines of the input that are packed at once, about.
const DEPTH: usize = 96;

/// Numbers from one line of packed pixels to the next; no power of two, so that lines do not fight for the same cache.
const fn line_length<S: Simd>() -> usize {
    S::PIXELS + S::LANES
}

thread_local! {
    /// Packed pixels of the input and of the gradient.
    static PACKED: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// The gradient of the kernels, given the input and the result's gradient.
pub fn kernel_gradient(set: InstructionSet, convolution: &Convolution, input: &[f32], gradient: &[f32]) -> Vec<f32> {
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
        PACKED.with_borrow_mut(|packed| dispatch!(set, S => task.multiply::<S>(&channels, packed)));
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
    fn multiply<S: Simd>(&self, channels: &Range<usize>, [input, gradient]: &mut [Vec<f32>; 2]) {
        let taps = self.source.taps.len();
        let input = aligned(input, channels.len() * taps * line_length::<S>());
        let gradient = aligned(gradient, self.planes.count * line_length::<S>());
        let (mut segments, mut places) = (Vec::new(), Places::default());
        for first in (0..self.grid.pixels()).step_by(S::PIXELS) {
            let count = S::PIXELS.min(self.grid.pixels() - first);
            let vectors = count.div_ceil(S::LANES);
            self.grid.segments(first, count, &mut segments);
            self.pack::<S>(channels, &segments, vectors, &mut places, input);
            self.pack_gradient::<S>(&segments, vectors, &mut places, gradient);
            self.products::<S>(channels, vectors, gradient, input);
        }
    }

    fn pack<S: Simd>(
        &self,
        channels: &Range<usize>,
        segments: &[Segment],
        vectors: usize,
        places: &mut Places,
        packed: &mut [f32],
    ) {
        self.source.locate::<S>(segments, vectors * S::LANES, places);
        let stride = self.source.stride();
        let base = self.source.pixels[channels.start * stride..].as_ptr();
        let source = ChannelPlanes { base, count: channels.len(), stride };
        let to = Lines { base: packed.as_mut_ptr(), stride: line_length::<S>(), vectors };
        // SAFETY: The places lie in the source, and the lines in `packed`, which was made large enough; the processor has
        // been asked.
        unsafe { S::run(Pack { to, room: 0, source, panels: std::slice::from_ref(places) }) };
    }

    fn pack_gradient<S: Simd>(&self, segments: &[Segment], vectors: usize, places: &mut Places, packed: &mut [f32]) {
        places.clear();
        self.planes.locate::<S>(segments, vectors * S::LANES, Tap::NONE, places);
        let base = self.gradient.as_ptr();
        let source = ChannelPlanes { base, count: self.planes.count, stride: self.planes.area() };
        let to = Lines { base: packed.as_mut_ptr(), stride: line_length::<S>(), vectors };
        // SAFETY: As above.
        unsafe { S::run(Pack { to, room: 0, source, panels: std::slice::from_ref(places) }) };
    }

    /// Adds the products of all lines of the gradient and of the input.
    fn products<S: Simd>(&self, channels: &Range<usize>, vectors: usize, gradient: &[f32], input: &[f32]) {
        let taps = self.source.taps.len();
        let row = self.source.planes.count / self.source.planes_a_channel * taps;
        let (lines, outs) = (channels.len() * taps, self.planes.count);
        let stride = line_length::<S>();
        let sums = |out: usize, line: usize| self.kernels.at(out * row + channels.start * taps + line);
        let packed = |out: usize, line: usize| {
            let (left, right) = (gradient[out * stride..].as_ptr(), input[line * stride..].as_ptr());
            LinePairs { left, right, stride, vectors }
        };
        let (whole_lines, whole_outs) = (lines / S::RIGHT * S::RIGHT, outs / SIDE * SIDE);
        // SAFETY: Lines are within what was packed, sums within the kernels, and no other thread has these channels; the
        // processor has been asked.
        unsafe {
            for first in (0..whole_outs).step_by(S::LEFT_LINES) {
                for line in (0..whole_lines).step_by(S::RIGHT) {
                    for out in (first..whole_outs.min(first + S::LEFT_LINES)).step_by(SIDE) {
                        let sums = SumRows { base: sums(out, line), stride: row };
                        InnerProducts { lines: packed(out, line), sums }.run::<S>();
                    }
                }
            }
            for line in 0..lines {
                for out in if line < whole_lines { whole_outs } else { 0 }..outs {
                    S::run(InnerProduct { lines: packed(out, line), sum: sums(out, line) });
                }
            }
        }
    }
}
