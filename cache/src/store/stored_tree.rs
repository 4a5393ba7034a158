//! Snapshots of stored folders, compared with their manifests.
//!
//! Symbolic links are not followed here: a stored folder has none, so that somebody else has made one that is found.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::fs::fs_time::FsTime;
use crate::fs::stat::{Moment, Stat};
use crate::store::integrity::{ContentStamp, Note, Stored};
use crate::{Cache, Digest, Tree, tree};

/// Number of entries of one folder from which on several threads stat them.
const WORTH_SEVERAL_THREADS: usize = 512;

/// A file or folder in a stored folder.
#[derive(Debug)]
pub(crate) struct Node {
    /// Path below the folder.
    pub relative: PathBuf,
    /// Its metadata, links not followed.
    pub stat: Stat,
}

/// Snapshot of everything in a stored folder, itself included (with an empty path), sorted by path.
#[derive(Debug)]
pub(crate) struct TreeSnapshot {
    nodes: Vec<Node>,
}

impl TreeSnapshot {
    /// Takes a snapshot of the folder `root`.
    pub(crate) fn of(root: &Path) -> std::io::Result<TreeSnapshot> {
        let stat = Stat::from(rustix::fs::lstat(root)?);
        if !stat.is_folder() {
            return Err(std::io::ErrorKind::NotADirectory.into());
        }
        let mut nodes = vec![Node { relative: PathBuf::new(), stat }];
        look_below(root, Path::new(""), &mut nodes)?;
        nodes.sort_unstable_by(|left, right| left.relative.cmp(&right.relative));
        Ok(TreeSnapshot { nodes })
    }

    /// Stamp of the whole folder.
    pub(crate) fn stamp(&self) -> ContentStamp {
        let mut hasher = blake3::Hasher::new();
        for Node { relative, stat } in &self.nodes {
            hasher.update(&(relative.as_os_str().len() as u64).to_le_bytes());
            hasher.update(relative.as_os_str().as_bytes());
            hasher.update(&stat.mode.to_le_bytes());
            // Times of folders change when they are moved into place; their entries are covered by name.
            if !stat.is_folder() {
                for number in
                    [stat.inode, stat.size, stat.modified.seconds.cast_unsigned(), stat.changed.seconds.cast_unsigned()]
                {
                    hasher.update(&number.to_le_bytes());
                }
                hasher.update(&stat.modified.nanoseconds.to_le_bytes());
                hasher.update(&stat.changed.nanoseconds.to_le_bytes());
            }
        }
        ContentStamp::of_tree(&Digest::from(hasher.finalize()))
    }

    /// Latest time of change of a file in it. Folders do not count: their entries are compared.
    pub(crate) fn changed(&self) -> Moment {
        let changed = self.nodes.iter().filter(|node| !node.stat.is_folder()).map(|node| node.stat.changed);
        changed.max_by_key(|changed| changed.in_ns()).unwrap_or(Moment { seconds: 0, nanoseconds: 0 })
    }

    /// Whether a file was written to, or the entries of a folder changed, later than `since` and than `noted`.
    pub(crate) fn is_written_since(&self, since: FsTime, noted: Option<Moment>) -> bool {
        let mut written = self.nodes.iter().map(|node| node.stat.modified);
        written.any(|written| since.precedes(written) && noted.is_none_or(|noted| noted < written))
    }

    /// Whether a file was written to later than `noted`. A time that is ahead of that of its change was set, and tells nothing.
    pub(crate) fn is_written_after(&self, noted: Moment) -> bool {
        let mut files = self.nodes.iter().map(|node| &node.stat).filter(|stat| !stat.is_folder());
        files.any(|stat| noted < stat.modified && stat.modified <= stat.changed)
    }

    /// Whether a folder in it was changed later than `since`: an entry may have been there in between. No program can set this time.
    pub(crate) fn has_folder_changed_since(&self, since: FsTime) -> bool {
        self.nodes.iter().any(|node| node.stat.is_folder() && since.precedes(node.stat.changed))
    }

    fn note(&self, sequence: u64) -> Note {
        Note { stamp: self.stamp(), changed: self.changed(), sequence, durable: true }
    }
}

fn look_below(folder: &Path, relative: &Path, nodes: &mut Vec<Node>) -> std::io::Result<()> {
    let entries = fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let look = |entry: &fs::DirEntry| -> std::io::Result<Node> {
        let stat = Stat::from(rustix::fs::lstat(entry.path())?);
        Ok(Node { relative: relative.join(entry.file_name()), stat })
    };
    let found: Vec<Node> = if entries.len() >= WORTH_SEVERAL_THREADS {
        entries.par_iter().map(look).collect::<std::io::Result<_>>()?
    } else {
        entries.iter().map(look).collect::<std::io::Result<_>>()?
    };
    for node in found {
        let below = node.stat.is_folder().then(|| node.relative.clone());
        nodes.push(node);
        if let Some(relative) = below {
            let name = relative.file_name().unwrap_or_default();
            look_below(&folder.join(name), &relative, nodes)?;
        }
    }
    Ok(())
}

/// Deviation of a stored folder from its manifest.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Deviation {
    /// Paths that should not be there, without those inside of folders that should not be there.
    pub added: Vec<PathBuf>,
    /// Paths that are missing or have other content.
    pub changed: Vec<PathBuf>,
}

impl Deviation {
    pub(crate) fn is_none(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty()
    }
}

/// A folder or file that a manifest expects.
enum Expected<'t> {
    Folder,
    File(&'t tree::TreeEntry),
}

/// Expected paths in the folder of `tree`, without the folder itself.
fn expected(tree: &Tree) -> BTreeMap<&Path, Expected<'_>> {
    let mut expected = BTreeMap::new();
    for entry in &tree.entries {
        let path = Path::new(&entry.path);
        for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            expected.entry(parent).or_insert(Expected::Folder);
        }
        expected.insert(path, if entry.digest.is_some() { Expected::File(entry) } else { Expected::Folder });
    }
    expected
}

impl Cache {
    /// Takes a snapshot of a stored folder.
    pub(crate) fn tree_snapshot(&self, digest: &Digest) -> std::io::Result<TreeSnapshot> {
        TreeSnapshot::of(&self.tree_path(digest))
    }

    /// Compares the snapshot of a stored folder with `tree`. Files without a valid integrity note are read.
    pub(crate) fn deviation(&self, tree: &Tree, folder: &Path, snapshot: &TreeSnapshot) -> Deviation {
        let mut expected = expected(tree);
        let mut deviation = Deviation::default();
        let mut files = Vec::new();
        for node in snapshot.nodes.iter().filter(|node| !node.relative.as_os_str().is_empty()) {
            match expected.remove(node.relative.as_path()) {
                Some(Expected::Folder) if node.stat.is_folder() => {}
                Some(Expected::File(entry)) if node.stat.is_file() => files.push((node, entry)),
                Some(_) => deviation.changed.push(node.relative.clone()),
                None if deviation.added.last().is_some_and(|added| node.relative.starts_with(added)) => {}
                None => deviation.added.push(node.relative.clone()),
            }
        }
        deviation.changed.extend(expected.into_keys().map(Path::to_path_buf));
        let wrong = files.par_iter().filter(|(node, entry)| !self.is_entry(folder, node, entry));
        deviation.changed.par_extend(wrong.map(|(node, _)| node.relative.clone()));
        deviation.changed.sort();
        deviation
    }

    /// Whether a file in a stored folder matches the manifest: a hard link to the intact stored file, or a file with
    /// the same content.
    fn is_entry(&self, folder: &Path, node: &Node, entry: &tree::TreeEntry) -> bool {
        let Some(digest) = entry.digest else { return false };
        let stored = Stored::file(digest, entry.executable);
        if node.stat.size != entry.bytes {
            return false;
        }
        if self.integrity.is_noted(&stored, &ContentStamp::of_file(&node.stat))
            && node.stat.is_executable() == entry.executable
        {
            return true;
        }
        let path = folder.join(&node.relative);
        // Permission bits are no content, and are restored.
        self.restore_mode(&path, entry.executable).is_ok()
            && tree::hash_file(&path, node.stat.size).is_ok_and(|found| found == digest)
    }

    /// Notes that the stored folder is intact in its present state.
    pub(crate) fn note_tree(&self, digest: &Digest, snapshot: &TreeSnapshot) {
        self.integrity.note(Stored::Tree(*digest), snapshot.note(self.counter.peek()));
    }
}
