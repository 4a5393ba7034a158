//! Exclusive use of a cache while things are removed from it.

use std::path::Path;

use crate::locks::table::UseGuard;
use crate::{CacheError, Result};

/// The right to remove things from a cache, checked before each removal: where leases take the place of locks, another process
/// may take it over while this one is suspended.
pub(crate) struct Exclusive<'g> {
    root: &'g Path,
    guard: Option<&'g UseGuard>,
}

impl<'g> Exclusive<'g> {
    /// Exclusive use of the cache at `root`, lasting as long as `guard` is not lost; without one the caller vouches for it.
    pub(crate) fn new(root: &'g Path, guard: Option<&'g UseGuard>) -> Exclusive<'g> {
        Exclusive { root, guard }
    }

    /// Returns an error if another process has taken over.
    pub(crate) fn check(&self) -> Result<()> {
        match self.guard {
            Some(guard) if guard.is_lost() => Err(CacheError::TakenOver { root: self.root.to_owned() }),
            _ => Ok(()),
        }
    }
}
