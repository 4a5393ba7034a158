//! Errors of a cache: what happened, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

pub use crate::fs::advice::explain;

/// The result of an operation on a cache.
pub type Result<T> = std::result::Result<T, CacheError>;

/// A failed operation on a cache.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The operating system refused.
    #[error("`{}`: {}", path.display(), explain(path, source))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The refusal.
        source: io::Error,
    },
    /// A file name that is not UTF-8.
    #[error("`{}`: the name is not valid UTF-8. Rename it.", path.display())]
    Name {
        /// The file or folder.
        path: PathBuf,
    },
    /// Neither file nor folder.
    #[error("`{}` is neither a file nor a folder. Remove it or keep it out of the stage's inputs and outputs.", path.display())]
    Special {
        /// Its path.
        path: PathBuf,
    },
    /// A symbolic link to nothing.
    #[error("`{}` is a symbolic link to nothing. Remove it or restore what it points to.", path.display())]
    Dangling {
        /// The link.
        path: PathBuf,
    },
    /// A folder that contains itself through a symbolic link.
    #[error("`{}` leads back to a folder that contains it. Remove the symbolic link.", path.display())]
    Cycle {
        /// The link.
        path: PathBuf,
    },
    /// A pattern of the user that makes no sense.
    #[error("{}:{line}: this is no pattern: {reason}. Correct it; the file has the syntax of `.gitignore`.", path.display())]
    Pattern {
        /// The file with the patterns.
        path: PathBuf,
        /// The pattern's line, from 1.
        line: usize,
        /// Reason why it is refused.
        reason: String,
    },
    /// A cache of a later format.
    #[error("The cache in `{}` has format {found}, which this version of Athanor does not know. Upgrade Athanor, or use another cache with `--cache`.", root.display())]
    Format {
        /// The cache.
        root: PathBuf,
        /// The number in its `format` file.
        found: String,
    },
    /// A `format` file without a number.
    #[error("`{}` is damaged: it holds no number. Write `3` into it if this version of Athanor has used the cache, or use another cache with `--cache`.", path.display())]
    FormatDamaged {
        /// The file.
        path: PathBuf,
    },
    /// A whole cache that lacks its `format` file.
    #[error("`{}` is not there, without which the folder is no cache; nothing was changed in it. Write `3` into that file if this version of Athanor has used the cache, or use another cache with `--cache`.", path.display())]
    FormatMissing {
        /// The file.
        path: PathBuf,
    },
    /// A file where the cache's folder was to be.
    #[error("The cache cannot be in `{}`: `{}` is a file. Name a folder with `--cache`.", root.display(), file.display())]
    NoFolder {
        /// The folder.
        root: PathBuf,
        /// The file in its place, or in that of a folder around it.
        file: PathBuf,
    },
    /// Stored content that disappeared while a run needed it.
    #[error("`{}` is no longer in the cache. Run again: it is made again.", path.display())]
    Gone {
        /// Its former path.
        path: PathBuf,
    },
    /// A folder that holds something else than a cache.
    #[error("`{}` is no cache of Athanor's: it holds {holds}. Nothing was changed in it. Name an empty folder, or one that does not exist, with `--cache`.", root.display())]
    Foreign {
        /// The folder.
        root: PathBuf,
        /// Some of what is in it.
        holds: String,
    },
    /// A folder that holds what is left of a cache that was deleted in part.
    #[error("`{}` is left of a cache that was deleted in part: it holds {holds}. Nothing was changed in it. Delete the rest with `chmod -R u+w {quoted} && rm -rf {quoted}`, or name another cache with `--cache`.", root.display())]
    DeletedInPart {
        /// The folder.
        root: PathBuf,
        /// The folder, as a word of a shell's line.
        quoted: String,
        /// Some of what is in it.
        holds: String,
    },
    /// An area of the cache that is no folder, such as a symbolic link.
    #[error("`{}` is not a plain folder or file of the cache's own: a cache reaches nothing through symbolic links. Put what it points to in its place, or remove it; `--cache` may name a link to a whole cache.", path.display())]
    Area {
        /// Its path.
        path: PathBuf,
    },
    /// A change of a read-only cache.
    #[error("The cache in `{}` can only be looked at: {}", root.display(), explain(&root.join("locks"), source))]
    ReadOnly {
        /// The cache.
        root: PathBuf,
        /// The operating system's refusal of a change.
        source: io::Error,
    },
    /// A collection that lost its lease: see [`UseGuard::is_lost`](crate::UseGuard::is_lost).
    #[error("Another process took over the cache in `{}` while this one removed things from it and was too slow to renew its lease. Nothing more was removed. Run the collection again.", root.display())]
    TakenOver {
        /// The cache.
        root: PathBuf,
    },
    /// Content that is not what its name says.
    #[error("`{}` is damaged: {what}. Run `athanor cache verify`; the next run makes it again.", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The kind of damage.
        what: String,
    },
}

impl CacheError {
    /// Converts an error of the operating system on `path`, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> CacheError + '_ {
        move |source| CacheError::Io { path: path.to_owned(), source }
    }
}
