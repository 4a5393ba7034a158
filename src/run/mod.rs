//! The only place where things happen: fingerprints, the scheduler and its processes, the record of a run.

pub mod resources;
pub mod schedule;
