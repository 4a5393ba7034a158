//! Actions: records in a remote cache, with the places of their small files.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use athanor_cache::{ActionRecord, Artifact, ArtifactKind, Digest, OutputRecord, SealedRecord};

use crate::document::{seal, unseal};
use crate::error::StorageError;
use crate::team_key::TeamKey;

/// Largest action that is read, in bytes.
pub(crate) const LARGEST: u64 = 16 << 20;

/// Range of a small file in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct PackRange {
    /// Digest of the pack.
    pub(crate) pack: Digest,
    /// Offset in it.
    pub(crate) at: u64,
    /// Size.
    pub(crate) bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct Document {
    /// The record, sealed as local caches seal it.
    record: String,
    /// Places of small files by digest; what is not there is an object of its own.
    places: BTreeMap<Digest, PackRange>,
}

/// A result that a remote cache has: its record, without its bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteResult {
    /// The record.
    pub record: ActionRecord,
    pub(crate) places: BTreeMap<Digest, PackRange>,
}

/// Area of actions.
pub(crate) const AREA: &str = "actions";

/// Key of the action of a fingerprint.
pub(crate) fn key(fingerprint: &Digest) -> String {
    format!("{AREA}/{fingerprint}")
}

impl RemoteResult {
    /// Files and folders that the record names, apart from its annex.
    pub(crate) fn artifacts(&self) -> impl Iterator<Item = &Artifact> {
        self.record.outputs.iter().map(|output| &output.artifact).chain(&self.record.log)
    }

    /// Whether it lacks any of these outputs.
    pub(crate) fn lacks<'o>(&self, outputs: impl IntoIterator<Item = &'o str>) -> bool {
        let has = |name: &str| self.record.outputs.iter().any(|output| output.name == name);
        outputs.into_iter().any(|name| !has(name))
    }

    /// Whether it says of content that these outputs have, too, that it has another size.
    pub(crate) fn misstates(&self, outputs: &[OutputRecord]) -> bool {
        let theirs = || self.artifacts().map(|artifact| (artifact.digest, (artifact.bytes, artifact.files)));
        let of = |digest: Digest| move |(theirs, size)| (theirs == digest).then_some(size);
        outputs
            .iter()
            .map(|output| &output.artifact)
            .any(|ours| theirs().filter_map(of(ours.digest)).any(|size| size != (ours.bytes, ours.files)))
    }

    /// Serialises an action.
    pub(crate) fn seal(&self, team: Option<&TeamKey>) -> serde_json::Result<Vec<u8>> {
        let sealed: SealedRecord = self.record.seal()?;
        let record = String::from_utf8_lossy(sealed.line()).into_owned();
        seal(&key(&self.record.fingerprint), &Document { record, places: self.places.clone() }, team)
    }

    /// Reads the action that was stored for `fingerprint`.
    pub(crate) fn unseal(
        fingerprint: &Digest,
        bytes: &[u8],
        team: Option<&TeamKey>,
    ) -> Result<RemoteResult, StorageError> {
        let key = key(fingerprint);
        let Document { record, places } = unseal(&key, bytes, team)?;
        let record = ActionRecord::unsealed(record.as_bytes()).filter(|record| record.fingerprint == *fingerprint);
        let record = record.filter(|record| record.outputs.iter().all(is_plausible));
        let damaged = || StorageError::damaged(&key, "holds a damaged file");
        Ok(RemoteResult { record: record.ok_or_else(damaged)?, places })
    }
}

/// Whether an output has the numbers of one, and a file name that leads nowhere else.
fn is_plausible(output: &OutputRecord) -> bool {
    let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_));
    (output.artifact.kind == ArtifactKind::Folder || output.artifact.files == 1)
        && !output.file.is_empty()
        && !output.file.contains('\0')
        && Path::new(&output.file).components().all(is_inside)
}
