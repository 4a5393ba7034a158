//! Pooling and its gradients against windows that are looked at one by one.

mod support;

use athanor_kernels::pool::Windows;
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

fn compare(windows: &Windows, planes: usize) {
    let [rows, columns] = windows.size_out();
    let (area, area_out) = (windows.size[0] * windows.size[1], rows * columns);
    let input = numbers(1, planes * area);
    let gradient = numbers(2, planes * area_out);
    let share = 1.0 / (windows.window * windows.window) as f64;
    let [mut largest, mut mean] = [0, 1].map(|_| vec![0.0; planes * area_out]);
    let [mut of_largest, mut of_mean] = [0, 1].map(|_| vec![0.0; planes * area]);
    for plane in 0..planes {
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            let out = plane * area_out + row * columns + column;
            let places: Vec<usize> = window(windows, row, column).iter().map(|at| plane * area + at).collect();
            let winner = places.iter().copied().max_by(|a, b| input[*a].total_cmp(&input[*b])).unwrap();
            largest[out] = f64::from(input[winner]);
            of_largest[winner] += f64::from(gradient[out]);
            mean[out] = places.iter().map(|at| f64::from(input[*at])).sum::<f64>() * share;
            places.iter().for_each(|at| of_mean[*at] += f64::from(gradient[out]) * share);
        }
    }
    let (ours, places) = windows.max(&input);
    near(&ours, &largest, 1e-7, "largest");
    near(&windows.max_gradient(&gradient, &places), &of_largest, 1e-6, "largest's gradient");
    near(&windows.mean(&input), &mean, 1e-6, "mean");
    near(&windows.mean_gradient(&gradient), &of_mean, 1e-6, "mean's gradient");
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
fn what_is_no_number_is_the_largest() {
    let windows = Windows { size: [2, 2], window: 2, stride: 2, padding: 0 };
    let (largest, places) = windows.max(&[
        1.0,
        f32::NAN,
        3.0,
        2.0,
        f32::NEG_INFINITY,
        f32::NEG_INFINITY,
        f32::NEG_INFINITY,
        f32::NEG_INFINITY,
    ]);
    assert!(largest[0].is_nan() && places[0] == 1);
    assert_eq!((largest[1], places[1]), (f32::NEG_INFINITY, 0));
}
