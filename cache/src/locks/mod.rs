//! Claims between processes: locks, and leases where there are none.

pub(crate) mod leases;
pub(crate) mod process;
pub(crate) mod table;
