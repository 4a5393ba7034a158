//! The three stains that every image has: microtubules, nuclei, endoplasmic reticulum.

use super::cell::{Cell, Phase, SPINDLE};
use super::plane::Plane;
use super::point::{Point, RandomPoints};
use super::shading::{bump, decay, step};
use super::specimen::{Site, Specimen};

/// Width and brightness of a microtubule, as one figure.
const MICROTUBULE: f32 = 0.0008;
/// Lines of half a spindle.
const SPINDLE_LINES: usize = 26;

/// Microtubules: fibres, spindles and bridges on a faint haze.
pub(crate) fn red(specimen: &Specimen) -> Plane {
    let mut plane = Plane::dark(specimen.side());
    for (cell, fibres) in specimen.cells.iter().zip(&specimen.microtubules) {
        fibres.iter().for_each(|fibre| draw(&mut plane, fibre, MICROTUBULE * cell.vigour));
        draw_division(&mut plane, cell, MICROTUBULE * cell.vigour);
    }
    let haze = specimen.shade(|at| {
        let outside = at.cytoplasm() + 0.25 * at.chromatin();
        0.055 * at.cell.vigour * outside * (1.0 + 1.6 * decay(0.03, at.place.nucleus)) * (1.0 + 0.3 * at.grain)
    });
    plane.light.iter_mut().zip(&haze.light).for_each(|(value, haze)| *value += haze);
    plane
}

/// Adds a fibre's line.
pub(crate) fn draw(plane: &mut Plane, fibre: &[Point], width: f32) {
    fibre.windows(2).for_each(|pair| plane.add_line(pair[0], pair[1], width));
}

/// Adds the microtubules that only dividing cells have.
pub(crate) fn draw_division(plane: &mut Plane, cell: &Cell, width: f32) {
    match cell.phase {
        Phase::Resting => {}
        Phase::Dividing => draw_spindle(plane, cell, width),
        Phase::Parted(middle) => draw_bridge(plane, cell, middle, width),
    }
}

/// From two poles to the chromosomes, and a few towards the border.
fn draw_spindle(plane: &mut Plane, cell: &Cell, width: f32) {
    let mut random = cell.random.split(2);
    let plate = &cell.nucleus;
    for side in [1.0, -1.0] {
        let pole = plate.centre + plate.axis.perpendicular() * (side * SPINDLE);
        for _ in 0..SPINDLE_LINES {
            let spread = 0.95 * random.signed();
            let goal = plate.point(spread, 0.0);
            let bulge = (pole + goal) * 0.5 + plate.axis * (spread * 0.018);
            draw(plane, &[pole, bulge, goal], width * 1.8);
            let ray = random.direction() * random.between(0.02, 0.04);
            draw(plane, &[pole, pole + ray], width * 0.5);
        }
    }
}

/// A sheaf from the bridge's middle into one sister.
fn draw_bridge(plane: &mut Plane, cell: &Cell, middle: Point, width: f32) {
    let mut random = cell.random.split(2);
    let inwards = (cell.body.centre - middle).unit();
    for _ in 0..SPINDLE_LINES / 2 {
        let sideways = inwards.perpendicular() * random.signed();
        let end = middle + inwards * random.between(0.03, 0.06) + sideways * 0.02;
        draw(plane, &[middle + sideways * 0.002, middle + inwards * 0.016 + sideways * 0.003, end], width * 1.3);
    }
}

/// Nuclei with their texture, dark nucleoli and, in some cell lines, bright spots.
pub(crate) fn blue(specimen: &Specimen) -> Plane {
    let mut plane = specimen.shade(|at| {
        let texture = if at.cell.rests() { 0.60 + 0.16 * at.cloud + 0.17 * at.grain } else { 1.15 + 0.1 * at.grain };
        let envelope = 0.12 * bump(0.008, at.place.nucleus - 0.004);
        at.cell.vigour * at.chromatin() * (texture + envelope) * (1.0 - 0.55 * at.nucleolus)
    });
    if specimen.style.chromocentres {
        draw_chromocentres(specimen, &mut plane);
    }
    plane
}

/// Clumps of chromatin, as the nuclei of mice have them.
fn draw_chromocentres(specimen: &Specimen, plane: &mut Plane) {
    for cell in specimen.cells.iter().filter(|cell| cell.phase == Phase::Resting) {
        let mut random = cell.random.split(3);
        for _ in 0..9 + random.below(8) {
            let centre = cell.nucleus.random_point(0.82, &mut random);
            if specimen.chart.at(centre).nucleus < 0.006 {
                continue;
            }
            plane.dot(centre, random.between(0.004, 0.008), cell.vigour * random.between(0.8, 1.2));
        }
    }
}

/// Endoplasmic reticulum: a net that thins out away from the nucleus.
pub(crate) fn yellow(specimen: &Specimen) -> Plane {
    specimen.shade(|at| at.cell.vigour * reticulum(at, specimen.style.reticulum_reach))
}

/// Brightness of the endoplasmic reticulum at a pixel.
pub(crate) fn reticulum(at: &Site<'_>, reach: f32) -> f32 {
    let density = 0.20 + 0.80 * decay(reach, at.place.nucleus.min(0.0));
    let net = 0.36 + 0.48 * at.mesh + 0.20 * at.cloud + 0.22 * at.grain;
    let thin_edge = step(0.0, 0.03, at.place.rim);
    0.55 * density * net.max(0.0) * (at.cytoplasm() * (0.4 + 0.6 * thin_edge) + 0.12 * at.chromatin())
}
