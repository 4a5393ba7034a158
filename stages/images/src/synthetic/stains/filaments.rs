//! Proteins of fibres and other long things.

use super::pen::{Pen, in_cells};
use crate::synthetic::fibres::Habit;
use crate::synthetic::markers;
use crate::synthetic::plane::Plane;
use crate::synthetic::point::Point;
use crate::synthetic::point::RandomPoints;
use crate::synthetic::shading::bump;
use crate::synthetic::specimen::Specimen;

/// Width and brightness of a microtubule, as one figure.
const MICROTUBULE: f32 = 0.0011;

/// Wavy bundles that cage the nucleus.
pub(crate) fn intermediate_filaments(specimen: &Specimen) -> Plane {
    const HABIT: Habit = Habit { strides: 14, wobble: 0.75 };
    let mut plane = specimen
        .shade(|at| at.cell.expression * at.cytoplasm() * (0.03 + 0.25 * bump(0.035, at.place.nucleus + 0.012)));
    in_cells(specimen, &mut plane, 111, |pen| {
        for _ in 0..pen.count(34.0, 46.0) {
            let Some(start) = pen.in_cytoplasm(0.05) else { continue };
            let direction = around_nucleus(pen, start);
            let fibre = pen.ground.grow(start, direction, HABIT, &mut pen.random);
            pen.line(&fibre, 0.0032);
        }
    });
    plane
}

/// About along the nuclear envelope, one way or the other.
fn around_nucleus(pen: &mut Pen<'_>, start: Point) -> Point {
    let outwards = (start - pen.cell.nucleus.centre).unit();
    let way = if pen.random.chance(0.5) { 1.0 } else { -1.0 };
    (outwards.perpendicular() * way + pen.random.in_disc() * 0.6).unit()
}

/// Straight fibres along the cell, from border to border.
pub(crate) fn actin_filaments(specimen: &Specimen) -> Plane {
    let mut plane =
        specimen.shade(|at| at.cell.expression * (0.04 * at.body() + 0.22 * bump(0.012, at.place.rim - 0.006)));
    in_cells(specimen, &mut plane, 112, |pen| {
        for _ in 0..pen.count(24.0, 36.0) {
            let Some(middle) = pen.find(1.0, |place| place.rim > 0.01) else { continue };
            let along = (pen.cell.body.axis + pen.random.in_disc() * 0.12).unit();
            let ends = [border(pen, middle, along * -1.0), border(pen, middle, along)];
            let width = pen.random.between(0.0012, 0.0038);
            pen.line(&ends, width);
        }
    });
    plane
}

/// The last point of the cell from `start` in `direction`.
fn border(pen: &Pen<'_>, start: Point, direction: Point) -> Point {
    const STRIDE: f32 = 0.008;
    let mut at = start;
    for _ in 0..60 {
        let next = at + direction * STRIDE;
        let place = pen.place(next);
        if place.cell != Some(pen.ground.number) || place.rim < 0.004 {
            break;
        }
        at = next;
    }
    at
}

/// As the red stain.
pub(crate) fn microtubules(specimen: &Specimen) -> Plane {
    let mut plane = specimen.shade(|at| 0.04 * at.cell.expression * at.cytoplasm());
    for (cell, fibres) in specimen.cells.iter().zip(&specimen.microtubules) {
        fibres.iter().for_each(|fibre| markers::draw(&mut plane, fibre, MICROTUBULE * cell.expression));
        markers::draw_division(&mut plane, cell, MICROTUBULE * cell.expression);
    }
    plane
}

/// Short comets where microtubules end, away from the middle.
pub(crate) fn microtubule_ends(specimen: &Specimen) -> Plane {
    let mut plane = specimen.shade(|at| 0.05 * at.cell.expression * at.cytoplasm());
    in_cells(specimen, &mut plane, 115, |pen| {
        for fibre in &specimen.microtubules[usize::from(pen.ground.number)] {
            let [.., before, end] = fibre[..] else { continue };
            if pen.place(end).nucleus < -0.025 {
                let tail = end + (before - end) * 1.4;
                pen.stroke(&[tail, end], 0.0026, 0.55);
                pen.stroke(&[end + (before - end) * 0.5, end], 0.0036, 1.2);
            }
        }
    });
    plane
}

/// A network of short worms around the nucleus.
pub(crate) fn mitochondria(specimen: &Specimen) -> Plane {
    let mut plane = specimen.shade(|at| 0.04 * at.cell.expression * at.cytoplasm());
    in_cells(specimen, &mut plane, 123, |pen| {
        for _ in 0..pen.count(80.0, 120.0) {
            let Some(start) = pen.in_cytoplasm(0.10) else { continue };
            let outwards = (start - pen.cell.nucleus.centre).unit();
            let direction = (outwards + pen.random.in_disc()).unit();
            let habit = Habit { strides: 2 + pen.random.below(4), wobble: 0.9 };
            let worm = pen.ground.grow(start, direction, habit, &mut pen.random);
            let light = pen.random.between(0.5, 0.95);
            pen.stroke(&worm, 0.0032, light);
        }
    });
    plane
}
