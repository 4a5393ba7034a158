//! Files of the project that a command names, among the stage's own files.

use std::path::Path;

use athanor_cache::{Cache, CacheError, Exclusions, symlink_or_copy};

use crate::run::inputs::link::is_copied;

/// Places a file of the project at `at`: as a file of the stage's own, so that what a program looks for beside it is looked for
/// there and not in the project; one that is too large to be copied for every stage is linked, and so is a folder, which is an
/// environment.
pub(super) fn place_named(cache: &Cache, path: &Path, at: &Path) -> Result<(), CacheError> {
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |source| CacheError::Io { path, source }
    };
    let metadata = std::fs::metadata(path).map_err(refused(path))?;
    if is_copied(&metadata) {
        return cache.copy_in(path, at, &Exclusions::default());
    }
    symlink_or_copy(path, at).map_err(refused(at))
}
