//! Windows folded: each number of the result from those of a window, one place of it after the other.
//!
//! Planes are first spread out, with their padding, so that the numbers which windows side by side have at one place lie
//! side by side, too: with a stride, in phases, one for each row and column within a step. Several small planes are
//! folded as one.

use rayon::prelude::*;

use super::windows::Windows;
use crate::memory::SharedMut;
use crate::simd::{InstructionSet, Kernel, Simd, dispatch};

/// Windows that are folded at once: some vectors of any instruction set.
const LANES: usize = 16;

/// Windows of small planes that are folded as one, about.
const AT_ONCE: usize = 1024;

/// Minimum number of tasks a thread, for load balancing.
const TASKS_PER_THREAD: usize = 4;

/// Marks a window without a maximum, all of whose numbers are -inf.
const NO_PLACE: u8 = u8::MAX;

/// A way to fold windows.
pub(super) trait Fold: Copy + Sync {
    /// Some windows, half folded.
    type Lanes: Copy;

    /// Padding, which changes no window.
    const PADDING: f32;

    /// Windows before their first number.
    fn start(self) -> Self::Lanes;
    /// Takes the windows' numbers at a place.
    fn next(self, lanes: &mut Self::Lanes, numbers: &[f32; LANES], place: u8);
    /// Writes what has become of the windows; their places, too, if there are any.
    fn finish(self, lanes: Self::Lanes, folded: &mut [f32; LANES], places: &mut [u8; LANES]);
    /// Whether the last place of each of a window's rows comes first.
    fn backwards(self) -> bool {
        false
    }
}

/// The sum, with factors before and after.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    pub(super) before: f32,
    pub(super) after: f32,
    pub(super) backwards: bool,
}

impl Fold for Sum {
    type Lanes = [f32; LANES];

    const PADDING: f32 = 0.0;

    #[inline(always)]
    fn start(self) -> [f32; LANES] {
        [0.0; LANES]
    }

    #[inline(always)]
    fn next(self, lanes: &mut [f32; LANES], numbers: &[f32; LANES], _: u8) {
        for (sum, number) in lanes.iter_mut().zip(numbers) {
            *sum += number * self.before;
        }
    }

    #[inline(always)]
    fn finish(self, lanes: [f32; LANES], folded: &mut [f32; LANES], _: &mut [u8; LANES]) {
        *folded = lanes.map(|sum| sum * self.after);
    }

    fn backwards(self) -> bool {
        self.backwards
    }
}

/// Whether a number takes the place of the largest one so far. NaN always does, and only another one takes its place.
#[inline(always)]
fn is_larger(number: f32, largest: f32) -> bool {
    (number > largest) | number.is_nan()
}

/// The largest number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Largest;

impl Fold for Largest {
    type Lanes = [f32; LANES];

    const PADDING: f32 = f32::NEG_INFINITY;

    #[inline(always)]
    fn start(self) -> [f32; LANES] {
        [f32::NEG_INFINITY; LANES]
    }

    #[inline(always)]
    fn next(self, lanes: &mut [f32; LANES], numbers: &[f32; LANES], _: u8) {
        for (largest, number) in lanes.iter_mut().zip(numbers) {
            *largest = if is_larger(*number, *largest) { *number } else { *largest };
        }
    }

    #[inline(always)]
    fn finish(self, lanes: [f32; LANES], folded: &mut [f32; LANES], _: &mut [u8; LANES]) {
        *folded = lanes;
    }
}

/// The largest number and its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct LargestAndPlace;

impl Fold for LargestAndPlace {
    /// Places are as wide as numbers, so that they are in vectors of as many lanes.
    type Lanes = ([f32; LANES], [u32; LANES]);

    const PADDING: f32 = Largest::PADDING;

    #[inline(always)]
    fn start(self) -> Self::Lanes {
        (Largest.start(), [u32::from(NO_PLACE); LANES])
    }

    #[inline(always)]
    fn next(self, (lanes, places): &mut Self::Lanes, numbers: &[f32; LANES], place: u8) {
        for ((largest, at), number) in lanes.iter_mut().zip(places).zip(numbers) {
            let larger = is_larger(*number, *largest);
            *largest = if larger { *number } else { *largest };
            *at = if larger { u32::from(place) } else { *at };
        }
    }

    #[inline(always)]
    fn finish(self, (lanes, at): Self::Lanes, folded: &mut [f32; LANES], places: &mut [u8; LANES]) {
        *folded = lanes;
        *places = at.map(|place| place as u8);
    }
}

/// The destination of folded windows.
#[derive(Clone, Copy)]
pub(super) struct Folded<'a> {
    pub(super) output: SharedMut<'a>,
    pub(super) places: Option<SharedMut<'a, u8>>,
}

/// Folds the windows of all planes of `input`.
pub(super) fn fold<F: Fold>(windows: &Windows, set: InstructionSet, input: &[f32], fold: F, folded: Folded<'_>) {
    let (spread, area) = (Spread::of(windows, fold.backwards()), windows.area());
    let planes = input.len() / area;
    let groups = planes.div_ceil(spread.at_once);
    let in_task = groups.div_ceil(TASKS_PER_THREAD * rayon::current_num_threads()).max(1);
    (0..groups).into_par_iter().with_min_len(in_task).for_each_init(
        || Room::new::<F>(&spread),
        |room, group| {
            let first = group * spread.at_once;
            let group = first..planes.min(first + spread.at_once);
            for plane in group.clone() {
                spread.copy(&input[plane * area..(plane + 1) * area], plane - first, &mut room.numbers);
            }
            let Room { numbers, folded: results, places } = room;
            let all = FoldAll { fold, taps: &spread.taps, numbers, folded: results, places };
            // SAFETY: The processor has been asked.
            unsafe { dispatch!(set, S => S::run(all)) };
            for plane in group {
                spread.write(plane, plane - first, room, folded);
            }
        },
    );
}

/// How planes are spread out.
struct Spread {
    windows: Windows,
    /// Planes that are folded as one.
    at_once: usize,
    /// Rows and columns within a step that windows reach.
    phases: usize,
    /// Rows and columns of a phase of a plane.
    size: [usize; 2],
    /// The places of a window in the order in which they are folded: number, and where its numbers begin.
    taps: Vec<(u8, usize)>,
}

impl Spread {
    fn of(windows: &Windows, backwards: bool) -> Spread {
        let Windows { window, stride, .. } = *windows;
        let size = windows.size_out().map(|length| length + (window - 1) / stride);
        let (area, phases) = (size[0] * size[1], stride.min(window));
        let at_once = (AT_ONCE / area).max(1);
        let place = |number: usize| {
            let (down, right) = (number / window, number % window);
            let right = if backwards { window - 1 - right } else { right };
            let phase = down % stride * phases + right % stride;
            ((down * window + right) as u8, phase * at_once * area + down / stride * size[1] + right / stride)
        };
        Spread { windows: *windows, at_once, phases, size, taps: (0..window * window).map(place).collect() }
    }

    fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Numbers that are folded, with what lies between windows.
    fn length(&self) -> usize {
        (self.at_once * self.area()).next_multiple_of(LANES)
    }

    /// Copies a plane, the one of this number of those that are folded at once, to `numbers`, around which padding is.
    fn copy(&self, plane: &[f32], number: usize, numbers: &mut [f32]) {
        let Windows { size: [_, width], stride, padding, .. } = self.windows;
        for phase in 0..self.phases * self.phases {
            let (down, right) = (phase / self.phases, phase % self.phases);
            let [rows, columns] =
                [(0, down), (1, right)].map(|(axis, within)| self.windows.inside(axis, within, self.size[axis]));
            let first = (phase * self.at_once + number) * self.area();
            for row in if columns.is_empty() { 0..0 } else { rows } {
                let line = &mut numbers[first + row * self.size[1]..][columns.clone()];
                let start = (row * stride + down - padding) * width + columns.start * stride + right - padding;
                copy_every(&plane[start..], stride, line);
            }
        }
    }

    /// Writes a plane, the one of this number of those that are folded at once.
    fn write(&self, plane: usize, number: usize, room: &Room, folded: Folded<'_>) {
        let ([rows, columns], area) = (self.windows.size_out(), self.windows.area_out());
        for row in 0..rows {
            let from = number * self.area() + row * self.size[1];
            let to = plane * area + row * columns..plane * area + (row + 1) * columns;
            // SAFETY: Each plane is one thread's.
            let output = unsafe { folded.output.slice(to.clone()) };
            output.iter_mut().zip(&room.folded[from..]).for_each(|(to, number)| _ = to.write(*number));
            let Some(places) = folded.places else { continue };
            // SAFETY: As above.
            let places = unsafe { places.slice(to) };
            for (column, (to, place)) in places.iter_mut().zip(&room.places[from..]).enumerate() {
                to.write(if *place == NO_PLACE { self.first_inside([row, column]) } else { *place });
            }
        }
    }

    /// The first place of a window that is no padding.
    fn first_inside(&self, window: [usize; 2]) -> u8 {
        let [down, right] = window.map(|at| self.windows.padding.saturating_sub(at * self.windows.stride));
        (down * self.windows.window + right) as u8
    }
}

/// Copies every `stride`th number.
fn copy_every(from: &[f32], stride: usize, to: &mut [f32]) {
    match stride {
        1 => to.copy_from_slice(&from[..to.len()]),
        2 => to.iter_mut().zip(from.chunks(2)).for_each(|(to, from)| *to = from[0]),
        _ => to.iter_mut().zip(from.iter().step_by(stride)).for_each(|(to, from)| *to = *from),
    }
}

/// Memory for planes that are folded at once.
struct Room {
    /// The planes, spread out.
    numbers: Vec<f32>,
    folded: Vec<f32>,
    places: Vec<u8>,
}

impl Room {
    fn new<F: Fold>(spread: &Spread) -> Room {
        let length = spread.length();
        let farthest = spread.taps.iter().map(|(_, start)| *start).max().unwrap_or_default();
        Room { numbers: vec![F::PADDING; farthest + length], folded: vec![0.0; length], places: vec![0; length] }
    }
}

/// Folds all windows of planes that are spread out.
struct FoldAll<'a, F> {
    fold: F,
    taps: &'a [(u8, usize)],
    numbers: &'a [f32],
    folded: &'a mut [f32],
    places: &'a mut [u8],
}

impl<F: Fold> Kernel for FoldAll<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let FoldAll { fold, taps, numbers, folded, places } = self;
        let results = folded.as_chunks_mut::<LANES>().0.iter_mut().zip(places.as_chunks_mut::<LANES>().0);
        for (chunk, (folded, places)) in results.enumerate() {
            let mut lanes = fold.start();
            for (place, start) in taps {
                if let Some(numbers) = numbers[start + chunk * LANES..].first_chunk::<LANES>() {
                    fold.next(&mut lanes, numbers, *place);
                }
            }
            fold.finish(lanes, folded, places);
        }
    }
}
