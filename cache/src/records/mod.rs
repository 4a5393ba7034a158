//! Recorded results, and the order in which they were recorded.

pub(crate) mod actions;
pub(crate) mod sequence;
pub(crate) mod wal;
