//! One cell: its body, nucleus and landmarks.

use super::oval::Oval;
use super::point::{Point, RandomPoints};
use super::style::Style;
use athanor_random::Random;

/// Phase of a cell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    /// Living between two divisions.
    Resting,
    /// Dividing: rounded, chromosomes in a plate, a spindle across it.
    Dividing,
    /// Just divided; the point is the middle of the bridge to its sister.
    Parted(Point),
}

/// A dense round body in a nucleus.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Nucleolus {
    /// Its middle.
    pub centre: Point,
    /// Its radius.
    pub radius: f32,
}

/// One cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    /// Its phase.
    pub phase: Phase,
    /// Its outline, where no neighbour presses on it.
    pub body: Oval,
    /// Its nucleus, or its chromosomes while it divides.
    pub nucleus: Oval,
    /// Dense bodies in the nucleus.
    pub nucleoli: Vec<Nucleolus>,
    /// Origin of its microtubules.
    pub centrosome: Point,
    /// Brightness of its marker stains.
    pub vigour: f32,
    /// Amount of the protein of interest.
    pub expression: f32,
    /// The cell's own random numbers, for what is drawn into it.
    pub random: Random,
}

/// Half the length of a spindle.
pub(crate) const SPINDLE: f32 = 0.062;

impl Cell {
    /// A resting cell around `centre`; `drift` is the direction its neighbours lie in.
    pub(crate) fn resting(centre: Point, drift: Point, style: &Style, mut random: Random) -> Cell {
        let axis = (drift * style.alignment + random.direction() * (1.05 - style.alignment)).unit();
        let radius = style.cell_radius * random.between(0.85, 1.2);
        let mut body = Oval::new(centre, axis, radius, style.elongation * random.between(0.85, 1.2));
        body.bend = random.signed() * 0.8;
        body.three_lobes = random.in_disc() * (0.20 * style.raggedness);
        body.five_lobes = random.in_disc() * (0.10 * style.raggedness);
        let shift = random.in_disc() * (0.15 * radius);
        let nuclear_axis = (axis + random.in_disc() * 0.5).unit();
        let size = style.cell_radius * style.nucleus_share * random.between(0.88, 1.12);
        let longer = 1.0 + 0.45 * random.unit() * style.elongation.min(1.6);
        let mut nucleus = Oval::new(centre + shift, nuclear_axis, size, longer);
        nucleus.bend = random.signed() * random.unit() * 3.5;
        nucleus.three_lobes = random.in_disc() * 0.06;
        nucleus.five_lobes = random.in_disc() * 0.03;
        let aside = (random.direction() + axis * random.signed()).unit();
        let centrosome = nucleus.centre + aside * (size * random.between(1.12, 1.3));
        let nucleoli = nucleoli(&nucleus, &mut random);
        Cell { nucleoli, ..Cell::around(Phase::Resting, body, nucleus, centrosome, style, random) }
    }

    /// A dividing cell around `centre`.
    pub(crate) fn dividing(centre: Point, style: &Style, mut random: Random) -> Cell {
        let axis = random.direction();
        let radius = style.cell_radius * random.between(0.62, 0.72);
        let body = Oval::new(centre, axis, radius, 1.1);
        let mut plate = Oval::new(centre, axis.perpendicular(), 0.033, 2.8);
        plate.bend = random.signed() * 2.0;
        Cell::around(Phase::Dividing, body, plate, centre + axis * SPINDLE, style, random)
    }

    /// Two sisters that a bridge around `centre` still joins.
    pub(crate) fn parted(centre: Point, style: &Style, random: &Random) -> [Cell; 2] {
        let axis = random.split(0).direction();
        [1.0, -1.0].map(|side| {
            let mut random = random.split(if side > 0.0 { 1 } else { 2 });
            let radius = style.cell_radius * random.between(0.6, 0.72);
            let middle = centre + axis * (side * (radius * 0.95 + 0.016));
            let body = Oval::new(middle, axis.perpendicular(), radius, 1.25);
            let mut nucleus = Oval::new(middle + axis * (side * 0.012), axis.perpendicular(), 0.046, 1.9);
            nucleus.bend = 3.6 * random.between(0.5, 1.0);
            let centrosome = nucleus.centre + axis * (side * 0.045);
            Cell::around(Phase::Parted(centre), body, nucleus, centrosome, style, random)
        })
    }

    fn around(phase: Phase, body: Oval, nucleus: Oval, centrosome: Point, style: &Style, mut random: Random) -> Cell {
        let vigour = random.between(0.65, 1.2);
        let expression = 1.0 + style.variability * random.signed();
        Cell { phase, body, nucleus, nucleoli: Vec::new(), centrosome, vigour, expression, random: random.split(0) }
    }

    /// Whether it has a nucleus and all that a living cell has.
    pub(crate) fn rests(&self) -> bool {
        self.phase != Phase::Dividing
    }
}

/// Two to five bodies, apart from one another.
fn nucleoli(nucleus: &Oval, random: &mut Random) -> Vec<Nucleolus> {
    let count = 2 + random.below(4);
    let mut bodies: Vec<Nucleolus> = Vec::with_capacity(count);
    for _ in 0..4 * count {
        let centre = nucleus.random_point(0.62, random);
        let radius = random.between(0.0085, 0.0175);
        let apart = |other: &Nucleolus| (other.centre - centre).length() > radius + other.radius + 0.006;
        if bodies.len() < count && bodies.iter().all(apart) {
            bodies.push(Nucleolus { centre, radius });
        }
    }
    bodies
}
