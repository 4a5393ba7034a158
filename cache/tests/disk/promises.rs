//! Promises of a cache: results that must be there after a crash.

/// Something that was promised after `since` operations, and taken back after `until`.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) since: usize,
    pub(crate) until: usize,
    pub(crate) what: Promised,
}

/// A promise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Promised {
    /// The result of a work is in the cache.
    Recorded(usize),
    /// The user has the result of a work.
    Published(usize),
}

/// Recording of a scenario, as far as it matters after a power cut.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// Promises made on the way.
    pub(crate) promises: Vec<Promise>,
    /// Operations between which something has rotted and was not yet found.
    pub(crate) rotten: Vec<std::ops::Range<usize>>,
}
