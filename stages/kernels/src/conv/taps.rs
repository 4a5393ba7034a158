//! Sums over taps: each number of the result is the sum, over channels and taps, of a weight times a pixel of the
//! source that lies at a fixed distance.
//!
//! A convolution is such a sum. With a stride, the source is first taken apart into phases, one for each row and column
//! within a step, in which neighbours are a stride apart. The gradient of the input is such a sum over the gradient of
//! the result; with a stride, one for each phase of the input.
//!
//! The pixels that a panel of columns needs are copied to where the innermost loop finds them one after another; there
//! is never more of that copy than fits in a core's cache.

use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::Convolution;
use super::columns::{Grid, Places, Planes, Segment, Tap, panel};
use super::product::{ChannelPlanes, Epilogue, Lines, Multiply, Pack, RowEpilogue, Target};
use crate::memory::{SharedMut, aligned, filled};
use crate::simd::{InstructionSet, Simd, dispatch};

/// Minimum number of tasks a thread, for load balancing.
const TASKS_PER_THREAD: usize = 4;

/// The source of a sum over taps.
pub(super) struct Source<'a> {
    pub pixels: &'a [f32],
    /// All planes of an image.
    pub planes: Planes,
    /// Planes of a channel.
    pub planes_a_channel: usize,
    pub taps: Vec<Tap>,
}

impl Source<'_> {
    fn channels(&self) -> usize {
        self.planes.count / self.planes_a_channel
    }

    /// Numbers from one channel to the next.
    pub(crate) fn stride(&self) -> usize {
        self.planes_a_channel * self.planes.area()
    }

    /// The places of `length` columns' pixels for every tap.
    pub(crate) fn locate<S: Simd>(&self, segments: &[Segment], length: usize, places: &mut Places) {
        places.clear();
        for tap in &self.taps {
            self.planes.locate::<S>(segments, length, *tap, places);
        }
    }
}

thread_local! {
    /// Packed panels.
    static PACKED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// The convolution of `input` with `kernels`; each sum is finished as `epilogue` says.
pub fn forward(
    set: InstructionSet,
    convolution: &Convolution,
    input: &[f32],
    kernels: &[f32],
    epilogue: Option<&Epilogue<'_>>,
) -> Vec<f32> {
    assert_eq!(input.len(), convolution.input_length(), "the input's length");
    assert_eq!(kernels.len(), convolution.kernel_length(), "the kernels' length");
    if let Some(Epilogue { scale, shift, summand, .. }) = epilogue {
        assert_eq!([scale.len(), shift.len()], [convolution.channels_out; 2], "scales and shifts");
        assert!(summand.is_none_or(|summand| summand.len() == convolution.output_length()), "the summand's length");
    }
    let phases = Phases::of(convolution, input);
    let grid = Grid { images: convolution.batch, size: convolution.size_out() };
    filled(convolution.output_length(), |output| {
        let weights = Weights { values: kernels, rows: convolution.channels_out };
        dispatch!(set, S => sum::<S>(&phases.source(), weights, grid, output, epilogue));
    })
}

/// The input, in phases if there is a stride, and the taps of the kernel.
pub(super) struct Phases<'a> {
    input: std::borrow::Cow<'a, [f32]>,
    planes: Planes,
    planes_a_channel: usize,
    taps: Vec<Tap>,
}

impl<'a> Phases<'a> {
    pub(crate) fn of(convolution: &Convolution, input: &'a [f32]) -> Phases<'a> {
        let Convolution { channels_in, size, stride, padding, kernel, .. } = *convolution;
        let places = || (0..kernel[0]).flat_map(|row| (0..kernel[1]).map(move |column| [row, column]));
        let away = |place: [usize; 2], axis: usize| place[axis] as isize - padding[axis] as isize;
        if stride == [1, 1] {
            let taps = places().map(|place| Tap { plane: 0, shift: [0, 1].map(|axis| away(place, axis)) }).collect();
            let planes = Planes { count: channels_in, size };
            return Phases { input: input.into(), planes, planes_a_channel: 1, taps };
        }
        let step = |axis: usize| stride[axis] as isize;
        let phase = |place: [usize; 2]| [0, 1].map(|axis| away(place, axis).rem_euclid(step(axis)).cast_unsigned());
        let mut phases: Vec<[usize; 2]> = places().map(phase).collect();
        phases.sort_unstable();
        phases.dedup();
        let tap = |place: [usize; 2]| Tap {
            plane: phases.binary_search(&phase(place)).unwrap_or_default(),
            shift: [0, 1].map(|axis| away(place, axis).div_euclid(step(axis))),
        };
        let taps = places().map(tap).collect();
        let planes =
            Planes { count: channels_in * phases.len(), size: [0, 1].map(|axis| size[axis].div_ceil(stride[axis])) };
        let input = take_apart(convolution, input, &phases, planes).into();
        Phases { input, planes, planes_a_channel: phases.len(), taps }
    }

    pub(crate) fn source(&self) -> Source<'_> {
        let Phases { planes, planes_a_channel, ref taps, .. } = *self;
        Source { pixels: &self.input, planes, planes_a_channel, taps: taps.clone() }
    }
}

/// The phases of each plane, one after the other; what would lie outside is zero.
fn take_apart(convolution: &Convolution, input: &[f32], phases: &[[usize; 2]], planes: Planes) -> Vec<f32> {
    let ([height, width], [rows, columns]) = (convolution.size, planes.size);
    let (area, length) = (height * width, phases.len() * planes.area());
    let mut apart = vec![0.0; input.len() / area * length];
    apart.par_chunks_mut(length).zip(input.par_chunks(area)).for_each(|(apart, plane)| {
        for (apart, [row, column]) in apart.chunks_mut(rows * columns).zip(phases) {
            let every = plane.chunks(width).skip(*row).step_by(convolution.stride[0]);
            for (apart, line) in apart.chunks_mut(columns).zip(every) {
                let pixels = line.iter().skip(*column).step_by(convolution.stride[1]);
                apart.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from);
            }
        }
    });
    apart
}

/// The gradient of the input, given that of the result.
pub fn input_gradient(set: InstructionSet, convolution: &Convolution, gradient: &[f32], kernels: &[f32]) -> Vec<f32> {
    assert_eq!(gradient.len(), convolution.output_length(), "the gradient's length");
    assert_eq!(kernels.len(), convolution.kernel_length(), "the kernels' length");
    let Convolution { batch, channels_in, size, stride, .. } = *convolution;
    if stride == [1, 1] {
        return filled(convolution.input_length(), |input| {
            dispatch!(set, S => sum_phase::<S>(convolution, gradient, kernels, [0, 0], input));
        });
    }
    let mut input = vec![0.0; convolution.input_length()];
    for row in 0..stride[0] {
        for column in 0..stride[1] {
            let [rows, columns] = [(0, row), (1, column)]
                .map(|(axis, at): (usize, usize)| size[axis].saturating_sub(at).div_ceil(stride[axis]));
            if taps_of_phase(convolution, [row, column]).is_empty() || rows * columns == 0 {
                continue;
            }
            let phase = filled(batch * channels_in * rows * columns, |phase| {
                dispatch!(set, S => sum_phase::<S>(convolution, gradient, kernels, [row, column], phase));
            });
            let planes = input.par_chunks_mut(size[0] * size[1]).zip(phase.par_chunks(rows * columns));
            planes.for_each(|(plane, phase)| {
                let every = plane.chunks_mut(size[1]).skip(row).step_by(stride[0]);
                for (line, phase) in every.zip(phase.chunks(columns)) {
                    let pixels = line.iter_mut().skip(column).step_by(stride[1]);
                    pixels.zip(phase).for_each(|(to, from)| *to = *from);
                }
            });
        }
    }
    input
}

/// The kernel's places that reach pixels of a phase of the input, and their taps on the result.
fn taps_of_phase(convolution: &Convolution, phase: [usize; 2]) -> Vec<(usize, Tap)> {
    let Convolution { kernel, stride, padding, .. } = *convolution;
    let away = |axis: usize, place: usize| (phase[axis] + padding[axis]) as isize - place as isize;
    let shift = |axis: usize, place: usize| {
        let (away, step) = (away(axis, place), stride[axis] as isize);
        (away.rem_euclid(step) == 0).then(|| away.div_euclid(step))
    };
    let places = (0..kernel[0]).flat_map(|row| (0..kernel[1]).map(move |column| (row, column)));
    places
        .filter_map(|(row, column)| {
            let shift = [shift(0, row)?, shift(1, column)?];
            Some((row * kernel[1] + column, Tap { plane: 0, shift }))
        })
        .collect()
}

/// Writes the gradient of one phase of the input.
fn sum_phase<S: Simd>(
    convolution: &Convolution,
    gradient: &[f32],
    kernels: &[f32],
    phase: [usize; 2],
    input: SharedMut<'_>,
) {
    let Convolution { batch, channels_in, channels_out, size, stride, kernel, .. } = *convolution;
    let (places, taps): (Vec<usize>, Vec<Tap>) = taps_of_phase(convolution, phase).into_iter().unzip();
    let weights = transposed(kernels, [channels_out, channels_in, kernel[0] * kernel[1]], &places);
    let planes = Planes { count: channels_out, size: convolution.size_out() };
    let source = Source { pixels: gradient, planes, planes_a_channel: 1, taps };
    let grid = Grid { images: batch, size: [0, 1].map(|axis| (size[axis] - phase[axis]).div_ceil(stride[axis])) };
    sum::<S>(&source, Weights { values: &weights, rows: channels_in }, grid, input, None);
}

/// Kernels `[out, in, place]` as `[in, out, place]`, with these places only.
fn transposed(kernels: &[f32], [channels_out, channels_in, area]: [usize; 3], places: &[usize]) -> Vec<f32> {
    /// Channels at a time, so that what is read and written stays in the cache.
    const BLOCK: usize = 16;
    let (depth, length) = (channels_out * places.len(), channels_in * channels_out * places.len());
    let mut weights: Vec<f32> = Vec::with_capacity(length);
    let blocks = weights.spare_capacity_mut()[..length].par_chunks_mut(BLOCK * depth);
    blocks.enumerate().for_each(|(block, weights)| {
        for out in 0..channels_out {
            let kernels = kernels[(out * channels_in + block * BLOCK) * area..].chunks(area);
            for (weights, kernel) in weights.chunks_mut(depth).zip(kernels) {
                choose(&mut weights[out * places.len()..][..places.len()], kernel, places);
            }
        }
    });
    // SAFETY: Every chosen place of every channel has been written.
    unsafe { weights.set_len(length) };
    weights
}

/// Writes the chosen places of a kernel. Where all are chosen, as without a stride, it is a copy whose length the
/// compiler knows.
fn choose(weights: &mut [MaybeUninit<f32>], kernel: &[f32], places: &[usize]) {
    match (kernel.len() == places.len(), kernel.len()) {
        (true, 1) => _ = weights[0].write(kernel[0]),
        (true, 9) => _ = weights[..9].write_copy_of_slice(&kernel[..9]),
        (true, _) => _ = weights.write_copy_of_slice(kernel),
        (false, _) => weights.iter_mut().zip(places).for_each(|(weight, place)| _ = weight.write(kernel[*place])),
    }
}

/// Rows of weights, each `[channel, tap]`.
#[derive(Clone, Copy)]
struct Weights<'a> {
    values: &'a [f32],
    rows: usize,
}

/// Writes the sums of every row of weights for every pixel of the grid.
fn sum<S: Simd>(
    source: &Source<'_>,
    weights: Weights<'_>,
    grid: Grid,
    output: SharedMut<'_>,
    epilogue: Option<&Epilogue<'_>>,
) {
    let panels = grid.pixels().div_ceil(panel::<S>());
    let at_once = panels.div_ceil(rayon::current_num_threads() * TASKS_PER_THREAD).clamp(1, S::PANELS);
    let task = SumOverTaps { source, weights, grid, output, epilogue };
    (0..panels.div_ceil(at_once)).into_par_iter().for_each(|piece| {
        let panels = piece * at_once..panels.min((piece + 1) * at_once);
        PACKED.with_borrow_mut(|packed| task.sum_panels::<S>(panels, packed));
    });
}

struct SumOverTaps<'a> {
    source: &'a Source<'a>,
    weights: Weights<'a>,
    grid: Grid,
    output: SharedMut<'a>,
    epilogue: Option<&'a Epilogue<'a>>,
}

/// The places of panels: of their pixels for every tap, and of their sums.
#[derive(Default)]
struct Panels {
    pixels: Vec<Places>,
    sums: Vec<Places>,
}

impl SumOverTaps<'_> {
    fn sum_panels<S: Simd>(&self, panels: Range<usize>, packed: &mut Vec<f32>) {
        let (channels, taps) = (self.source.channels(), self.source.taps.len());
        let at_once = (S::DEPTH / taps).clamp(1, channels);
        let packed = aligned(packed, room_of_panel::<S>(at_once * taps, taps) * panels.len());
        let places = self.locate::<S>(panels);
        for first in (0..channels).step_by(at_once) {
            let block = first..channels.min(first + at_once);
            let stride = self.source.stride();
            let base = self.source.pixels[block.start * stride..].as_ptr();
            let source = ChannelPlanes { base, count: block.len(), stride };
            let to = Lines { base: packed.as_mut_ptr(), stride: panel::<S>(), vectors: S::VECTORS };
            let room = room_of_panel::<S>(block.len() * taps, taps);
            // SAFETY: The places lie in the source, and the panels in `packed`, which was made large enough; the processor
            // has been asked.
            unsafe { S::run(Pack { to, room, source, panels: &places.pixels }) };
            self.multiply::<S>(&block, packed, &places.sums);
        }
    }

    fn locate<S: Simd>(&self, panels: Range<usize>) -> Panels {
        let (mut segments, mut places) = (Vec::new(), Panels::default());
        let (width, rows) = (panel::<S>(), Planes { count: self.weights.rows, size: self.grid.size });
        for number in panels {
            let (mut pixels, mut sums) = (Places::default(), Places::default());
            self.grid.segments(number * width, width, &mut segments);
            self.source.locate::<S>(&segments, width, &mut pixels);
            rows.locate::<S>(&segments, width, Tap::NONE, &mut sums);
            places.pixels.push(pixels);
            places.sums.push(sums);
        }
        places
    }

    /// All rows times packed panels.
    fn multiply<S: Simd>(&self, block: &Range<usize>, packed: &[f32], places: &[Places]) {
        let at_once = if S::PANEL_BY_PANEL { 1 } else { places.len() };
        for first in (0..places.len()).step_by(at_once) {
            for rows in tiles(self.weights.rows, S::ROWS) {
                for (number, places) in places.iter().enumerate().skip(first).take(at_once) {
                    self.multiply_rows::<S>(rows.clone(), block, packed, (number, places));
                }
            }
        }
    }

    /// The rows of a tile times one packed panel.
    fn multiply_rows<S: Simd>(
        &self,
        rows: Range<usize>,
        block: &Range<usize>,
        packed: &[f32],
        (number, places): (usize, &Places),
    ) {
        let taps = self.source.taps.len();
        let (row_length, depth) = (self.source.channels() * taps, block.len() * taps);
        let (row, area, last) = (rows.start, self.grid.area(), block.end == self.source.channels());
        let weights = self.weights.values[row * row_length + block.start * taps..].as_ptr();
        let epilogue = self.epilogue.filter(|_| last).map(|epilogue| {
            let summand = epilogue.summand.map_or(std::ptr::null(), |summand| summand[row * area..].as_ptr());
            RowEpilogue { epilogue, first: row, summand }
        });
        let panel = packed[number * room_of_panel::<S>(depth, taps)..][..depth * panel::<S>()].as_ptr();
        let base = self.output.at(row * area);
        let target = Target { base, stride: area, places, accumulate: block.start > 0 };
        let tile = Multiply { depth, weights, row_length, panel, target, epilogue };
        // SAFETY: Rows and panels are within what was given, and no other thread has these panels; the processor has
        // been asked.
        unsafe { tile.run::<S>(rows.len()) };
    }
}

/// Numbers from one packed panel to the next: a channel's lines of all panels, which are written one after the other, are
/// not to fight for the same sets of the cache.
fn room_of_panel<S: Simd>(depth: usize, taps: usize) -> usize {
    /// Sets of a first-level cache, each for one line in 4 KiB.
    const SETS: usize = 64;
    (depth.next_multiple_of(SETS) + taps) * panel::<S>()
}

/// Rows in tiles of at most `most`, as equal as can be: a tile with few rows leaves registers idle.
fn tiles(rows: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let count = rows.div_ceil(most);
    (0..count).map(move |tile| tile * rows / count..(tile + 1) * rows / count)
}
