//! Drawing into one cell after another.

use crate::synthetic::anatomy::TissuePosition;
use crate::synthetic::cell::Cell;
use crate::synthetic::fibres::Ground;
use crate::synthetic::plane::Plane;
use crate::synthetic::point::Point;
use crate::synthetic::specimen::Specimen;
use athanor_random::Random;

/// Places tried before something is left out.
const TRIES: usize = 24;

/// Draws into one cell, as bright as the cell makes the protein.
pub(crate) struct Pen<'a> {
    /// The cell.
    pub cell: &'a Cell,
    /// Random numbers for this cell and purpose.
    pub random: Random,
    /// The cell's surroundings.
    pub ground: Ground<'a>,
    specimen: &'a Specimen,
    plane: &'a mut Plane,
}

/// Draws onto `plane` in every cell that has a nucleus; `purpose` tells one structure's
/// random numbers from another's, and is 100 and the number of the class.
pub(crate) fn in_cells(specimen: &Specimen, plane: &mut Plane, purpose: u64, mut draw: impl FnMut(&mut Pen<'_>)) {
    for (number, cell) in specimen.cells.iter().enumerate().filter(|(_, cell)| cell.rests()) {
        let ground = Ground { chart: &specimen.chart, cell, number: number as u8 };
        draw(&mut Pen { cell, random: cell.random.split(purpose), ground, specimen, plane });
    }
}

impl Pen<'_> {
    /// Number of spots in a cell, `low` to `high` for the average antibody.
    pub(crate) fn count(&mut self, low: f32, high: f32) -> usize {
        (self.random.between(low, high) * self.specimen.style.spot_count + 0.5) as usize
    }

    /// The size of a spot, `low` to `high` for the average antibody.
    pub(crate) fn size(&mut self, low: f32, high: f32) -> f32 {
        self.random.between(low, high) * self.specimen.style.spot_size
    }

    /// Draws a dot.
    pub(crate) fn dot(&mut self, centre: Point, radius: f32, light: f32) {
        self.plane.dot(centre, radius, light * self.cell.expression);
    }

    /// Draws a ring.
    pub(crate) fn ring(&mut self, centre: Point, radius: f32, thickness: f32, light: f32) {
        self.plane.ring(centre, radius, thickness, light * self.cell.expression);
    }

    /// Draws a stroke.
    pub(crate) fn stroke(&mut self, points: &[Point], radius: f32, light: f32) {
        self.plane.stroke(points, radius, light * self.cell.expression);
    }

    /// Adds a fine line.
    pub(crate) fn line(&mut self, points: &[Point], width: f32) {
        let width = width * self.cell.expression;
        points.windows(2).for_each(|pair| self.plane.add_line(pair[0], pair[1], width));
    }

    /// A point in the nucleus, away from its envelope.
    pub(crate) fn in_nucleus(&mut self) -> Option<Point> {
        let nucleus = &self.cell.nucleus;
        Some(nucleus.random_point(0.80, &mut self.random)).filter(|point| self.place(*point).nucleus > 0.004)
    }

    /// A point of the cytoplasm that is at most `reach` from the nucleus.
    pub(crate) fn in_cytoplasm(&mut self, reach: f32) -> Option<Point> {
        self.find(1.0, |place| place.rim > 0.012 && place.nucleus < -0.007 && place.nucleus > -reach)
    }

    /// A point of the cell that is as wished, within `share` of its oval.
    pub(crate) fn find(&mut self, share: f32, wished: impl Fn(&TissuePosition) -> bool) -> Option<Point> {
        (0..TRIES).find_map(|_| {
            let point = self.cell.body.random_point(share, &mut self.random);
            let place = self.place(point);
            (place.cell == Some(self.ground.number) && wished(place)).then_some(point)
        })
    }

    /// Position of a point.
    pub(crate) fn place(&self, point: Point) -> &TissuePosition {
        self.ground.chart.at(point)
    }
}
