//! Numbers that lie among others in memory, such as some of the channels of feature maps.

use rayon::prelude::*;

use crate::memory::{CHUNK, SharedMut, filled};

/// Rows and columns that are transposed at once: as many numbers as a line of the cache has. More rows than a set of the cache has ways
/// must not be written number by number, as they may lie a power of two apart.
const TILE: usize = 16;

/// An array in memory: its numbers, in the order of their indices, lie apart as the strides say.
#[derive(Debug, Clone)]
pub struct Strided<'a> {
    memory: &'a [f32],
    first: usize,
    /// All axes but the last one, neighbours that lie as one axis would taken together.
    outer: Vec<Axis>,
    last: Axis,
}

#[derive(Debug, Clone, Copy)]
struct Axis {
    length: usize,
    stride: isize,
}

impl<'a> Strided<'a> {
    /// An array of `shape` whose first number is at `first` of `memory`. Strides may be zero or negative; numbers must be within the
    /// memory, or their use panics.
    pub fn new(memory: &'a [f32], first: usize, shape: &[usize], strides: &[isize]) -> Strided<'a> {
        assert_eq!(shape.len(), strides.len(), "as many strides as axes");
        let mut axes: Vec<Axis> = Vec::with_capacity(shape.len());
        for (&length, &stride) in shape.iter().zip(strides).filter(|(length, _)| **length != 1) {
            match axes.last_mut() {
                Some(before) if before.stride == stride * length as isize => {
                    *before = Axis { length: before.length * length, stride };
                }
                _ => axes.push(Axis { length, stride }),
            }
        }
        let last = axes.pop().unwrap_or(Axis { length: 1, stride: 1 });
        Strided { memory, first, outer: axes, last }
    }

    /// The numbers in their order.
    pub fn copied(&self) -> Vec<f32> {
        if self.last.stride != 1 && self.outer.last().is_some_and(|axis| axis.stride == 1) {
            return self.transposed();
        }
        filled(self.len(), |copy| {
            self.in_pieces(|place, piece| {
                // SAFETY: Each piece is one thread's.
                let copy = unsafe { copy.slice(place..place + piece.length) };
                match piece.in_a_row() {
                    Some(numbers) => _ = copy.write_copy_of_slice(numbers),
                    None => copy.iter_mut().zip(piece.numbers()).for_each(|(copy, number)| _ = copy.write(number)),
                }
            });
        })
    }

    /// The numbers in their order, where neighbours in memory are neighbours along the last axis but one: as many of them are read at
    /// once as lie in a line of the cache.
    fn transposed(&self) -> Vec<f32> {
        let (rows, length) = (self.outer.last().map_or(1, |axis| axis.length), self.last.length);
        let tiles = rows.div_ceil(TILE);
        filled(self.len(), |copy| {
            (0..self.len() / (rows * length).max(1) * tiles).into_par_iter().for_each(|tile| {
                let (matrix, row) = (tile / tiles, tile % tiles * TILE);
                let (first, count) = (matrix * rows + row, TILE.min(rows - row));
                // SAFETY: Each tile is one thread's.
                let copy = unsafe { copy.slice(first * length..(first + count) * length) };
                let start = self.start_of(first);
                for begin in (0..length).step_by(TILE) {
                    let end = length.min(begin + TILE);
                    let mut block = [[0.0; TILE]; TILE];
                    for at in begin..end {
                        let start = (start + at as isize * self.last.stride) as usize;
                        let column = &self.memory[start..start + count];
                        block.iter_mut().zip(column).for_each(|(row, number)| row[at - begin] = *number);
                    }
                    for (row, numbers) in block[..count].iter().enumerate() {
                        copy[row * length..][begin..end].write_copy_of_slice(&numbers[..end - begin]);
                    }
                }
            });
        })
    }

    /// Adds the numbers to `sums`, which has as many.
    pub fn add_to(&self, sums: &mut [f32]) {
        assert_eq!(sums.len(), self.len(), "as many summands");
        let sums = SharedMut::of(sums);
        self.in_pieces(|place, piece| {
            // SAFETY: Each piece is one thread's, and all numbers are there.
            let sums = unsafe { std::slice::from_raw_parts_mut(sums.at(place), piece.length) };
            match piece.in_a_row() {
                Some(numbers) => sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number),
                None => sums.iter_mut().zip(piece.numbers()).for_each(|(sum, number)| *sum += number),
            }
        });
    }

    fn len(&self) -> usize {
        self.outer.iter().map(|axis| axis.length).product::<usize>() * self.last.length
    }

    /// Shares out parts of the last axis among threads, each with its place among all numbers.
    fn in_pieces(&self, each: impl Fn(usize, Piece<'_>) + Sync) {
        let length = self.last.length;
        if self.len() == 0 {
            return;
        }
        let (runs, parts) = (self.len() / length, length.div_ceil(CHUNK));
        let pieces = (0..runs * parts).into_par_iter().with_min_len(CHUNK / length.min(CHUNK));
        pieces.for_each(|piece| {
            let (run, begin) = (piece / parts, piece % parts * CHUNK);
            let first = self.start_of(run) + begin as isize * self.last.stride;
            let length = CHUNK.min(length - begin);
            each(
                run * self.last.length + begin,
                Piece { memory: self.memory, first, length, stride: self.last.stride },
            );
        });
    }

    /// Where the last axis begins in memory for the indices of the other axes that are `run` together.
    fn start_of(&self, mut run: usize) -> isize {
        let mut start = self.first as isize;
        for axis in self.outer.iter().rev() {
            start += (run % axis.length) as isize * axis.stride;
            run /= axis.length;
        }
        start
    }
}

/// Numbers that lie equally far apart.
struct Piece<'a> {
    memory: &'a [f32],
    first: isize,
    length: usize,
    stride: isize,
}

impl<'a> Piece<'a> {
    /// The numbers, if there are no others between them.
    fn in_a_row(&self) -> Option<&'a [f32]> {
        let first = self.first as usize;
        (self.stride == 1).then(|| &self.memory[first..first + self.length])
    }

    fn numbers(&self) -> impl Iterator<Item = f32> {
        (0..self.length as isize).map(|at| self.memory[(self.first + at * self.stride) as usize])
    }
}
