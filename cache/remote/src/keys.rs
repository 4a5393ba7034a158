//! Keys that errors tell apart, since their damage is mended in ways of their own.

/// Key of the mark that a folder or a bucket is a remote cache.
pub(crate) const MARK: &str = "athanor-remote";
/// Area of the states of work that was not finished.
pub(crate) const UNFINISHED: &str = "unfinished";
