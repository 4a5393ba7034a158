//! Presence and integrity checks of stored content, before it is served or used, and before a result made from it is
//! recorded.

use std::fs;

use crate::fs::fs_time::FsTime;
use crate::fs::stat::Stat;
use crate::store::integrity::{ContentStamp, Stored};
use crate::store::stored_tree::{Deviation, TreeSnapshot};
use crate::{Artifact, ArtifactKind, Cache, Digest, Presence, Rehash, Result};

/// State of an input after the stage that read it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputState {
    /// Unchanged.
    Intact,
    /// Unchanged, but somebody has written to it meanwhile.
    Touched,
    /// Files were added to the folder, and were removed again; their paths inside it.
    Added(Vec<String>),
    /// Its content was changed. It was repaired, unless content is `lost`.
    Changed {
        /// Paths inside the folder; none for a file.
        paths: Vec<String>,
        /// Whether content is gone that has to be computed again.
        lost: bool,
    },
}

impl Cache {
    /// Sets how much of the stored content is read before it is used.
    pub fn rehash_on_use(&self, rehash: Rehash) {
        self.verify_on_use.set(rehash);
    }

    /// Drops the note about content that is to be read before it is used and was not yet read by this process; returns
    /// whether it is.
    fn forget_if_due(&self, stored: Stored, digest: &Digest) -> bool {
        if !self.verify_on_use.take_due(stored, digest) {
            return false;
        }
        if let Stored::Tree(digest) = &stored {
            let tree = self.read_tree(digest).unwrap_or_default();
            tree.entries.iter().filter_map(stored_entry).for_each(|file| self.integrity.forget_note(&file));
        }
        self.integrity.forget_note(&stored);
        true
    }

    /// Whether an artifact is there and intact. Content with a valid integrity note is not read. A stored folder that
    /// somebody changed is repaired, if its files are intact.
    pub fn presence(&self, artifact: &Artifact) -> Presence {
        self.forget_if_due(stored(artifact), &artifact.digest);
        match stored_file(artifact) {
            Some(stored) => self.presence_of_file(stored, artifact),
            None => self.presence_of_tree(&artifact.digest),
        }
    }

    fn presence_of_file(&self, stored: Stored, artifact: &Artifact) -> Presence {
        let path = self.path_of(artifact);
        match fs::symlink_metadata(&path) {
            Err(_) => Presence::Missing,
            Ok(_) => match self.is_intact(&stored, &path, artifact.digest, artifact.bytes) {
                Ok(true) => Presence::Present,
                Ok(false) | Err(_) => Presence::Damaged,
            },
        }
    }

    fn presence_of_tree(&self, digest: &Digest) -> Presence {
        let Ok(snapshot) = self.tree_snapshot(digest) else { return Presence::Missing };
        if self.integrity.is_noted(&Stored::Tree(*digest), &snapshot.stamp()) {
            return Presence::Present;
        }
        let _alone = self.serial.repair();
        let Ok(tree) = self.read_tree(digest) else { return Presence::Missing };
        let noted = self.integrity.changed_at(&Stored::Tree(*digest));
        match self.repair_tree(&tree, digest) {
            Ok((deviation, lost)) if lost.is_empty() => {
                // Where this cannot be told, the cache takes no results either.
                if deviation.is_none() && noted.is_some_and(|noted| snapshot.is_written_after(noted)) {
                    let _ = self.note_incident(&[*digest]);
                }
                Presence::Present
            }
            Ok(_) | Err(_) => Presence::Damaged,
        }
    }

    /// Stamp of an artifact that is there and intact; `None` for any other.
    pub fn content_stamp(&self, artifact: &Artifact) -> Option<ContentStamp> {
        (self.presence(artifact) == Presence::Present).then(|| self.present_stamp(artifact)).flatten()
    }

    /// Present stamp of an artifact, whether or not it is intact.
    fn present_stamp(&self, artifact: &Artifact) -> Option<ContentStamp> {
        if artifact.kind == ArtifactKind::Folder {
            return self.tree_snapshot(&artifact.digest).ok().map(|snapshot| snapshot.stamp());
        }
        let executable = artifact.kind == ArtifactKind::Executable;
        let stat = self.probe.file(&self.layout.object(&artifact.digest, executable))?;
        (stat.size == artifact.bytes).then(|| ContentStamp::of_file(&stat))
    }

    /// Whether an artifact is there and intact, given a stamp of it from a time when it was.
    pub fn is_present(&self, artifact: &Artifact, stamp: &ContentStamp) -> bool {
        let is_doubted = self.forget_if_due(stored(artifact), &artifact.digest);
        !is_doubted && self.present_stamp(artifact).as_ref() == Some(stamp)
            || self.presence(artifact) == Presence::Present
    }

    /// Checks an input that a stage could read since `since`, and repairs it. Stored files are read-only, but their
    /// owner can make them writable, and the superuser need not.
    pub fn check_input(&self, artifact: &Artifact, since: FsTime) -> Result<InputState> {
        match stored_file(artifact) {
            Some(stored) => self.check_input_file(stored, artifact, since),
            None => self.check_input_folder(&artifact.digest, since),
        }
    }

    fn check_input_file(&self, stored: Stored, artifact: &Artifact, since: FsTime) -> Result<InputState> {
        let path = self.path_of(artifact);
        let found = rustix::fs::lstat(&path).map(Stat::from);
        if let Ok(stat) = &found
            && self.integrity.is_noted(&stored, &ContentStamp::of_file(stat))
            && !since.may_precede(stat.changed)
        {
            return Ok(InputState::Intact);
        }
        let is_there = found.is_ok();
        let is_touched =
            found.is_ok_and(|stat| self.integrity.is_noted_otherwise(&stored, &ContentStamp::of_file(&stat)));
        // A change within the tick of the note would not show.
        self.integrity.forget_note(&stored);
        let _alone = self.serial.repair();
        let executable = artifact.kind == ArtifactKind::Executable;
        if self.has_intact(&path, artifact.digest, executable, artifact.bytes)? {
            return self.touched_if(is_touched, &artifact.digest);
        }
        if !is_there {
            self.note_incident(&[artifact.digest])?;
        }
        Ok(InputState::Changed { paths: Vec::new(), lost: true })
    }

    /// State of content that is intact, and may have been otherwise for some time.
    fn touched_if(&self, is_touched: bool, digest: &Digest) -> Result<InputState> {
        if is_touched {
            self.note_incident(&[*digest])?;
        }
        Ok(if is_touched { InputState::Touched } else { InputState::Intact })
    }

    fn check_input_folder(&self, digest: &Digest, since: FsTime) -> Result<InputState> {
        let is_intact = |snapshot: &TreeSnapshot| {
            self.integrity.is_noted(&Stored::Tree(*digest), &snapshot.stamp())
                && !since.may_precede(snapshot.changed())
                && !snapshot.has_folder_changed_since(since)
        };
        let found = self.tree_snapshot(digest);
        if found.as_ref().is_ok_and(is_intact) {
            return Ok(InputState::Intact);
        }
        let is_touched = found.is_ok_and(|snapshot| {
            let stored = Stored::Tree(*digest);
            let is_noted = self.integrity.is_noted(&stored, &snapshot.stamp());
            snapshot.has_folder_changed_since(since)
                || !is_noted && snapshot.is_written_since(since, self.integrity.changed_at(&stored))
        });
        let _alone = self.serial.repair();
        let tree = self.read_tree(digest)?;
        tree.entries.iter().filter_map(stored_entry).for_each(|stored| {
            let recent = self.integrity.changed_at(&stored).is_none_or(|changed| since.may_precede(changed));
            if recent {
                self.integrity.forget_note(&stored);
            }
        });
        let (deviation, lost) = self.repair_tree(&tree, digest)?;
        let text = |path: &std::path::PathBuf| path.to_string_lossy().into_owned();
        Ok(match deviation {
            _ if !lost.is_empty() => {
                InputState::Changed { paths: deviation.changed.iter().map(text).collect(), lost: true }
            }
            Deviation { changed, .. } if !changed.is_empty() => {
                InputState::Changed { paths: changed.iter().map(text).collect(), lost: false }
            }
            Deviation { added, .. } if !added.is_empty() => InputState::Added(added.iter().map(text).collect()),
            Deviation { .. } => self.touched_if(is_touched, digest)?,
        })
    }
}

fn stored(artifact: &Artifact) -> Stored {
    stored_file(artifact).unwrap_or(Stored::Tree(artifact.digest))
}

fn stored_file(artifact: &Artifact) -> Option<Stored> {
    match artifact.kind {
        ArtifactKind::File => Some(Stored::File(artifact.digest)),
        ArtifactKind::Executable => Some(Stored::Executable(artifact.digest)),
        ArtifactKind::Folder => None,
    }
}

fn stored_entry(entry: &crate::TreeEntry) -> Option<Stored> {
    Some(Stored::file(entry.digest?, entry.executable))
}
