//! Proteins around the place where microtubules start.

use super::pen::in_cells;
use crate::synthetic::plane::Plane;
use crate::synthetic::point::RandomPoints;
use crate::synthetic::specimen::Specimen;

/// A ribbon of stacks beside the nucleus.
pub(crate) fn golgi_apparatus(specimen: &Specimen) -> Plane {
    let mut plane = specimen.shade(|at| 0.02 * at.cell.expression * at.body());
    in_cells(specimen, &mut plane, 107, |pen| {
        let outwards = (pen.cell.centrosome - pen.cell.nucleus.centre).unit();
        let along = outwards.perpendicular();
        for _ in 0..pen.count(18.0, 27.0) {
            let sideways = 0.038 * pen.random.signed();
            // The ribbon bends around the nucleus.
            let outside = 0.010 * pen.random.signed() - 7.0 * sideways * sideways;
            let middle = pen.cell.centrosome + along * sideways + outwards * outside;
            let tilt = (along + pen.random.in_disc() * 0.9).unit() * pen.random.between(0.004, 0.010);
            let radius = pen.size(0.0032, 0.0048);
            let light = pen.random.between(0.7, 1.2);
            pen.stroke(&[middle - tilt, middle + tilt], radius, light);
        }
    });
    plane
}

/// One bright spot in a haze.
pub(crate) fn microtubule_organizing_center(specimen: &Specimen) -> Plane {
    const HAZE: [(f32, f32); 4] = [(0.040, 0.16), (0.030, 0.28), (0.021, 0.48), (0.012, 1.0)];
    let mut plane = specimen.shade(|at| 0.025 * at.cell.expression * at.body());
    in_cells(specimen, &mut plane, 118, |pen| {
        for (radius, light) in HAZE {
            pen.dot(pen.cell.centrosome, radius, light);
        }
    });
    plane
}

/// One or two tiny bright dots.
pub(crate) fn centrosome(specimen: &Specimen) -> Plane {
    let mut plane = specimen.shade(|at| 0.025 * at.cell.expression * at.body());
    in_cells(specimen, &mut plane, 119, |pen| {
        let apart = pen.random.direction() * 0.0065;
        let pair = pen.random.chance(0.7);
        let radius = pen.size(0.0052, 0.0062);
        pen.dot(pen.cell.centrosome + apart, radius, 2.2);
        if pair {
            pen.dot(pen.cell.centrosome - apart, radius, 2.2);
        }
    });
    plane
}
