//! The protein of interest: one way to stain a specimen for each class.

mod borders;
mod centre;
mod diffuse;
mod division;
mod filaments;
mod nuclear;
mod pen;
mod vesicles;

use super::layout::Wishes;
use super::plane::Plane;
use super::shading::decay;
use super::specimen::Specimen;
use crate::synthetic::HPA_CLASSES;

/// Function that draws a class.
type Painter = fn(&Specimen) -> Plane;

/// The painters by class number.
const PAINTERS: [Painter; HPA_CLASSES] = [
    nuclear::nucleoplasm,
    nuclear::nuclear_membrane,
    nuclear::nucleoli,
    nuclear::fibrillar_centres,
    nuclear::nuclear_speckles,
    nuclear::nuclear_bodies,
    diffuse::endoplasmic_reticulum,
    centre::golgi_apparatus,
    vesicles::peroxisomes,
    vesicles::endosomes,
    vesicles::lysosomes,
    filaments::intermediate_filaments,
    filaments::actin_filaments,
    borders::focal_adhesion_sites,
    filaments::microtubules,
    filaments::microtubule_ends,
    division::cytokinetic_bridge,
    division::mitotic_spindle,
    centre::microtubule_organizing_center,
    centre::centrosome,
    vesicles::lipid_droplets,
    borders::plasma_membrane,
    borders::cell_junctions,
    filaments::mitochondria,
    vesicles::aggresome,
    diffuse::cytosol,
    vesicles::cytoplasmic_bodies,
    vesicles::rods_and_rings,
];

const FOCAL_ADHESION_SITES: usize = 13;
const CYTOKINETIC_BRIDGE: usize = 16;
const MITOTIC_SPINDLE: usize = 17;
const CELL_JUNCTIONS: usize = 22;

/// Requirements of the cells for `classes` to be visible.
pub(crate) fn wishes(classes: &[usize]) -> Wishes {
    let count = |class, number| if classes.contains(&class) { number } else { 0 };
    Wishes {
        dividing: count(MITOTIC_SPINDLE, 3),
        parted: count(CYTOKINETIC_BRIDGE, 3),
        contacts: classes.contains(&CELL_JUNCTIONS),
        free_borders: classes.contains(&FOCAL_ADHESION_SITES),
    }
}

/// The light of all `classes`, over a haze of unspecific staining.
pub(crate) fn green(specimen: &Specimen, classes: &[usize]) -> Plane {
    let haze = specimen.style.haze;
    let mut plane = specimen.shade(|at| {
        haze * at.body() * (0.6 + 0.4 * at.cytoplasm() * decay(0.08, at.place.nucleus)) * (1.0 + 0.5 * at.grain)
    });
    for painter in classes.iter().filter_map(|class| PAINTERS.get(*class)) {
        let stain = painter(specimen);
        plane.light.iter_mut().zip(&stain.light).for_each(|(value, stain)| *value += stain);
    }
    plane
}
