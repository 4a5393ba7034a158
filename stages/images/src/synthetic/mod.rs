//! Synthetic fluorescence images of cells, in which the position of green tells each of the challenge's 28 classes.
//!
//! A [`Scene`] describes an image. Cells are laid out (`layout`, `cell`), their borders are computed for every
//! pixel (`anatomy`), structures are drawn as light onto planes (`markers` for the three stains every image has,
//! `stains` for the protein of interest), and a `camera` turns light into grey levels. Everything is in units of the
//! picture's side, so that all sizes of a scene look alike, and only arithmetic that IEEE 754 defines to the last bit
//! is used, so that the bytes are the same on every machine.

mod anatomy;
mod blur;
mod camera;
mod cell;
mod classes;
mod fibres;
mod layout;
mod markers;
mod noise;
mod oval;
mod plane;
mod point;
mod shading;
mod specimen;
mod stains;
mod style;

pub use classes::{HPA_CLASS_NAMES, HPA_CLASSES};

use athanor_random::Random;
use camera::{Exposure, drawing_side};
use specimen::Specimen;
use style::Style;

/// Content of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// Classes of the protein of interest, below [`HPA_CLASSES`].
    pub classes: Vec<usize>,
    /// Pixels along a side, at least 1.
    pub side: usize,
    /// Decides the cells.
    pub seed: u64,
    /// Decides what all images of one antibody share: the cell line and the way it stains.
    pub antibody: u64,
    /// Decides the noise and, within a few hundredths, the brightness: two exposures of one scene differ in nothing
    /// else.
    pub exposure: u64,
}

/// The image of a scene: four grey planes of `side` x `side` pixels, row by row: red (microtubules), green (the protein
/// of interest), blue (nuclei), yellow (endoplasmic reticulum).
pub fn render(scene: &Scene) -> [Vec<u8>; 4] {
    let random = Random::new(scene.seed);
    let style = Style::of(scene.antibody);
    let gain = style.gain;
    let wishes = stains::wishes(&scene.classes);
    let specimen = Specimen::new(wishes, style, &random.split(0), drawing_side(scene.side));
    let channels = [
        (1, markers::red(&specimen), 0.9),
        (2, stains::green(&specimen, &scene.classes), gain),
        (3, markers::blue(&specimen), 0.85),
        (4, markers::yellow(&specimen), 0.9),
    ];
    let mut lamp = random.split(1);
    let mut shot = Random::new(scene.exposure);
    channels.map(|(number, light, gain)| {
        let gain = gain * lamp.between(0.7, 1.15) * shot.between(0.95, 1.05);
        Exposure::new(&mut lamp, gain, shot.split(number)).develop(light, scene.side)
    })
}

#[cfg(test)]
mod tests;
