//! Views of the project's folders that a run's stages read, each made once and used as long as it is right.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use athanor_cache::{CacheError, Exclusions, FolderView, symlink_or_copy};

/// Views of the project's folders, without excluded files.
#[derive(Default)]
pub struct FolderViews {
    known: HashMap<PathBuf, FolderView>,
}

/// Views of the project's folders, and what is left out of them.
pub struct ShownFolders<'v> {
    /// The views.
    pub views: &'v mut FolderViews,
    /// Entries that are no content.
    pub exclusions: &'v Exclusions,
}

impl FolderViews {
    /// Shows the file or folder at `path` of the project, without what is excluded, to a stage, at `at`.
    pub fn show(&mut self, path: &Path, exclusions: &Exclusions, at: &Path) -> Result<(), CacheError> {
        if !path.is_dir() {
            return symlink_or_copy(path, at).map_err(|source| CacheError::Io { path: at.to_owned(), source });
        }
        // Another stage may have left something in it since.
        if let Some(known) = self.known.get(path).filter(|known| known.is_current()) {
            return known.put(at);
        }
        let view = FolderView::of(path, exclusions)?;
        let put = view.put(at);
        self.known.insert(path.to_owned(), view);
        put
    }
}
