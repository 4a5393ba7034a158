//! For every pixel: whose cell it is in, and how far from the borders that matter.

use super::cell::Cell;
use super::noise::Noise;
use super::oval::{Measure, Oval};
use super::point::Point;
use super::style::Style;
use athanor_random::Random;

/// A norm no cell's neighbourhood reaches.
const FAR: f32 = 9.0;
/// Cells are measured up to this norm, so that gaps between neighbours are known.
const SURROUNDINGS: f32 = 1.15;
/// Neighbours matter whose norm is at most this much more than the cell's own.
const NEAR: f32 = 0.4;
/// A nucleus counts as this share of a cell, so that neighbours stay out of it.
const OWN_NUCLEUS: f32 = 0.5;
/// Room that outlines' unevenness may need.
const SLACK: f32 = 0.03;
/// Amplitude of long waves in cell outlines.
const SWELL: f32 = 0.026;
/// Amplitude of short waves in cell outlines.
const RIPPLE: f32 = 0.010;

/// The unevenness of outlines, as fields of displacement.
pub(crate) struct Unevenness {
    swell: [Noise; 2],
    ripple: [Noise; 2],
    raggedness: f32,
}

impl Unevenness {
    /// The unevenness of one picture.
    pub(crate) fn new(style: &Style, random: &mut Random) -> Unevenness {
        let mut pair = |waves| [Noise::new(waves, random), Noise::new(waves, random)];
        Unevenness { swell: pair(6), ripple: pair(19), raggedness: style.raggedness }
    }

    /// Height of the long waves, and of the short ones.
    fn heights(&self) -> (f32, f32) {
        (SWELL * self.raggedness, RIPPLE * self.raggedness)
    }

    /// A cell's outlines, moved with the ground so that its nucleus stays where it is.
    fn lay(&self, cell: &Cell) -> Shape {
        let (swell, ripple) = self.heights();
        let middle = cell.nucleus.centre;
        let push = |axis: usize| swell * self.swell[axis].at(middle) + ripple * self.ripple[axis].at(middle);
        let shift = Point::new(push(0), push(1));
        Shape { body: cell.body.moved(shift), nucleus: cell.nucleus.moved(shift) }
    }
}

/// Position of a pixel in the tissue; distances are in picture sides, positive inside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TissuePosition {
    /// The cell, if any.
    pub cell: Option<u8>,
    /// Distance from the cell's border, whatever is beyond it.
    pub rim: f32,
    /// Distance from where the cell's border would be without neighbours.
    pub free: f32,
    /// Distance from the border with the nearest neighbour.
    pub contact: f32,
    /// Distance from the nuclear envelope, negative outside.
    pub nucleus: f32,
}

const NOWHERE: TissuePosition = TissuePosition { cell: None, rim: -1.0, free: -1.0, contact: 1.0, nucleus: -1.0 };

/// The places of all pixels.
pub(crate) struct Anatomy {
    side: usize,
    /// Row by row.
    pub places: Vec<TissuePosition>,
}

impl Anatomy {
    /// The anatomy of `cells` at `side` x `side` pixels.
    pub(crate) fn new(cells: &[Cell], unevenness: &Unevenness, side: usize) -> Anatomy {
        let ground = Ground::new(unevenness, side);
        let shapes: Vec<Shape> = cells.iter().map(|cell| unevenness.lay(cell)).collect();
        let mut claims = Claims::none(side);
        for (number, shape) in shapes.iter().enumerate() {
            claims.enter(number as u32, shape, &ground);
        }
        let place = |at: usize| match shapes.get(claims.best_cell[at] as usize) {
            Some(shape) if claims.best[at] < 1.0 => {
                let point = Point::new(ground.x[at], ground.y[at]);
                let near = claims.second[at] < claims.best[at] + NEAR;
                let neighbour = shapes.get(claims.second_cell[at] as usize).filter(|_| near);
                let beyond = neighbour.map(|shape| shape.measure(point));
                place(claims.best_cell[at], shape.measure(point), beyond, shape.nucleus.measure(point).depth())
            }
            _ => NOWHERE,
        };
        Anatomy { side, places: (0..side * side).map(place).collect() }
    }

    /// The place of a point; of the nearest pixel, for points beyond the picture.
    pub(crate) fn at(&self, point: Point) -> &TissuePosition {
        let pixel = |value: f32| ((value * self.side as f32) as usize).min(self.side - 1);
        &self.places[pixel(point.y) * self.side + pixel(point.x)]
    }
}

fn place(cell: u32, own: Measure, beyond: Option<Measure>, nucleus: f32) -> TissuePosition {
    let free = own.depth();
    let contact = beyond.map_or(1.0, |other| (other.norm - own.norm) / (own.slope + other.slope));
    TissuePosition { cell: u8::try_from(cell).ok(), rim: free.min(contact), free, contact, nucleus }
}

/// A cell's outlines as they lie on uneven ground.
struct Shape {
    body: Oval,
    nucleus: Oval,
}

impl Shape {
    fn measure(&self, point: Point) -> Measure {
        self.body.measure(point).or(self.nucleus.measure(point), OWN_NUCLEUS)
    }

    /// The norm alone of [`Shape::measure`].
    #[inline(always)]
    fn norm(&self, point: Point) -> f32 {
        self.body.norm(point).min(OWN_NUCLEUS * self.nucleus.norm(point))
    }
}

/// Position of each pixel's centre on the uneven ground on which cells, even ones, are laid.
struct Ground {
    side: usize,
    x: Vec<f32>,
    y: Vec<f32>,
}

impl Ground {
    fn new(unevenness: &Unevenness, side: usize) -> Ground {
        let scale = 1.0 / side as f32;
        let (swell, ripple) = unevenness.heights();
        let axis = |axis: usize, middle: &dyn Fn(usize) -> usize| -> Vec<f32> {
            let fields = unevenness.swell[axis].raster(side).into_iter().zip(unevenness.ripple[axis].raster(side));
            let at = |(at, (long, short))| (middle(at) as f32 + 0.5) * scale + swell * long + ripple * short;
            fields.enumerate().map(at).collect()
        };
        Ground { side, x: axis(0, &|at| at % side), y: axis(1, &|at| at / side) }
    }
}

/// The two cells that each pixel is nearest to, as columns, so that the loop over them runs several pixels at a time.
struct Claims {
    best: Vec<f32>,
    best_cell: Vec<u32>,
    second: Vec<f32>,
    second_cell: Vec<u32>,
}

impl Claims {
    fn none(side: usize) -> Claims {
        let (norms, cells) = (vec![FAR; side * side], vec![u32::MAX; side * side]);
        Claims { best: norms.clone(), best_cell: cells.clone(), second: norms, second_cell: cells }
    }

    /// Lets a cell claim the pixels in which it may have a part.
    fn enter(&mut self, number: u32, shape: &Shape, ground: &Ground) {
        let reach = shape.body.reach(SURROUNDINGS);
        let columns = span(shape.body.centre.x, reach.x + SLACK, ground.side);
        let mut norms = vec![0.0; columns.len()];
        for row in span(shape.body.centre.y, reach.y + SLACK, ground.side) {
            let first = row * ground.side;
            let line = first + columns.start..first + columns.end;
            for ((norm, x), y) in norms.iter_mut().zip(&ground.x[line.clone()]).zip(&ground.y[line.clone()]) {
                *norm = shape.norm(Point::new(*x, *y));
            }
            self.enter_line(number, &norms, line);
        }
    }

    fn enter_line(&mut self, number: u32, norms: &[f32], line: std::ops::Range<usize>) {
        let (best, best_cell) = (&mut self.best[line.clone()], &mut self.best_cell[line.clone()]);
        let (second, second_cell) = (&mut self.second[line.clone()], &mut self.second_cell[line]);
        for (at, norm) in norms.iter().copied().enumerate() {
            let (wins, follows) = (norm < best[at], norm < second[at]);
            second_cell[at] = select(wins, best_cell[at], select(follows, number, second_cell[at]));
            second[at] = second[at].min(best[at].max(norm));
            best_cell[at] = select(wins, number, best_cell[at]);
            best[at] = best[at].min(norm);
        }
    }
}

fn select(condition: bool, yes: u32, no: u32) -> u32 {
    if condition { yes } else { no }
}

/// The pixels along an axis within `reach` of `middle`.
fn span(middle: f32, reach: f32, side: usize) -> std::ops::Range<usize> {
    let pixel = |value: f32| ((value * side as f32).max(0.0) as usize).min(side);
    pixel(middle - reach)..pixel(middle + reach)
}
