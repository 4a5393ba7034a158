//! Proteins at the borders of cells.

use super::pen::in_cells;
use crate::synthetic::plane::Plane;
use crate::synthetic::point::RandomPoints;
use crate::synthetic::shading::{bump, step};
use crate::synthetic::specimen::Specimen;

/// Short dashes at free borders, pointing inwards.
pub(crate) fn focal_adhesion_sites(specimen: &Specimen) -> Plane {
    let mut plane = specimen.shade(|at| 0.03 * at.cell.expression * at.body());
    in_cells(specimen, &mut plane, 113, |pen| {
        for _ in 0..pen.count(34.0, 50.0) {
            let at_border = pen.find(1.15, |place| place.free > 0.004 && place.free < 0.026 && place.contact > 0.03);
            let Some(outer) = at_border else { continue };
            let inwards = (pen.cell.nucleus.centre - outer).unit() + pen.random.in_disc() * 0.35;
            let length = pen.random.between(0.012, 0.024);
            pen.stroke(&[outer, outer + inwards.unit() * length], 0.0036, 1.0);
        }
    });
    plane
}

/// The whole border.
pub(crate) fn plasma_membrane(specimen: &Specimen) -> Plane {
    specimen.shade(|at| {
        let border = bump(0.009, at.place.rim - 0.006) * (0.85 + 0.35 * at.cloud);
        let inside = 0.10 * at.body() * (1.0 + 0.3 * at.grain) * (1.0 - 0.5 * at.chromatin());
        at.cell.expression * (border + inside)
    })
}

/// Borders with neighbours only, uneven.
pub(crate) fn cell_junctions(specimen: &Specimen) -> Plane {
    specimen.shade(|at| {
        let shared = bump(0.009, at.place.contact) * step(0.004, 0.022, at.place.free);
        at.cell.expression * (shared * (1.0 + 0.5 * at.grain) + 0.03 * at.body())
    })
}
