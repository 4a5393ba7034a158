//! Style of the images of one antibody: the cell line it was tried on, and how it stains.

use athanor_random::Random;

/// A cell line and a staining.
#[derive(Debug, Clone)]
pub(crate) struct Style {
    /// Mean radius of a cell.
    pub cell_radius: f32,
    /// Length over width of a cell.
    pub elongation: f32,
    /// Alignment of neighbours, 0 to 1.
    pub alignment: f32,
    /// Radius of a nucleus over that of its cell.
    pub nucleus_share: f32,
    /// Raggedness of cell outlines.
    pub raggedness: f32,
    /// Whether nuclei have bright spots, as those of mice do.
    pub chromocentres: bool,
    /// Microtubules a cell.
    pub microtubules: usize,
    /// Distance from the nucleus at which the endoplasmic reticulum is half as dense.
    pub reticulum_reach: f32,
    /// Brightness of unspecific staining in green.
    pub haze: f32,
    /// Variation between cells of the protein's amount, 0 to 1.
    pub variability: f32,
    /// Factor on the sizes of spots.
    pub spot_size: f32,
    /// Factor on the number of spots.
    pub spot_count: f32,
    /// Factor on green as a whole.
    pub gain: f32,
}

impl Style {
    /// The style that belongs to an antibody's seed.
    pub(crate) fn of(antibody: u64) -> Style {
        let mut random = Random::new(antibody);
        Style {
            cell_radius: random.between(0.15, 0.195),
            elongation: 1.1 + 1.1 * random.unit() * random.unit(),
            alignment: random.unit(),
            nucleus_share: random.between(0.38, 0.45),
            raggedness: random.between(0.6, 1.4),
            chromocentres: random.chance(0.2),
            microtubules: 85 + random.below(45),
            reticulum_reach: random.between(0.035, 0.075),
            haze: 0.07 * random.unit() * random.unit(),
            variability: random.between(0.1, 0.5),
            spot_size: random.between(0.88, 1.15),
            spot_count: random.between(0.75, 1.25),
            gain: random.between(0.75, 1.15),
        }
    }
}
