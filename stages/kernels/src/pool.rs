//! Pooling of planes: the largest or the mean of each window.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::memory::{SharedMut, filled};

/// Square windows on planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Rows and columns of a plane.
    pub size: [usize; 2],
    /// Rows and columns of a window; at most 15.
    pub window: usize,
    /// Rows and columns from one window to the next.
    pub stride: usize,
    /// Padding: rows and columns around a plane.
    pub padding: usize,
}

/// Marks a window without a maximum.
const NO_ARGMAX: u8 = u8::MAX;

impl Windows {
    /// Rows and columns of windows.
    pub fn size_out(&self) -> [usize; 2] {
        self.size.map(|length| (length + 2 * self.padding - self.window) / self.stride + 1)
    }

    fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    fn area_out(&self) -> usize {
        self.size_out().iter().product()
    }

    /// The windows along an axis whose place `place` lies within the plane.
    fn inside(&self, axis: usize, place: usize) -> Range<usize> {
        let first = self.padding.saturating_sub(place).div_ceil(self.stride);
        let end = (self.size[axis] + self.padding).saturating_sub(place).div_ceil(self.stride);
        let end = end.min(self.size_out()[axis]);
        first.min(end)..end
    }

    /// Calls `visit` for each row of windows and each place of a window: the row of windows, the windows of that row
    /// that have the place within the plane, the place's number, and where in the plane it is for the first of them.
    fn rows(&self, mut visit: impl FnMut(usize, Range<usize>, u8, usize)) {
        let columns: Vec<Range<usize>> = (0..self.window).map(|right| self.inside(1, right)).collect();
        let rows: Vec<Range<usize>> = (0..self.window).map(|down| self.inside(0, down)).collect();
        for row in 0..self.size_out()[0] {
            for (down, _) in rows.iter().enumerate().filter(|(_, rows)| rows.contains(&row)) {
                let line = (row * self.stride + down - self.padding) * self.size[1];
                for (right, columns) in columns.iter().enumerate().filter(|(_, columns)| !columns.is_empty()) {
                    let first = line + columns.start * self.stride + right - self.padding;
                    visit(row, columns.clone(), (down * self.window + right) as u8, first);
                }
            }
        }
    }

    /// The maximum of each window, and its place there. Padding is never the maximum; NaN
    /// always is.
    pub fn max(&self, input: &[f32]) -> (Vec<f32>, Vec<u8>) {
        assert!(self.window <= 15 && self.padding < self.window, "windows of this size");
        let (area, area_out) = (self.area(), self.area_out());
        let mut argmax = vec![NO_ARGMAX; input.len() / area * area_out];
        let output = filled(argmax.len(), |output| {
            let planes = input.par_chunks_exact(area).zip(argmax.par_chunks_exact_mut(area_out)).enumerate();
            planes.for_each(|(plane, (input, argmax))| {
                // SAFETY: Each plane is one thread's.
                let output = unsafe { written(output, plane * area_out..(plane + 1) * area_out, f32::NEG_INFINITY) };
                self.rows(|row, columns, place, first| {
                    let range = row * self.size_out()[1] + columns.start..row * self.size_out()[1] + columns.end;
                    let numbers = input[first..].iter().step_by(self.stride);
                    for ((best, at), number) in output[range.clone()].iter_mut().zip(&mut argmax[range]).zip(numbers) {
                        let better = *number > *best || number.is_nan() || *at == NO_ARGMAX;
                        *best = if better { *number } else { *best };
                        *at = if better { place } else { *at };
                    }
                });
            });
        });
        (output, argmax)
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
    pub fn mean(&self, input: &[f32]) -> Vec<f32> {
        let (area, area_out, share) = (self.area(), self.area_out(), self.share());
        filled(input.len() / area * area_out, |output| {
            input.par_chunks_exact(area).enumerate().for_each(|(plane, input)| {
                // SAFETY: Each plane is one thread's.
                let output = unsafe { written(output, plane * area_out..(plane + 1) * area_out, 0.0) };
                self.rows(|row, columns, _, first| {
                    let line = &mut output[row * self.size_out()[1]..][columns];
                    line.iter_mut()
                        .zip(input[first..].iter().step_by(self.stride))
                        .for_each(|(sum, number)| *sum += number);
                });
                output.iter_mut().for_each(|sum| *sum *= share);
            });
        })
    }

    /// The gradient of the input, given that of the means.
    pub fn mean_gradient(&self, gradient: &[f32]) -> Vec<f32> {
        let (area, area_out, share) = (self.area(), self.area_out(), self.share());
        filled(gradient.len() / area_out * area, |input| {
            gradient.par_chunks_exact(area_out).enumerate().for_each(|(plane, gradient)| {
                // SAFETY: Each plane is one thread's.
                let input = unsafe { written(input, plane * area..(plane + 1) * area, 0.0) };
                self.rows(|row, columns, _, first| {
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
