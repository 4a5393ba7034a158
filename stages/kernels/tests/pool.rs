//! Pooling and its gradients against windows that are looked at one by one.

mod support;

use athanor_kernels::InstructionSet;
use athanor_kernels::norm::FeatureMaps;
use athanor_kernels::pool::{PooledPlanes, Windows};
use proptest::prelude::*;
use support::{near, numbers};

/// The places of a window's numbers in the plane.
fn window(windows: &Windows, row: usize, column: usize) -> Vec<usize> {
    let Windows { size, window, stride, padding } = *windows;
    let places = (0..window).flat_map(|down| (0..window).map(move |right| (down, right)));
    let inside = places.filter_map(|(down, right)| {
        let y = (row * stride + down).checked_sub(padding).filter(|y| *y < size[0])?;
        let x = (column * stride + right).checked_sub(padding).filter(|x| *x < size[1])?;
        Some(y * size[1] + x)
    });
    inside.collect()
}

/// Compares bits: each number is summed up in one order, for every instruction set.
fn compare(windows: &Windows, planes: usize) {
    let [rows, columns] = windows.size_out();
    let (area, area_out) = (windows.size[0] * windows.size[1], rows * columns);
    let input = numbers(1, planes * area);
    let gradient = numbers(2, planes * area_out);
    let share = 1.0 / (windows.window * windows.window) as f32;
    let [mut largest, mut mean] = [0, 1].map(|_| vec![0.0; planes * area_out]);
    let (mut of_largest, mut of_mean) = (vec![0.0; planes * area], vec![0.0; planes * area]);
    for plane in 0..planes {
        // Of each row, the last window first: the order in which a pixel's share of its windows' gradients is summed up.
        for (row, column) in (0..rows).flat_map(|row| (0..columns).rev().map(move |column| (row, column))) {
            let out = plane * area_out + row * columns + column;
            let places: Vec<usize> = window(windows, row, column).iter().map(|at| plane * area + at).collect();
            let winner = places.iter().copied().max_by(|a, b| input[*a].total_cmp(&input[*b])).unwrap();
            largest[out] = input[winner];
            of_largest[winner] += f64::from(gradient[out]);
            mean[out] = places.iter().fold(0.0, |sum: f32, at| sum + input[*at]) * share;
            places.iter().for_each(|at| of_mean[*at] += gradient[out] * share);
        }
    }
    for set in InstructionSet::available() {
        let (ours, places) = windows.max_and_places(set, &input);
        assert_eq!(ours, largest, "largest");
        assert_eq!(windows.max(set, &input), largest, "largest without places");
        near(&windows.max_gradient(&gradient, &places), &of_largest, 1e-6, "largest's gradient");
        assert_eq!(windows.mean(set, &input), mean, "mean");
        assert_eq!(windows.mean_gradient(set, &gradient), of_mean, "mean's gradient");
    }
}

proptest! {
    #[test]
    fn any_pooling_is_as_it_is_defined(
        planes in 1_usize..5, height in 4_usize..20, width in 4_usize..20, window in 1_usize..5, stride in 1_usize..4,
        padding in 0_usize..3,
    ) {
        compare(&Windows { size: [height, width], window, stride, padding: padding.min(window - 1) }, planes);
    }
}

#[test]
fn small_planes_are_pooled_together_and_large_ones_alone() {
    for (size, planes) in [([1, 1], 300), ([4, 4], 100), ([40, 30], 3), ([100, 90], 2)] {
        for (stride, padding) in [(1, 1), (2, 1), (3, 2)] {
            compare(&Windows { size, window: 3, stride, padding }, planes);
        }
    }
}

#[test]
fn what_is_no_number_is_the_largest() {
    let windows = Windows { size: [2, 2], window: 2, stride: 2, padding: 0 };
    let lowest = [f32::NEG_INFINITY; 4];
    let input = [&[1.0, f32::NAN, 3.0, 2.0], &lowest[..]].concat();
    for set in InstructionSet::available() {
        let (largest, places) = windows.max_and_places(set, &input);
        assert!(largest[0].is_nan() && places[0] == 1);
        assert_eq!((largest[1], places[1]), (f32::NEG_INFINITY, 0));
        assert!(windows.max(set, &input)[0].is_nan());
    }
}

#[test]
fn padding_is_never_the_largest() {
    let windows = Windows { size: [3, 3], window: 3, stride: 2, padding: 1 };
    for set in InstructionSet::available() {
        let (largest, places) = windows.max_and_places(set, &[f32::NEG_INFINITY; 9]);
        assert_eq!(largest, [f32::NEG_INFINITY; 4]);
        assert_eq!(places, [4, 3, 1, 0], "the first place in the plane");
    }
}

#[test]
fn whole_planes_have_a_mean_and_a_largest_number() {
    for maps in
        [[3, 5, 9], [1, 1, 1], [2, 3, 1024]].map(|[batch, channels, area]| FeatureMaps { batch, channels, area })
    {
        let FeatureMaps { batch, channels, area } = maps;
        let (input, gradient) = (numbers(1, batch * channels * area), numbers(2, batch * 2 * channels));
        let pooled = PooledPlanes::of(maps, &input);
        let found = PooledPlanes::gradient(maps, &gradient, &pooled.places);
        let (mut right, mut of_input) = (vec![0.0; gradient.len()], vec![0.0; input.len()]);
        for (at, plane) in input.chunks(area).enumerate() {
            let [mean, maximum] = [0, channels].map(|half| at / channels * 2 * channels + half + at % channels);
            right[mean] = plane.iter().map(|number| f64::from(*number)).sum::<f64>() / area as f64;
            let place = (0..area).max_by(|a, b| plane[*a].total_cmp(&plane[*b])).unwrap();
            right[maximum] = f64::from(plane[place]);
            of_input[at * area..][..area].fill(f64::from(gradient[mean]) / area as f64);
            of_input[at * area + place] += f64::from(gradient[maximum]);
        }
        near(&pooled.numbers, &right, 1e-6, "pooled");
        near(&found, &of_input, 1e-6, "gradient");
    }
    let maps = FeatureMaps { batch: 1, channels: 3, area: 3 };
    let odd = PooledPlanes::of(maps, &[1.0, 2.0, 2.0, 1.0, f32::NAN, f32::NAN, f32::NEG_INFINITY, -1.0, -2.0]);
    assert_eq!(odd.places, [1, 1, 1]);
    assert!(odd.numbers[4].is_nan() && odd.numbers[1].is_nan());
}
