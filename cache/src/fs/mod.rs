//! Files and folders as the operating system has them, and the names that a cache gives.

pub(crate) mod abilities;
pub(crate) mod advice;
pub(crate) mod disk;
pub(crate) mod durable;
pub(crate) mod fallback;
pub(crate) mod fs_time;
pub(crate) mod layout;
pub(crate) mod list;
pub(crate) mod names;
pub(crate) mod stat;
pub(crate) mod stat_snapshot;
pub(crate) mod walk;
pub(crate) mod writers;
