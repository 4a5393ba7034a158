//! Fibres that grow through a cell and keep within it.

use super::anatomy::Anatomy;
use super::cell::Cell;
use super::point::{Point, RandomPoints};
use super::style::Style;
use athanor_random::Random;

/// Distance between two points of a fibre.
const STRIDE: f32 = 0.014;
/// Fibres turn away from a border that is nearer than this.
const BORDER: f32 = 0.03;
/// Fibres end when the border is nearer than this.
const END: f32 = 0.004;
/// Fibres keep this far from the nucleus.
const NUCLEAR_GAP: f32 = 0.006;

/// A fibre, point by point.
pub(crate) type Fibre = Vec<Point>;

/// Growth of a kind of fibre.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habit {
    /// Strides it grows at most.
    pub strides: usize,
    /// Change of direction at a stride, at most, as a sideways shift of the direction.
    pub wobble: f32,
}

/// One cell as fibres see it.
pub(crate) struct Ground<'a> {
    /// The picture's anatomy.
    pub chart: &'a Anatomy,
    /// The cell.
    pub cell: &'a Cell,
    /// Its number.
    pub number: u8,
}

impl Ground<'_> {
    /// A fibre from `start` in about `direction`.
    pub(crate) fn grow(&self, start: Point, direction: Point, habit: Habit, random: &mut Random) -> Fibre {
        let mut fibre = vec![start];
        let (mut at, mut direction, mut curl) = (start, direction, 0.0);
        for _ in 0..habit.strides {
            let place = self.chart.at(at);
            if place.cell != Some(self.number) || place.rim < END {
                break;
            }
            curl = 0.7 * curl + habit.wobble * random.signed();
            let mut heading = direction + direction.perpendicular() * curl;
            if place.rim < BORDER {
                let inwards = (self.cell.body.centre - at).unit();
                heading = heading + inwards * (0.4 * (1.0 - place.rim / BORDER));
            }
            if place.nucleus > -NUCLEAR_GAP {
                heading = heading + (at - self.cell.nucleus.centre).unit() * 0.7;
            }
            direction = heading.unit();
            at = at + direction * STRIDE;
            fibre.push(at);
        }
        fibre
    }
}

const MICROTUBULE: Habit = Habit { strides: 22, wobble: 0.14 };

/// The microtubules of each cell: half from the centrosome, half from around the nucleus, outwards.
pub(crate) fn microtubules(cells: &[Cell], chart: &Anatomy, style: &Style) -> Vec<Vec<Fibre>> {
    let of_cell = |(number, cell): (usize, &Cell)| {
        let ground = Ground { chart, cell, number: number as u8 };
        let mut random = cell.random.split(1);
        let count = if cell.rests() { style.microtubules } else { 0 };
        (0..count).map(|number| microtubule(&ground, number % 2 == 0, &mut random)).collect()
    };
    cells.iter().enumerate().map(of_cell).collect()
}

fn microtubule(ground: &Ground<'_>, central: bool, random: &mut Random) -> Fibre {
    let nucleus = &ground.cell.nucleus;
    let (start, direction) = if central {
        (ground.cell.centrosome + random.in_disc() * 0.008, random.direction())
    } else {
        let around = random.direction();
        let start = nucleus.point(around.x * 1.12, around.y * 1.12);
        (start, ((start - nucleus.centre).unit() + random.in_disc() * 0.9).unit())
    };
    ground.grow(start, direction, MICROTUBULE, random)
}
