//! Pooling of planes: the largest or the mean of each window, or both of whole planes.

mod fold;
mod planes;
mod windows;

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::memory::{SharedMut, filled};
use crate::simd::InstructionSet;
use fold::{Folded, Largest, LargestAndPlace, Sum, fold};
pub use planes::PooledPlanes;
pub use windows::Windows;

impl Windows {
    /// The maximum of each window. Padding is never the maximum; NaN always is.
    pub fn max(&self, set: InstructionSet, input: &[f32]) -> Vec<f32> {
        self.check();
        filled(self.length_out(input), |output| fold(self, set, input, Largest, Folded { output, places: None }))
    }

    /// The same, and the place of each in its window.
    pub fn max_and_places(&self, set: InstructionSet, input: &[f32]) -> (Vec<f32>, Vec<u8>) {
        self.check();
        let mut places = vec![0; self.length_out(input)];
        let output = filled(places.len(), |output| {
            let folded = Folded { output, places: Some(SharedMut::of(&mut places)) };
            fold(self, set, input, LargestAndPlace, folded);
        });
        (output, places)
    }

    fn check(&self) {
        assert!(self.window <= 15 && self.padding < self.window, "windows of this size");
    }

    /// Windows in all of the input's planes.
    fn length_out(&self, input: &[f32]) -> usize {
        input.len() / self.area() * self.area_out()
    }

    /// The gradient of the input, given that of the largest numbers and their places.
    pub fn max_gradient(&self, gradient: &[f32], argmax: &[u8]) -> Vec<f32> {
        let (area, area_out, width) = (self.area(), self.area_out(), self.size_out()[1]);
        assert_eq!(gradient.len(), argmax.len(), "gradients and argmax");
        filled(gradient.len() / area_out * area, |input| {
            let planes = gradient.par_chunks_exact(area_out).zip(argmax.par_chunks_exact(area_out)).enumerate();
            planes.for_each(|(plane, (gradient, argmax))| {
                // SAFETY: Each plane is one thread's.
                let input = unsafe { written(input, plane * area..(plane + 1) * area, 0.0) };
                for (row, (gradient, argmax)) in gradient.chunks(width).zip(argmax.chunks(width)).enumerate() {
                    for (column, (gradient, place)) in gradient.iter().zip(argmax).enumerate() {
                        let (down, right) = (usize::from(*place) / self.window, usize::from(*place) % self.window);
                        let line = (row * self.stride + down - self.padding) * self.size[1];
                        input[line + column * self.stride + right - self.padding] += gradient;
                    }
                }
            });
        })
    }

    /// The mean of each window; padding counts as zero.
    pub fn mean(&self, set: InstructionSet, input: &[f32]) -> Vec<f32> {
        let sum = Sum { before: 1.0, after: self.share(), backwards: false };
        filled(self.length_out(input), |output| fold(self, set, input, sum, Folded { output, places: None }))
    }

    /// The gradient of the input, given that of the means.
    pub fn mean_gradient(&self, set: InstructionSet, gradient: &[f32]) -> Vec<f32> {
        if self.stride == 1 && self.padding < self.window {
            // A pixel is in the windows around it, so that this is a pooling of the gradient. Columns come last to first, as
            // in the loop below.
            let (size, padding) = (self.size_out(), self.window - 1 - self.padding);
            let windows = Windows { size, padding, ..*self };
            let sum = Sum { before: self.share(), after: 1.0, backwards: true };
            return filled(windows.length_out(gradient), |output| {
                fold(&windows, set, gradient, sum, Folded { output, places: None });
            });
        }
        let (area, area_out, share) = (self.area(), self.area_out(), self.share());
        filled(gradient.len() / area_out * area, |input| {
            gradient.par_chunks_exact(area_out).enumerate().for_each(|(plane, gradient)| {
                // SAFETY: Each plane is one thread's.
                let input = unsafe { written(input, plane * area..(plane + 1) * area, 0.0) };
                self.rows(|row, columns, first| {
                    let line = &gradient[row * self.size_out()[1]..][columns];
                    input[first..]
                        .iter_mut()
                        .step_by(self.stride)
                        .zip(line)
                        .for_each(|(sum, number)| *sum += number * share);
                });
            });
        })
    }

    /// Calls `visit` for each row of windows and each place of a window: the row of windows, the windows of that row
    /// that have the place within the plane, and where in the plane it is for the first of them.
    fn rows(&self, mut visit: impl FnMut(usize, Range<usize>, usize)) {
        let inside = |axis: usize| -> Vec<Range<usize>> {
            (0..self.window).map(|place| self.inside(axis, place, self.size_out()[axis])).collect()
        };
        let (rows, columns) = (inside(0), inside(1));
        for row in 0..self.size_out()[0] {
            for (down, _) in rows.iter().enumerate().filter(|(_, rows)| rows.contains(&row)) {
                let line = (row * self.stride + down - self.padding) * self.size[1];
                for (right, columns) in columns.iter().enumerate().filter(|(_, columns)| !columns.is_empty()) {
                    visit(row, columns.clone(), line + columns.start * self.stride + right - self.padding);
                }
            }
        }
    }

    fn share(&self) -> f32 {
        1.0 / (self.window * self.window) as f32
    }
}

/// A part of memory, all of whose numbers have been written as `number`.
///
/// # Safety
/// No other thread has any of them.
unsafe fn written<'a>(memory: SharedMut<'a>, range: Range<usize>, number: f32) -> &'a mut [f32] {
    // SAFETY: The caller's promise.
    let part: &mut [MaybeUninit<f32>] = unsafe { memory.slice(range) };
    part.iter_mut().for_each(|place| _ = place.write(number));
    // SAFETY: All of them have just been written.
    unsafe { part.assume_init_mut() }
}
