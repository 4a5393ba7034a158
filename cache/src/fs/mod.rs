//! The file system under a cache: changes of files, `stat`, walks, capabilities, and the cache's own layout and names.

pub(crate) mod advice;
pub(crate) mod boot;
pub(crate) mod capabilities;
pub(crate) mod disk;
pub(crate) mod disk_fallback;
pub(crate) mod durable;
pub(crate) mod exclusions;
pub(crate) mod fallback;
pub(crate) mod file_lock;
pub(crate) mod folder_view;
pub(crate) mod freed;
pub(crate) mod fs_time;
pub(crate) mod layout;
pub(crate) mod list;
pub(crate) mod names;
pub(crate) mod sparse;
pub(crate) mod stat;
pub(crate) mod stat_snapshot;
pub(crate) mod walk;
pub(crate) mod writers;
