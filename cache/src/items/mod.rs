//! Items: results of single items, and resume state of interrupted work.

pub(crate) mod item_log;
pub(crate) mod item_record;
pub(crate) mod item_store;
pub(crate) mod moved_state;
pub(crate) mod program_state;
pub(crate) mod resume_state;
pub(crate) mod state_digest;
