use super::*;
use crate::synthetic::{HPA_CLASS_NAMES, HPA_CLASSES};
use anatomy::TissuePosition;
use cell::{Cell, Phase};
use point::Point;

/// Side of the planes that are looked at.
const SIDE: usize = 128;
/// Light that most proteins leave all over a cell.
const TRACE: f32 = 0.1;

fn scene(classes: &[usize], side: usize, seed: u64) -> Scene {
    Scene { classes: classes.to_vec(), side, seed, antibody: seed, exposure: seed }
}

/// Share of a class's light, but for traces, at places that `wanted` accepts, over three specimens.
fn share(class: usize, wanted: impl Fn(Point, &TissuePosition, Option<&Cell>, &Specimen) -> bool) -> f32 {
    let (mut there, mut all) = (0.0, 0.0);
    for seed in 0..3 {
        let style = Style { haze: 0.0, ..Style::of(seed) };
        let specimen = Specimen::new(stains::wishes(&[class]), style, &Random::new(seed), SIDE);
        for (at, light) in stains::green(&specimen, &[class]).light.iter().enumerate() {
            let pixel = |number: usize| (number as f32 + 0.5) / SIDE as f32;
            let point = Point::new(pixel(at % SIDE), pixel(at / SIDE));
            let place = specimen.chart.at(point);
            let cell = place.cell.map(|cell| &specimen.cells[usize::from(cell)]);
            let light = (light - TRACE).max(0.0);
            all += light;
            if wanted(point, place, cell, &specimen) {
                there += light;
            }
        }
    }
    there / all
}

/// Fails unless each class has at least `least` of its light at places that `wanted` accepts.
fn expect(classes: &[usize], least: f32, wanted: impl Fn(Point, &TissuePosition, Option<&Cell>, &Specimen) -> bool) {
    for class in classes {
        let share = share(*class, &wanted);
        assert!(share > least, "{}: only {share} of its light is where it should be", HPA_CLASS_NAMES[*class]);
    }
}

#[test]
fn nuclear_proteins_are_in_nuclei() {
    expect(&[0, 2, 3, 4, 5], 0.9, |_, place, _, _| place.nucleus > -0.004);
    expect(&[1], 0.7, |_, place, _, _| place.nucleus.abs() < 0.012);
    expect(&[2, 3], 0.8, |point, _, _, specimen| {
        let mut bodies = specimen.cells.iter().flat_map(|cell| &cell.nucleoli);
        bodies.any(|body| (body.centre - point).length() < body.radius + 0.006)
    });
}

#[test]
fn proteins_of_the_cytoplasm_are_outside_nuclei() {
    expect(&[6, 8, 9, 10, 11, 14, 15, 20, 23, 24, 25, 26, 27], 0.85, |_, place, _, _| place.nucleus < 0.004);
}

#[test]
fn proteins_of_borders_are_at_borders() {
    expect(&[13, 21], 0.8, |_, place, _, _| place.rim < 0.035);
    expect(&[22], 0.8, |_, place, _, _| place.contact < 0.012);
}

#[test]
fn proteins_around_the_centrosome_are_around_it() {
    expect(&[7, 10, 18, 19, 24], 0.9, |point, _, _, specimen| {
        specimen.cells.iter().any(|cell| (cell.centrosome - point).length() < 0.07)
    });
}

#[test]
fn proteins_of_division_are_in_dividing_cells() {
    expect(&[17], 0.9, |_, _, cell, _| cell.is_some_and(|cell| cell.phase == Phase::Dividing));
    expect(&[16], 0.9, |point, _, _, specimen| {
        specimen.cells.iter().any(|cell| match cell.phase {
            Phase::Parted(middle) => (middle - point).length() < 0.04,
            _ => false,
        })
    });
}

#[test]
fn every_class_shows_at_every_size() {
    for (class, name) in HPA_CLASS_NAMES.iter().enumerate() {
        for side in [64, 200] {
            let [_, green, ..] = render(&scene(&[class], side, 11));
            assert_eq!(green.len(), side * side);
            assert!(green.iter().any(|value| *value > 50), "{name} at {side}");
        }
    }
}

#[test]
fn a_scene_looks_alike_at_every_size() {
    for seed in 0..4 {
        let (small, large) = (render(&scene(&[0, 21], 64, seed)), render(&scene(&[0, 21], 256, seed)));
        for (small, large) in small.iter().zip(&large) {
            let reduced: Vec<f32> = (0..64 * 64).map(|at| mean_of_block(large, at)).collect();
            let off = small.iter().zip(&reduced).map(|(one, two)| (f32::from(*one) - two).abs()).sum::<f32>();
            let all = reduced.iter().sum::<f32>();
            assert!(off < 0.25 * all, "{off} of {all}");
        }
    }
}

/// The mean of the 4 x 4 pixels that become pixel `at` of a plane a quarter as large.
fn mean_of_block(large: &[u8], at: usize) -> f32 {
    let (column, row) = (at % 64 * 4, at / 64 * 4);
    let block = (0..16).map(|part| f32::from(large[(row + part / 4) * 256 + column + part % 4]));
    block.sum::<f32>() / 16.0
}

#[test]
fn exposures_of_a_scene_differ_in_little() {
    let one = scene(&[0, 25], 64, 3);
    let two = Scene { exposure: 4, ..one.clone() };
    for (one, two) in render(&one).iter().zip(&render(&two)) {
        assert_ne!(one, two);
        assert!(one.iter().zip(two).all(|(one, two)| one.abs_diff(*two) < 40));
    }
}

/// A change of how images look changes these, and raises the revision of `synthetic_cells`.
#[test]
fn the_bytes_are_these() {
    let digest = |classes: &[usize], side: usize, seed: u64| {
        let planes = render(&scene(classes, side, seed)).concat();
        blake3::hash(&planes).to_hex().to_string()
    };
    let all: Vec<usize> = (0..HPA_CLASSES).collect();
    let digests = [digest(&all, 64, 1), digest(&all, 200, 2), digest(&[16, 17], 256, 3), digest(&[], 64, 4)];
    let pinned = [
        "df609311ab77de87d7b9d073c0f37330469ff915423744a82dc29551b1b6ce0e",
        "efd412fe9d165b31c5fc1430670c69bfae21f3031d9bd74039d10ebee9fb7c36",
        "6714f930e4aa0193d584b5a2ece4debf8c6947baaaecd7d57f87490eea02ff74",
        "4a6beeaf93491cca2288490e6c5e7cb6bafd046dc026e98bd10e7801d476a6f5",
    ];
    assert_eq!(digests, pinned);
}
