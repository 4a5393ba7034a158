//! Proteins of the nucleus.

use super::pen::in_cells;
use crate::synthetic::plane::Plane;
use crate::synthetic::point::RandomPoints;
use crate::synthetic::shading::bump;
use crate::synthetic::specimen::{Site, Specimen};

/// Light that some of a nuclear protein spreads over the whole nucleus.
fn faintly(specimen: &Specimen, light: f32) -> Plane {
    specimen.shade(|at| light * soluble(at))
}

/// Even light in the nucleus, but for the nucleoli.
fn soluble(at: &Site<'_>) -> f32 {
    let texture = 1.0 + 0.18 * at.cloud + 0.25 * at.grain;
    at.cell.expression * at.nucleus() * texture * (1.0 - 0.85 * at.nucleolus)
}

/// The nucleus without its nucleoli.
pub(crate) fn nucleoplasm(specimen: &Specimen) -> Plane {
    faintly(specimen, 0.62)
}

/// A thin rim, with folds that cross the nucleus.
pub(crate) fn nuclear_membrane(specimen: &Specimen) -> Plane {
    specimen.shade(|at| {
        let rim = if at.cell.rests() { bump(0.0085, at.place.nucleus) } else { 0.0 };
        let folds = 0.25 * bump(0.05, at.cloud) * at.nucleus();
        at.cell.expression * (0.95 * rim + folds + 0.13 * at.nucleus())
    })
}

/// The few large dense bodies.
pub(crate) fn nucleoli(specimen: &Specimen) -> Plane {
    specimen.shade(|at| {
        let texture = 0.95 + 0.3 * at.grain;
        at.cell.expression * at.nucleus() * (at.nucleolus * texture + 0.06 * (1.0 - at.nucleolus))
    })
}

/// Small dots inside the nucleoli.
pub(crate) fn fibrillar_centres(specimen: &Specimen) -> Plane {
    let mut plane = faintly(specimen, 0.04);
    in_cells(specimen, &mut plane, 103, |pen| {
        for nucleolus in &pen.cell.nucleoli {
            for _ in 0..2 + pen.random.below(3) {
                let centre = nucleolus.centre + pen.random.in_disc() * (0.75 * nucleolus.radius);
                let radius = pen.size(0.0034, 0.0048);
                if pen.place(centre).nucleus > 0.0 {
                    pen.dot(centre, radius, 1.7);
                }
            }
        }
    });
    plane
}

/// Many irregular spots.
pub(crate) fn nuclear_speckles(specimen: &Specimen) -> Plane {
    let mut plane = faintly(specimen, 0.12);
    in_cells(specimen, &mut plane, 104, |pen| {
        for _ in 0..pen.count(20.0, 34.0) {
            let Some(centre) = pen.in_nucleus() else { continue };
            let light = pen.random.between(0.6, 1.1);
            for _ in 0..1 + pen.random.below(3) {
                let radius = pen.size(0.0038, 0.0068);
                let aside = pen.random.in_disc() * 0.007;
                pen.dot(centre + aside, radius, light);
            }
        }
    });
    plane
}

/// A few round dots.
pub(crate) fn nuclear_bodies(specimen: &Specimen) -> Plane {
    let mut plane = faintly(specimen, 0.07);
    in_cells(specimen, &mut plane, 105, |pen| {
        for _ in 0..pen.count(3.0, 7.0) {
            let Some(centre) = pen.in_nucleus() else { continue };
            let radius = pen.size(0.0060, 0.0085);
            pen.dot(centre, radius, 1.3);
        }
    });
    plane
}
