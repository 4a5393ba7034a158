//! State of unfinished work on its way to another machine.

use std::fs::File;

use serde::{Deserialize, Serialize};

use athanor_cache::{Cache, CacheError, Digest, MovedFile, MovedState, PlacedState};

use crate::document::{seal, unseal};
use crate::error::{RemoteError, StorageError};
use crate::keys::UNFINISHED;
use crate::lease::Lease;
use crate::pack::object_key;
use crate::remote::Remote;
use crate::storage::{Body, Occupied};
use crate::team_key::TeamKey;
use crate::transfer::Transfer;

/// Area of states.
pub(crate) const AREA: &str = UNFINISHED;
/// Largest list of files that is read, in bytes.
pub(crate) const LARGEST: u64 = 16 << 20;

/// A file of a state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct StateFile {
    /// Path in the state.
    path: String,
    digest: Digest,
    bytes: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    executable: bool,
}

/// The content of a state.
#[derive(Debug, Default, Serialize, Deserialize)]
struct StateList {
    files: Vec<StateFile>,
    /// Symbolic links by their paths.
    links: Vec<(String, String)>,
    /// Empty folders.
    folders: Vec<String>,
}

/// The document of a state: the files alone, where that is all, since earlier versions know no other.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StateDocument {
    Whole(StateList),
    Files(Vec<StateFile>),
}

impl From<StateList> for StateDocument {
    fn from(list: StateList) -> StateDocument {
        let are_plain = list.files.iter().all(|file| !file.executable);
        match are_plain && list.links.is_empty() && list.folders.is_empty() {
            true => StateDocument::Files(list.files),
            false => StateDocument::Whole(list),
        }
    }
}

impl From<StateDocument> for StateList {
    fn from(document: StateDocument) -> StateList {
        match document {
            StateDocument::Whole(list) => list,
            StateDocument::Files(files) => StateList { files, ..StateList::default() },
        }
    }
}

/// The content of the state that was stored under `key`.
fn read(key: &str, bytes: &[u8], team: Option<&TeamKey>) -> Result<StateList, StorageError> {
    unseal::<StateDocument>(key, bytes, team).map(StateList::from)
}

/// Key of the state of a fingerprint's work.
pub(crate) fn key(fingerprint: &Digest) -> String {
    format!("{AREA}/{fingerprint}")
}

/// Keys of the files of the state that was stored under `key`, whoever sealed it.
pub(crate) fn objects(key: &str, bytes: &[u8]) -> Result<Vec<String>, StorageError> {
    Ok(read(key, bytes, None)?.files.iter().map(|file| object_key(&file.digest)).collect())
}

impl Remote {
    /// Puts the state of the work `fingerprint` there, in the place of an earlier one. Returns whether it did: there may be none, or
    /// a run may be at work on it.
    pub fn push_state(&self, cache: &Cache, fingerprint: &Digest, progress: &Transfer) -> Result<bool, RemoteError> {
        let Some(_claim) = cache.try_claim(fingerprint)?.filter(|_| !cache.is_program_state_held(fingerprint)) else {
            return Ok(false);
        };
        if cache.resume_state(fingerprint)?.is_empty() {
            return Ok(false);
        }
        self.begin()?;
        self.while_pushing(progress, |lease| self.push_claimed_state(cache, fingerprint, lease, progress))
    }

    fn push_claimed_state(
        &self,
        cache: &Cache,
        fingerprint: &Digest,
        lease: &Lease<'_>,
        progress: &Transfer,
    ) -> Result<bool, RemoteError> {
        let state = cache.resume_state(fingerprint)?;
        self.refuse_links_out(&state)?;
        let MovedState { files, links, folders } = state;
        let mut list = StateList { files: Vec::new(), links, folders };
        for MovedFile { path, content: place, executable } in files {
            let failed = |source| CacheError::Io { path: place.clone(), source };
            let file = File::open(&place).map_err(failed)?;
            let bytes = file.metadata().map_err(failed)?.len();
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(&file).map_err(failed)?;
            let digest = Digest::from(hasher.finalize());
            progress.expect(bytes);
            let object = object_key(&digest);
            if bytes > 0 && self.ask(|storage| storage.size(&object))? != Some(bytes) {
                let mut body = Body::new(&file, bytes, digest, progress);
                self.put_file(&object, &mut body, progress)?;
            } else {
                progress.add(bytes);
            }
            list.files.push(StateFile { path, digest, bytes, executable });
        }
        lease.check()?;
        let key = key(fingerprint);
        let content =
            seal(&key, &StateDocument::from(list), self.team_key.as_ref()).map_err(|error| self.unwritable(&error))?;
        self.act(|storage| storage.put(&key, content, Occupied::Replace))?;
        Ok(true)
    }

    /// Refuses links that lead out of a state which anybody may have put there: what follows them would read or write elsewhere.
    fn refuse_links_out<F>(&self, state: &MovedState<F>) -> Result<(), RemoteError> {
        match state.link_out().filter(|_| self.team_key.is_none()) {
            Some((path, target)) => {
                let link = format!("`{}` to `{}`", path.escape_debug(), target.escape_debug());
                Err(RemoteError::LinkOut { address: self.address.clone(), link })
            }
            None => Ok(()),
        }
    }

    /// Fetches the state of the work `fingerprint`. `None` if it does not: there may be none, there may be one here, which stays, or
    /// a run may be at work on it.
    pub fn pull_state(
        &self,
        cache: &Cache,
        fingerprint: &Digest,
        progress: &Transfer,
    ) -> Result<Option<PlacedState>, RemoteError> {
        if !self.is_begun()? {
            return Ok(None);
        }
        let key = key(fingerprint);
        let Some(content) = self.ask(|storage| storage.get(&key, LARGEST))? else { return Ok(None) };
        let StateList { files, links, folders } =
            read(&key, &content, self.team_key.as_ref()).map_err(|error| self.note(&key, error))?;
        let mut state = MovedState { files: Vec::new(), links, folders };
        self.refuse_links_out(&state)?;
        let Some(_claim) = cache.try_claim(fingerprint)?.filter(|_| !cache.is_program_state_held(fingerprint)) else {
            return Ok(None);
        };
        if !cache.resume_state(fingerprint)?.is_empty() {
            return Ok(None);
        }
        for StateFile { path, digest, bytes, executable } in files {
            progress.expect(bytes);
            let file = cache.file_to_place()?;
            let object = object_key(&digest);
            if bytes > 0 && !self.get_file(&object, file.as_file(), bytes, progress)? {
                return Err(self.note(&key, StorageError::damaged(&key, "lacks a file of a state")));
            }
            state.files.push(MovedFile { path, content: (digest, file), executable });
        }
        cache.place_resume_state(fingerprint, state).map_err(|error| match error {
            CacheError::Damaged { .. } => self.note(&key, StorageError::damaged(&key, "holds a damaged state")),
            other => other.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_earlier_versions_are_read() {
        let digest = Digest::of(b"1");
        let before = serde_json::json!([{ "path": "state/a", "digest": digest, "bytes": 1 }]);
        let key = key(&Digest::of(b"work"));
        let list = read(&key, &seal(&key, &before, None).unwrap(), None).unwrap();
        assert_eq!(list.files, [StateFile { path: "state/a".to_owned(), digest, bytes: 1, executable: false }]);
        assert!(list.links.is_empty() && list.folders.is_empty());
        assert_eq!(objects(&key, &seal(&key, &list, None).unwrap()).unwrap(), [object_key(&digest)]);
    }

    #[test]
    fn earlier_versions_read_states_of_plain_files() {
        let file =
            |executable| StateFile { path: "state/a".to_owned(), digest: Digest::of(b"1"), bytes: 1, executable };
        let is_read_by_them = |list: StateList| {
            let document = serde_json::to_value(StateDocument::from(list)).unwrap();
            document.as_array().is_some_and(|files| files.iter().all(|file| file.as_object().unwrap().len() == 3))
        };
        assert!(is_read_by_them(StateList { files: vec![file(false)], ..StateList::default() }));
        for more in [
            StateList { files: vec![file(false), file(true)], ..StateList::default() },
            StateList { links: vec![("state/b".to_owned(), "a".to_owned())], ..StateList::default() },
            StateList { files: vec![file(false)], folders: vec!["state/c".to_owned()], ..StateList::default() },
        ] {
            assert!(!is_read_by_them(more));
        }
    }
}
