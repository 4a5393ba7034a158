//! Whether stored content is there and right, for whoever is about to serve it, use it, or record what was made from it.

use std::fs;
use std::sync::{Mutex, PoisonError};

use crate::fs::fs_time::FsTime;
use crate::fs::stat::Stat;
use crate::store::integrity::{ContentStamp, Stored};
use crate::store::stored_tree::{Deviation, TreeSnapshot};
use crate::{Artifact, ArtifactKind, Cache, Digest, Presence, Rehash, Result};

/// A look at an input after the stage that read it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputState {
    /// It is as it was.
    Intact,
    /// It is as it was, and somebody has written to it meanwhile.
    Touched,
    /// Files were added to it, which are gone again; their paths inside the folder.
    Added(Vec<String>),
    /// Its content was changed. It is as it was again, unless its content is `lost`.
    Changed {
        /// Paths inside the folder; of a file none.
        paths: Vec<String>,
        /// Whether content is gone that has to be made again.
        lost: bool,
    },
}

/// One thread at a time puts stored content in order.
static REPAIR: Mutex<()> = Mutex::new(());

impl Cache {
    /// Says how much of the stored content is to be read before it is used.
    pub fn rehash_on_use(&self, rehash: Rehash) {
        self.verify_on_use.set(rehash);
    }

    /// Forgets what is known of stored content that is to be read before it is used and was not read by this process yet; says
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

    /// Whether an artifact is there and right. Nothing is read whose `stat` is as it was when it was last known to be right.
    /// A stored folder that somebody changed is made what it was, where its files are intact.
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
        if self.integrity.is_noted(&Stored::Tree(*digest), &snapshot.evidence()) {
            return Presence::Present;
        }
        let _alone = REPAIR.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(tree) = self.read_tree(digest) else { return Presence::Missing };
        match self.repair_tree(&tree, digest) {
            Ok((_, lost)) if lost.is_empty() => Presence::Present,
            Ok(_) | Err(_) => Presence::Damaged,
        }
    }

    /// What `stat` says of an artifact that is right; `None` for one that is not.
    pub fn evidence(&self, artifact: &Artifact) -> Option<ContentStamp> {
        (self.presence(artifact) == Presence::Present).then(|| self.evidence_now(artifact)).flatten()
    }

    /// What `stat` says of an artifact, whether or not it is right.
    fn evidence_now(&self, artifact: &Artifact) -> Option<ContentStamp> {
        if artifact.kind == ArtifactKind::Folder {
            return self.tree_snapshot(&artifact.digest).ok().map(|snapshot| snapshot.evidence());
        }
        let executable = artifact.kind == ArtifactKind::Executable;
        let stat = self.probe.file(&self.layout.object(&artifact.digest, executable))?;
        (stat.size == artifact.bytes).then(|| ContentStamp::of_file(&stat))
    }

    /// Whether an artifact is there and right, given what `stat` said of it at some time when it was.
    pub fn is_present(&self, artifact: &Artifact, evidence: &ContentStamp) -> bool {
        let is_doubted = self.forget_if_due(stored(artifact), &artifact.digest);
        !is_doubted && self.evidence_now(artifact).as_ref() == Some(evidence)
            || self.presence(artifact) == Presence::Present
    }

    /// Looks at an input that a stage had for reading since `since`, and puts it in order. Stored files are read-only, but
    /// their owner can make them writable, and the superuser need not.
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
        // Changed within the tick that the note is about, it would look as it did.
        self.integrity.forget_note(&stored);
        let _alone = REPAIR.lock().unwrap_or_else(PoisonError::into_inner);
        let executable = artifact.kind == ArtifactKind::Executable;
        if self.has_intact(&path, artifact.digest, executable, artifact.bytes)? {
            return self.touched_if(is_touched, &artifact.digest);
        }
        if !is_there {
            self.note_incident(&[artifact.digest])?;
        }
        Ok(InputState::Changed { paths: Vec::new(), lost: true })
    }

    /// Content that is right, and may not have been for some time.
    fn touched_if(&self, is_touched: bool, digest: &Digest) -> Result<InputState> {
        if is_touched {
            self.note_incident(&[*digest])?;
        }
        Ok(if is_touched { InputState::Touched } else { InputState::Intact })
    }

    fn check_input_folder(&self, digest: &Digest, since: FsTime) -> Result<InputState> {
        let is_intact = |snapshot: &TreeSnapshot| {
            self.integrity.is_noted(&Stored::Tree(*digest), &snapshot.evidence())
                && !since.may_precede(snapshot.changed())
        };
        let found = self.tree_snapshot(digest);
        if found.as_ref().is_ok_and(is_intact) {
            return Ok(InputState::Intact);
        }
        let is_touched = found.is_ok_and(|snapshot| {
            let stored = Stored::Tree(*digest);
            !self.integrity.is_noted(&stored, &snapshot.evidence())
                && snapshot.is_written_since(since, self.integrity.changed_at(&stored))
        });
        let _alone = REPAIR.lock().unwrap_or_else(PoisonError::into_inner);
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
