//! Recorded results, and the order in which they were recorded.

pub(crate) mod action_record;
pub(crate) mod actions;
pub(crate) mod counter;
pub(crate) mod sequence;
pub(crate) mod suspects;
pub(crate) mod wal;
