//! The stat index: digests of files anywhere on disk, remembered by their `stat`.

pub(crate) mod clock;
pub(crate) mod stat_index;
