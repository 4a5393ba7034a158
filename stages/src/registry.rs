//! All kinds by name.

use crate::command::Command;
use crate::ensemble::combine::Ensemble;
use crate::ensemble::submission::Submission;
use crate::ensemble::thresholds::Thresholds;
use crate::kind::{Kind, StageKind, Typed};
use crate::tables::folds::Folds;
use crate::tables::leak_rows::LeakRows;

/// Every kind, in the order they are documented.
static KINDS: &[&dyn Kind] = &[
    &Command,
    &typed::<Folds>(),
    &typed::<LeakRows>(),
    &typed::<Ensemble>(),
    &typed::<Thresholds>(),
    &typed::<Submission>(),
];

const fn typed<K: StageKind>() -> Typed<K> {
    Typed::NEW
}

/// Every kind, in the order they are documented.
pub fn kinds() -> &'static [&'static dyn Kind] {
    KINDS
}

/// The kind called `name`.
pub fn find(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}
