//! Collection, verification and accounts of space.

pub(crate) mod gc;
pub(crate) mod leftovers;
pub(crate) mod usage;
pub(crate) mod verify;
