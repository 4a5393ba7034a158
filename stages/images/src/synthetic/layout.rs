//! Layout of the cells of a picture.

use super::cell::{Cell, Phase};
use super::point::{Point, RandomPoints};
use super::style::Style;
use athanor_random::Random;

/// Cells are laid out this far beyond the picture's borders, so that borders cut some.
const MARGIN: f32 = 0.14;
/// Places looked at for each cell; the one farthest from other cells is taken.
const CANDIDATES: usize = 14;
/// More room than this is no better, so that the first cells do not all seek the corners.
const ENOUGH_ROOM: f32 = 0.5;
/// Share of cells that happen to divide.
const MITOTIC: f32 = 0.02;

/// Requirements of an image's classes on its cells.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wishes {
    /// Cells that divide.
    pub dividing: usize,
    /// Pairs of cells that have just divided.
    pub parted: usize,
    /// Whether cells must touch.
    pub contacts: bool,
    /// Whether cells must have free borders.
    pub free_borders: bool,
}

/// The cells of a picture.
pub(crate) fn cells(wishes: Wishes, style: &Style, random: &Random) -> Vec<Cell> {
    let mut dice = random.split(0);
    let drift = dice.direction();
    let centres = centres(wishes, style, &mut dice);
    let mut cells: Vec<Cell> = Vec::with_capacity(centres.len() + wishes.parted);
    let special = wishes.dividing + wishes.parted;
    for (number, centre) in centres.iter().enumerate() {
        let own = random.split(1 + number as u64);
        let mitotic = own.split(9).chance(MITOTIC);
        if number < wishes.parted {
            cells.extend(Cell::parted(*centre, style, &own));
        } else if number < special || mitotic {
            cells.push(Cell::dividing(*centre, style, own));
        } else {
            cells.push(Cell::resting(*centre, drift, style, own));
        }
    }
    cells.retain(|cell| cell.phase != Phase::Resting || in_sight(cell));
    cells
}

/// Middles of cells; the first ones are well inside the picture, for the cells that the image is about.
fn centres(wishes: Wishes, style: &Style, dice: &mut Random) -> Vec<Point> {
    let area = (1.0 + 2.0 * MARGIN) * (1.0 + 2.0 * MARGIN) / (3.0 * style.cell_radius * style.cell_radius);
    let crowding = match (wishes.contacts, wishes.free_borders) {
        (true, false) => dice.between(1.1, 1.4),
        (_, true) => dice.between(0.65, 0.85),
        (false, false) => dice.between(0.8, 1.35),
    };
    let count = (area * crowding) as usize;
    let special = wishes.dividing + wishes.parted;
    let bare = BareGround::new(wishes, dice);
    let mut centres: Vec<Point> = Vec::with_capacity(count);
    for number in 0..count {
        let margin = if number < special { -0.17 } else { MARGIN };
        let mut candidates = Vec::with_capacity(CANDIDATES);
        for _ in 0..CANDIDATES {
            candidates.push(Point::new(dice.between(-margin, 1.0 + margin), dice.between(-margin, 1.0 + margin)));
        }
        let room = |point: &Point| {
            let nearest = centres.iter().map(|other| (*other - *point).length()).fold(f32::MAX, f32::min);
            nearest.min(ENOUGH_ROOM)
        };
        let best = candidates.into_iter().max_by(|one, two| room(one).total_cmp(&room(two)));
        let least = if number < special { 0.0 } else { 1.0 * style.cell_radius };
        centres.extend(best.filter(|point| room(point) > least && (number < special || !bare.covers(*point))));
    }
    centres
}

/// A place where no cells grow, in some pictures.
struct BareGround {
    centre: Point,
    radius: f32,
}

impl BareGround {
    fn new(wishes: Wishes, dice: &mut Random) -> BareGround {
        let crowded = wishes.contacts || wishes.dividing + wishes.parted > 0;
        let there = dice.chance(0.35) && !crowded;
        let centre = Point::new(dice.between(-0.1, 1.1), dice.between(-0.1, 1.1));
        let radius = dice.between(0.18, 0.32);
        BareGround { centre, radius: if there { radius } else { 0.0 } }
    }

    fn covers(&self, point: Point) -> bool {
        (point - self.centre).length() < self.radius
    }
}

/// Whether any of the cell can be seen.
fn in_sight(cell: &Cell) -> bool {
    let reach = cell.body.reach(1.2);
    let within = |value: f32, reach: f32| value > -reach && value < 1.0 + reach;
    within(cell.body.centre.x, reach.x) && within(cell.body.centre.y, reach.y)
}
