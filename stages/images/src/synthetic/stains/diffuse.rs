//! Proteins spread through the cytoplasm.

use crate::synthetic::markers::reticulum;
use crate::synthetic::plane::Plane;
use crate::synthetic::shading::decay;
use crate::synthetic::specimen::Specimen;

/// As the yellow stain.
pub(crate) fn endoplasmic_reticulum(specimen: &Specimen) -> Plane {
    specimen.shade(|at| at.cell.expression * reticulum(at, specimen.style.reticulum_reach))
}

/// All of the cytoplasm, little in the nucleus.
pub(crate) fn cytosol(specimen: &Specimen) -> Plane {
    specimen.shade(|at| {
        let depth = 0.75 + 0.25 * decay(0.06, at.place.nucleus);
        let texture = 1.0 + 0.10 * at.cloud + 0.12 * at.grain;
        at.cell.expression * 0.31 * depth * texture * (at.cytoplasm() + 0.30 * at.body() * at.chromatin())
    })
}
