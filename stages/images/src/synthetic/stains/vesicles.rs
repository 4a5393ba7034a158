//! Proteins in round things of the cytoplasm, told apart by number, size, place and shape.

use super::pen::{Pen, in_cells};
use crate::synthetic::fibres::Habit;
use crate::synthetic::plane::Plane;
use crate::synthetic::point::Point;
use crate::synthetic::point::RandomPoints;
use crate::synthetic::specimen::Specimen;

/// Farther from the nucleus than any cell reaches.
const ANYWHERE: f32 = 1.0;

/// A faint trace of the protein in the whole cytoplasm.
fn trace(specimen: &Specimen, light: f32) -> Plane {
    specimen.shade(|at| light * at.cell.expression * at.cytoplasm())
}

/// Very many tiny dots, evenly spread.
pub(crate) fn peroxisomes(specimen: &Specimen) -> Plane {
    let mut plane = trace(specimen, 0.05);
    in_cells(specimen, &mut plane, 108, |pen| {
        for _ in 0..pen.count(90.0, 130.0) {
            let Some(centre) = pen.in_cytoplasm(ANYWHERE) else { continue };
            let radius = pen.size(0.0030, 0.0036);
            pen.dot(centre, radius, 1.7);
        }
    });
    plane
}

/// Dots of many sizes, small ones far out, larger and hollow ones near the nucleus.
pub(crate) fn endosomes(specimen: &Specimen) -> Plane {
    let mut plane = trace(specimen, 0.07);
    in_cells(specimen, &mut plane, 109, |pen| {
        for _ in 0..pen.count(26.0, 38.0) {
            let Some(centre) = pen.in_cytoplasm(0.09) else { continue };
            let near = (1.0 + pen.place(centre).nucleus / 0.09).max(0.0);
            let radius = pen.size(0.0035, 0.0050) + 0.006 * near * pen.random.unit();
            if radius > 0.0075 {
                pen.ring(centre, radius, 0.0034, 0.95);
            } else {
                pen.dot(centre, radius, 1.1);
            }
        }
    });
    plane
}

/// Large bright dots that crowd on one side of the nucleus.
pub(crate) fn lysosomes(specimen: &Specimen) -> Plane {
    let mut plane = trace(specimen, 0.03);
    in_cells(specimen, &mut plane, 110, |pen| {
        for _ in 0..pen.count(18.0, 28.0) {
            let centre = pen.cell.centrosome + pen.random.in_disc() * 0.065;
            let place = pen.place(centre);
            if place.cell == Some(pen.ground.number) && place.rim > 0.01 && place.nucleus < -0.004 {
                let radius = pen.size(0.0065, 0.0100);
                let light = pen.random.between(0.7, 1.3);
                pen.dot(centre, radius, light);
            }
        }
    });
    plane
}

/// Hollow drops in loose clusters.
pub(crate) fn lipid_droplets(specimen: &Specimen) -> Plane {
    let mut plane = trace(specimen, 0.03);
    in_cells(specimen, &mut plane, 120, |pen| {
        for _ in 0..pen.count(4.0, 7.0) {
            let Some(middle) = pen.in_cytoplasm(ANYWHERE) else { continue };
            for _ in 0..2 + pen.random.below(4) {
                let radius = pen.size(0.0065, 0.0125);
                let aside = pen.random.in_disc() * 0.024;
                pen.ring(middle + aside, radius, 0.0034, 1.1);
            }
        }
    });
    plane
}

/// One large lump beside the nucleus.
pub(crate) fn aggresome(specimen: &Specimen) -> Plane {
    let mut plane = trace(specimen, 0.05);
    in_cells(specimen, &mut plane, 124, |pen| {
        let outwards = (pen.cell.centrosome - pen.cell.nucleus.centre).unit();
        let middle = pen.cell.centrosome + outwards * 0.012;
        for _ in 0..6 {
            let aside = pen.random.in_disc() * 0.010;
            let radius = pen.size(0.013, 0.018);
            pen.dot(middle + aside, radius, 1.15);
        }
    });
    plane
}

/// A few bright round dots.
pub(crate) fn cytoplasmic_bodies(specimen: &Specimen) -> Plane {
    let mut plane = trace(specimen, 0.06);
    in_cells(specimen, &mut plane, 126, |pen| {
        for _ in 0..pen.count(4.0, 9.0) {
            let Some(centre) = pen.in_cytoplasm(ANYWHERE) else { continue };
            let radius = pen.size(0.0055, 0.0075);
            pen.dot(centre, radius, 1.8);
        }
    });
    plane
}

/// A few rods and rings.
pub(crate) fn rods_and_rings(specimen: &Specimen) -> Plane {
    let mut plane = trace(specimen, 0.07);
    in_cells(specimen, &mut plane, 127, |pen| {
        for number in 0..pen.count(3.0, 5.0) {
            let Some(at) = pen.in_cytoplasm(ANYWHERE) else { continue };
            if number % 2 == 0 { rod(pen, at) } else { pen.ring(at, 0.0165, 0.0042, 1.3) }
        }
    });
    plane
}

fn rod(pen: &mut Pen<'_>, start: Point) {
    const HABIT: Habit = Habit { strides: 5, wobble: 0.08 };
    let direction = pen.random.direction();
    let rod = pen.ground.grow(start, direction, HABIT, &mut pen.random);
    pen.stroke(&rod, 0.0042, 1.3);
}
