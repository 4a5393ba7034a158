//! The list of what a pipeline uses: its instances, with the fingerprints of their results and unfinished work.
//!
//! `instances.json` is written before the first stage of a run starts, so that a run that is killed is known to have gone on,
//! and again when it ends. It is sealed: a collection removes nothing while any list is not as it was written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use athanor_cache::{Digest, FileStamp};
use serde::{Deserialize, Serialize};

use crate::events::RunEvent;
use crate::run::state::history::RunId;
use crate::run::state::history::files::write_whole;
use crate::run::state::history::location::Location;

/// Name of the file.
pub(super) const FILE: &str = "instances.json";
const HEAD: &str = "{\"seal\":\"";
const MIDDLE: &str = "\",\"list\":";
const TAIL: &str = "}\n";
const SEAL_DIGITS: usize = 64;

/// Results and state that a pipeline uses, as far as runs have ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct InstanceList {
    /// Newest run that is taken into account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<RunId>,
    /// Runs that began and are not known to have ended: their logs count, too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub open: BTreeSet<RunId>,
    /// Relative path from the cache's folder to the pipeline file, for a project that was moved together with its cache.
    #[serde(rename = "way", default, skip_serializing_if = "Option::is_none")]
    pub relative_path: Option<String>,
    /// Location of the pipeline file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Location>,
    /// Work by instance name.
    pub instances: BTreeMap<String, InstanceWork>,
}

/// Work of one instance.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct InstanceWork {
    /// Fingerprints of its results; more than one only where runs overlapped or were killed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub results: Vec<Digest>,
    /// Fingerprints of work that was begun and not finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unfinished: Vec<Digest>,
    /// Whether the last run ended before it reached the instance: then all earlier results may be wanted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_unsettled: bool,
}

/// A list on disk.
#[derive(Debug)]
pub(super) enum StoredList {
    /// List that is as it was written.
    Sound(InstanceList),
    /// Names of instances only, as earlier formats had it.
    Names(Vec<String>),
    /// No list.
    Missing,
    /// List that is not as it was written.
    Damaged,
    /// List that the system refuses to read.
    Unreadable(io::Error),
}

impl InstanceList {
    /// Reads the list in a history's folder.
    pub(super) fn read(folder: &Path) -> StoredList {
        let bytes = match std::fs::read(folder.join(FILE)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return StoredList::Missing,
            Err(error) => return StoredList::Unreadable(error),
        };
        if bytes.first() == Some(&b'[') {
            return serde_json::from_slice(&bytes).map_or(StoredList::Damaged, StoredList::Names);
        }
        let list = sealed(folder, &bytes).and_then(|body| serde_json::from_slice(body).ok());
        list.map_or(StoredList::Damaged, StoredList::Sound)
    }

    /// Stamp of the list in a history's folder, if there is one.
    pub(super) fn stamp(folder: &Path) -> Option<FileStamp> {
        FileStamp::of(&folder.join(FILE))
    }

    /// Writes the list into a history's folder, to survive a power cut.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        let body = serde_json::to_vec(self)?;
        let seal = seal(folder, &body);
        let head = format!("{HEAD}{seal}{MIDDLE}");
        write_whole(folder, FILE, &[head.as_bytes(), &body, TAIL.as_bytes()].concat())
    }

    /// Adds the work in an event of a run, and removes none.
    pub(super) fn apply(&mut self, event: &RunEvent) {
        let Some(instance) = event.instance() else { return };
        let (fingerprint, is_result) = match event {
            RunEvent::Started { fingerprint, .. } => (*fingerprint, false),
            RunEvent::Finished { fingerprint, .. } | RunEvent::Cached { fingerprint, .. } => (*fingerprint, true),
            _ => return,
        };
        let work = self.instances.entry(instance.to_owned()).or_default();
        if is_result { work.add_result(fingerprint) } else { work.add_unfinished(fingerprint) }
    }

    /// Adds work of an instance to what is known.
    pub(super) fn add(&mut self, name: &str, work: &InstanceWork) {
        let known = self.instances.entry(name.to_owned()).or_default();
        work.results.iter().for_each(|result| known.add_result(*result));
        work.unfinished.iter().for_each(|unfinished| known.add_unfinished(*unfinished));
    }
}

impl InstanceWork {
    /// Adds a result.
    pub(super) fn add_result(&mut self, fingerprint: Digest) {
        if !self.results.contains(&fingerprint) {
            self.results.push(fingerprint);
        }
    }

    /// Adds work that was begun. It may have a result of which nothing was written down.
    pub(super) fn add_unfinished(&mut self, fingerprint: Digest) {
        if !self.unfinished.contains(&fingerprint) {
            self.unfinished.push(fingerprint);
        }
    }
}

/// Bytes of the list proper, if the whole file is as it was written.
fn sealed<'b>(folder: &Path, bytes: &'b [u8]) -> Option<&'b [u8]> {
    let (digits, rest) = bytes.strip_prefix(HEAD.as_bytes())?.split_at_checked(SEAL_DIGITS)?;
    let body = rest.strip_prefix(MIDDLE.as_bytes())?.strip_suffix(TAIL.as_bytes())?;
    let found: Digest = str::from_utf8(digits).ok()?.parse().ok()?;
    (found == seal(folder, body)).then_some(body)
}

/// Seal, which covers the folder's name: the list of another pipeline does not count.
fn seal(folder: &Path, body: &[u8]) -> Digest {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    Digest::keyed(&Digest::of(format!("athanor instances 2 {name}").as_bytes()), body)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn every_change_of_a_list_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(InstanceList::read(folder.path()), StoredList::Missing));
        let mut list = InstanceList { newest: Some(RunId::new(3, Timestamp::UNIX_EPOCH)), ..InstanceList::default() };
        list.apply(&RunEvent::Cached { instance: "a[b=\"1\"]".to_owned(), fingerprint: Digest::of(b"a") });
        list.write(folder.path()).unwrap();
        assert!(matches!(InstanceList::read(folder.path()), StoredList::Sound(read) if read == list));
        let stamp = InstanceList::stamp(folder.path()).unwrap();
        list.write(folder.path()).unwrap();
        assert_ne!(InstanceList::stamp(folder.path()), Some(stamp), "it is another file");
        let path = folder.path().join(FILE);
        let bytes = std::fs::read(&path).unwrap();
        let is_noticed = |damaged: &[u8]| {
            std::fs::write(&path, damaged).unwrap();
            matches!(InstanceList::read(folder.path()), StoredList::Damaged)
        };
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(is_noticed(&damaged), "byte {at}");
            damaged[at] ^= 0x21;
            assert!(is_noticed(&damaged), "byte {at}");
            assert!(is_noticed(&bytes[..at]), "cut at {at}");
        }
        assert!(is_noticed(&bytes.repeat(2)));
        assert!(is_noticed(&vec![0; bytes.len()]));
        let other = tempfile::tempdir().unwrap();
        std::fs::write(other.path().join(FILE), &bytes).unwrap();
        assert!(matches!(InstanceList::read(other.path()), StoredList::Damaged));
    }
}
