//! The specimen under the microscope: cells, their anatomy pixel by pixel, and textures that several stains share.

use std::rc::Rc;

use super::anatomy::{Anatomy, TissuePosition, Unevenness};
use super::cell::Cell;
use super::fibres::{Fibre, microtubules};
use super::layout::{self, Wishes};
use super::noise::Noise;
use super::plane::Plane;
use super::shading::step;
use super::style::Style;
use athanor_random::Random;

/// Pixels a side of the chart by which structures find their place; the same for every size of picture, so that all
/// sizes show the same.
const CHART: usize = 128;
/// Softness of a cell's border.
const SOFT_RIM: f32 = 0.007;
/// Softness of a nucleus's border.
const SOFT_NUCLEUS: f32 = 0.0035;

/// The specimen under the microscope.
pub(crate) struct Specimen {
    /// Appearance of its kind.
    pub style: Style,
    /// Its cells.
    pub cells: Vec<Cell>,
    /// Coarse anatomy, for placing things.
    pub chart: Rc<Anatomy>,
    /// The microtubules of each cell.
    pub microtubules: Vec<Vec<Fibre>>,
    anatomy: Rc<Anatomy>,
    nucleoli: Plane,
    clouds: Vec<f32>,
    grain: Vec<f32>,
    mesh: Vec<f32>,
}

/// One pixel of a specimen.
pub(crate) struct Site<'a> {
    /// The cell it is in.
    pub cell: &'a Cell,
    /// Position in the cell.
    pub place: &'a TissuePosition,
    /// Share of a nucleolus, 0 to 1.
    pub nucleolus: f32,
    /// A coarse texture, about -1 to 1.
    pub cloud: f32,
    /// A fine texture, about -1 to 1.
    pub grain: f32,
    /// A net of fine threads, 0 to 1.
    pub mesh: f32,
}

impl Specimen {
    /// The specimen of a scene, ready to be looked at with `side` pixels a side.
    pub(crate) fn new(wishes: Wishes, style: Style, random: &Random, side: usize) -> Specimen {
        let cells = layout::cells(wishes, &style, &random.split(0));
        let unevenness = Unevenness::new(&style, &mut random.split(1));
        let chart = Rc::new(Anatomy::new(&cells, &unevenness, CHART));
        let anatomy = if side == CHART { Rc::clone(&chart) } else { Rc::new(Anatomy::new(&cells, &unevenness, side)) };
        let mut nucleoli = Plane::dark(side);
        for body in cells.iter().flat_map(|cell| &cell.nucleoli) {
            nucleoli.dot(body.centre, body.radius, 1.0);
        }
        let texture = |number: u64, waves: usize| Noise::new(waves, &mut random.split(number)).raster(side);
        let threads = texture(4, 128).into_iter().zip(texture(5, 61));
        let mesh = threads.map(|(fine, coarse)| (1.0 - 1.5 * (fine * 0.6 + coarse * 0.4).abs()).max(0.0)).collect();
        Specimen {
            microtubules: microtubules(&cells, &chart, &style),
            clouds: texture(2, 17),
            grain: texture(3, 85),
            style,
            cells,
            chart,
            anatomy,
            nucleoli,
            mesh,
        }
    }

    /// A plane on which every pixel of a cell has the light that `light` says.
    pub(crate) fn shade(&self, light: impl Fn(&Site<'_>) -> f32) -> Plane {
        let mut plane = Plane::dark(self.side());
        for (at, (value, place)) in plane.light.iter_mut().zip(&self.anatomy.places).enumerate() {
            let Some(cell) = place.cell.filter(|_| place.rim > 0.0) else { continue };
            *value = light(&Site {
                cell: &self.cells[usize::from(cell)],
                place,
                nucleolus: self.nucleoli.light[at],
                cloud: self.clouds[at],
                grain: self.grain[at],
                mesh: self.mesh[at],
            });
        }
        plane
    }

    /// Pixels a side of the planes to draw on.
    pub(crate) fn side(&self) -> usize {
        self.nucleoli.side
    }
}

impl Site<'_> {
    /// Share of the pixel that the cell covers.
    pub(crate) fn body(&self) -> f32 {
        step(0.0, 2.0 * SOFT_RIM, self.place.rim)
    }

    /// Share of the pixel that lies in a nucleus, or in the chromosomes of a dividing cell.
    pub(crate) fn chromatin(&self) -> f32 {
        step(-SOFT_NUCLEUS, SOFT_NUCLEUS, self.place.nucleus)
    }

    /// Share of the pixel that lies in a nucleus that has an envelope.
    pub(crate) fn nucleus(&self) -> f32 {
        if self.cell.rests() { self.chromatin() } else { 0.0 }
    }

    /// Share of the pixel that lies in the cell but not in its nucleus.
    pub(crate) fn cytoplasm(&self) -> f32 {
        self.body() * (1.0 - self.chromatin())
    }
}
