//! Records: results by fingerprint, the write-ahead log, and sequence numbers.

pub(crate) mod action_record;
pub(crate) mod actions;
pub(crate) mod counter;
pub(crate) mod folders;
pub(crate) mod sequence;
pub(crate) mod suspects;
pub(crate) mod wal;
