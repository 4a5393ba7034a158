//! For every pixel: whose cell it is in, and how far from the borders that matter.

use super::cell::Cell;
use super::noise::Noise;
use super::oval::Measure;
use super::point::Point;
use super::random::Random;
use super::style::Style;

/// A norm no cell's neighbourhood reaches.
const FAR: Measure = Measure { norm: 9.0, slope: 9.0 };
/// Cells are measured up to this norm, so that gaps between neighbours are known.
const SURROUNDINGS: f32 = 1.3;
/// A nucleus counts as this share of a cell, so that neighbours stay out of it.
const OWN_NUCLEUS: f32 = 0.5;
/// Room that outlines' unevenness may need.
const SLACK: f32 = 0.05;
/// How far long waves push cell outlines about.
const SWELL: f32 = 0.026;
/// How far short waves push cell outlines about.
const RIPPLE: f32 = 0.010;
/// How far nuclear outlines are pushed about.
const DENT: f32 = 0.0045;

/// The unevenness of outlines, as fields of displacement.
pub struct Unevenness {
    swell: [Noise; 2],
    ripple: [Noise; 2],
    raggedness: f32,
}

impl Unevenness {
    /// The unevenness of one picture.
    pub fn new(style: &Style, random: &mut Random) -> Unevenness {
        let mut pair = |waves| [Noise::new(waves, random), Noise::new(waves, random)];
        Unevenness { swell: pair(6), ripple: pair(19), raggedness: style.raggedness }
    }
}

/// Where a pixel is in the tissue; distances are in picture sides, positive inside.
#[derive(Debug, Clone, Copy)]
pub struct Place {
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

const NOWHERE: Place = Place { cell: None, rim: -1.0, free: -1.0, contact: 1.0, nucleus: -1.0 };

/// The places of all pixels.
pub struct Anatomy {
    side: usize,
    /// Row by row.
    pub places: Vec<Place>,
}

/// The two cells that a pixel is nearest to.
#[derive(Clone, Copy)]
struct Claim {
    cell: u8,
    best: Measure,
    second: Measure,
}

impl Anatomy {
    /// The anatomy of `cells` at `side` x `side` pixels.
    pub fn new(cells: &[Cell], unevenness: &Unevenness, side: usize) -> Anatomy {
        let field = |noise: &Noise, height: f32| -> Vec<f32> {
            noise.raster(side).into_iter().map(|value| value * height).collect()
        };
        let [swell_x, swell_y] = [0, 1].map(|axis| field(&unevenness.swell[axis], SWELL * unevenness.raggedness));
        let [ripple_x, ripple_y] = [0, 1].map(|axis| field(&unevenness.ripple[axis], 1.0));
        let moved = |at: usize, share: f32, height: f32| {
            let point = centre_of(at, side);
            let x = point.x + share * swell_x[at] + height * ripple_x[at];
            Point::new(x, point.y + share * swell_y[at] + height * ripple_y[at])
        };
        let ripple = RIPPLE * unevenness.raggedness;
        let mut claims = vec![Claim { cell: u8::MAX, best: FAR, second: FAR }; side * side];
        for (number, cell) in cells.iter().enumerate() {
            for at in pixels_around(cell, side) {
                let point = moved(at, 1.0, ripple);
                claims[at].enter(number as u8, cell.body.measure(point).or(cell.nucleus.measure(point), OWN_NUCLEUS));
            }
        }
        let place = |(at, claim): (usize, &Claim)| match cells.get(usize::from(claim.cell)) {
            Some(cell) => claim.place(cell.nucleus.measure(moved(at, 0.3, DENT)).depth()),
            None => NOWHERE,
        };
        Anatomy { side, places: claims.iter().enumerate().map(place).collect() }
    }

    /// The place of a point; of the nearest pixel, for points beyond the picture.
    pub fn at(&self, point: Point) -> &Place {
        let pixel = |value: f32| ((value * self.side as f32) as usize).min(self.side - 1);
        &self.places[pixel(point.y) * self.side + pixel(point.x)]
    }
}

impl Claim {
    fn enter(&mut self, cell: u8, measure: Measure) {
        if measure.norm < self.best.norm {
            *self = Claim { cell, best: measure, second: self.best };
        } else if measure.norm < self.second.norm {
            self.second = measure;
        }
    }

    fn place(&self, nucleus: f32) -> Place {
        let free = self.best.depth();
        let contact = (self.second.norm - self.best.norm) / (self.best.slope + self.second.slope);
        Place { cell: Some(self.cell), rim: free.min(contact), free, contact, nucleus }
    }
}

/// The middle of a pixel.
pub fn centre_of(at: usize, side: usize) -> Point {
    let scale = 1.0 / side as f32;
    Point::new(((at % side) as f32 + 0.5) * scale, ((at / side) as f32 + 0.5) * scale)
}

/// The pixels in which a cell may have a part.
fn pixels_around(cell: &Cell, side: usize) -> impl Iterator<Item = usize> + use<> {
    let reach = cell.body.reach(SURROUNDINGS) + SLACK;
    let span = move |middle: f32| {
        let pixel = |value: f32| ((value * side as f32).max(0.0) as usize).min(side);
        pixel(middle - reach)..pixel(middle + reach)
    };
    let (columns, rows) = (span(cell.body.centre.x), span(cell.body.centre.y));
    rows.flat_map(move |row| columns.clone().map(move |column| row * side + column))
}
