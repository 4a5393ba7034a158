//! Numbers that lie among others.

mod support;

use athanor_kernels::Strided;
use proptest::prelude::*;
use support::{near, numbers};

/// An axis of an array: its length, what is taken of it, and how far apart.
#[derive(Debug, Clone, Copy)]
struct Axis {
    length: usize,
    first: usize,
    taken: usize,
    step: usize,
    backwards: bool,
}

fn axis() -> impl Strategy<Value = Axis> {
    (1_usize..7, any::<bool>(), 1_usize..3).prop_flat_map(|(length, backwards, step)| {
        (0..length).prop_flat_map(move |first| {
            let most = (length - first).div_ceil(step);
            (0..=most).prop_map(move |taken| Axis { length, first, taken, step, backwards })
        })
    })
}

/// The places of the numbers, one after the other.
fn places(axes: &[Axis]) -> Vec<usize> {
    axes.iter().fold(vec![0], |places, axis| {
        let along: Vec<usize> = (0..axis.taken).map(|at| axis.first + at * axis.step).collect();
        let along: Vec<usize> = if axis.backwards { along.into_iter().rev().collect() } else { along };
        places.iter().flat_map(|place| along.iter().map(move |at| place * axis.length + at)).collect()
    })
}

proptest! {
    #[test]
    fn parts_of_arrays_are_copied_and_added_in_their_order(axes in prop::collection::vec(axis(), 0..5)) {
        let memory = numbers(1, axes.iter().map(|axis| axis.length).product());
        let (mut first, mut width) = (0, 1);
        let mut strides: Vec<isize> = Vec::new();
        for axis in axes.iter().rev() {
            let last = axis.first + axis.taken.saturating_sub(1) * axis.step;
            first += width * if axis.backwards { last } else { axis.first };
            let stride = (width * axis.step) as isize;
            strides.insert(0, if axis.backwards { -stride } else { stride });
            width *= axis.length;
        }
        let shape: Vec<usize> = axes.iter().map(|axis| axis.taken).collect();
        let part = Strided::new(&memory, first, &shape, &strides);
        let right: Vec<f32> = places(&axes).into_iter().map(|place| memory[place]).collect();
        prop_assert_eq!(part.copied(), right.clone());
        let mut sums = numbers(2, right.len());
        let added: Vec<f64> = sums.iter().zip(&right).map(|(sum, number)| f64::from(*sum) + f64::from(*number)).collect();
        part.add_to(&mut sums);
        near(&sums, &added, 1e-6, "sums");
    }
}

#[test]
fn long_and_repeated_numbers_are_shared_out_among_threads() {
    let memory = numbers(3, 3 * 50_000);
    let middle = Strided::new(&memory, 10_000, &[3, 40_000], &[50_000, 1]).copied();
    let right: Vec<f32> = memory.chunks(50_000).flat_map(|row| row[10_000..].iter().copied()).collect();
    assert!(middle == right);
    let repeated = Strided::new(&memory, 7, &[2, 30_000], &[1, 0]).copied();
    assert!(repeated == [vec![memory[7]; 30_000], vec![memory[8]; 30_000]].concat());
}

#[test]
#[should_panic(expected = "out of range")]
fn what_is_beyond_the_memory_is_refused() {
    Strided::new(&[0.0; 10], 4, &[2, 4], &[4, 1]).copied();
}

#[test]
fn matrices_are_transposed() {
    let memory = numbers(4, 2 * 37 * 53 + 5);
    let transposed = Strided::new(&memory, 5, &[2, 53, 37], &[37 * 53, 1, 53]).copied();
    let place = |at: usize| at / (53 * 37) * (53 * 37) + at % 37 * 53 + at / 37 % 53;
    assert!(transposed == (0..transposed.len()).map(|at| memory[5 + place(at)]).collect::<Vec<f32>>());
}
