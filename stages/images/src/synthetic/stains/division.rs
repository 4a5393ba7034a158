//! Proteins that show while a cell divides.

use crate::synthetic::cell::{Cell, Phase, SPINDLE};
use crate::synthetic::markers;
use crate::synthetic::plane::Plane;
use crate::synthetic::point::Point;
use crate::synthetic::specimen::Specimen;

/// Light in cells that do not divide.
const ELSEWHERE: f32 = 0.03;

/// Width and brightness of a spindle's line, as one figure.
const SPINDLE_LINE: f32 = 0.0017;

/// Two bars between sisters, with a gap where the bridge will be cut.
pub(crate) fn cytokinetic_bridge(specimen: &Specimen) -> Plane {
    let mut plane = elsewhere(specimen);
    for cell in &specimen.cells {
        if let Phase::Parted(middle) = cell.phase {
            let inwards = (cell.body.centre - middle).unit();
            plane.stroke(&[middle + inwards * 0.005, middle + inwards * 0.022], 0.0085, 1.6 * cell.expression);
        }
    }
    plane
}

/// Spindles, brightest at their poles.
pub(crate) fn mitotic_spindle(specimen: &Specimen) -> Plane {
    let mut plane = elsewhere(specimen);
    for cell in specimen.cells.iter().filter(|cell| cell.phase == Phase::Dividing) {
        markers::draw_division(&mut plane, cell, SPINDLE_LINE * cell.expression);
        poles(cell).into_iter().for_each(|pole| plane.dot(pole, 0.0085, 0.9 * cell.expression));
    }
    plane
}

fn elsewhere(specimen: &Specimen) -> Plane {
    specimen.shade(|at| ELSEWHERE * at.cell.expression * at.body() * (1.0 + 0.3 * at.grain))
}

fn poles(cell: &Cell) -> [Point; 2] {
    let across = cell.nucleus.axis.perpendicular() * SPINDLE;
    [cell.nucleus.centre + across, cell.nucleus.centre - across]
}
