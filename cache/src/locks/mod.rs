//! Mutual exclusion of processes: claims and locks, and leases where the file system has no locks.

pub(crate) mod agents;
pub(crate) mod exclusive;
pub(crate) mod leases;
pub(crate) mod process;
pub(crate) mod table;
