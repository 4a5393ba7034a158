//! Results of single items, and state of interrupted work.

pub(crate) mod item_log;
pub(crate) mod item_record;
pub(crate) mod item_store;
pub(crate) mod resume_state;
