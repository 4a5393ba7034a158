//! Name and version of this program.

/// Name and version of this program, as recorded with results.
pub const PROGRAM: &str = concat!("athanor ", env!("CARGO_PKG_VERSION"));
