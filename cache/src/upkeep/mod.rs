//! Maintenance: collection, verification, and disk usage.

pub(crate) mod gc;
pub(crate) mod kept_scratch;
pub(crate) mod leftovers;
pub(crate) mod usage;
pub(crate) mod verify;
