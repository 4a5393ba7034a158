//! An open remote cache.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use athanor_cache::Digest;

use crate::action::{self, RemoteResult};
use crate::breaker::Breaker;
use crate::document::{seal, unseal};
use crate::error::{FailureKind, RemoteError, StorageError};
use crate::keys::MARK;
use crate::options::RemoteOptions;
use crate::parallel::{REQUESTS, try_map};
use crate::storage::{self, Body, Occupied, Storage, Stored};
use crate::team_key::TeamKey;
use crate::transfer::Transfer;

/// Version of the layout.
const VERSION: u32 = 1;
/// Largest such file, in bytes.
const LARGEST_MARK: u64 = 1 << 12;

/// A remote cache. Opening it asks nothing; every operation waits for its outcome, in bounded time, and may run on any thread.
pub struct Remote {
    pub(crate) storage: Box<dyn Storage>,
    pub(crate) address: String,
    pub(crate) team_key: Option<TeamKey>,
    breaker: Breaker,
    /// Whether the storage holds a remote cache, once that is known.
    is_begun: Mutex<Option<bool>>,
    /// Keys whose content was found to be missing or damaged, and which the next push replaces.
    damaged: Mutex<HashSet<String>>,
}

/// Outcome of one question for a result.
pub type FindOutcome = Result<Option<RemoteResult>, RemoteError>;

#[derive(serde::Serialize, serde::Deserialize)]
struct Mark {
    version: u32,
}

impl Remote {
    /// Opens the remote cache at an address.
    pub fn open(options: &RemoteOptions) -> Result<Remote, RemoteError> {
        let address = options.address.to_string();
        let storage = storage::open(options).map_err(|error| error.at(&address))?;
        let (is_begun, damaged) = (Mutex::default(), Mutex::default());
        Ok(Remote {
            storage,
            address,
            team_key: options.team_key.clone(),
            breaker: Breaker::default(),
            is_begun,
            damaged,
        })
    }

    /// Its address, without secrets: it has none.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Asks for the result of a fingerprint, with one request; `None` if there is none.
    pub fn find(&self, fingerprint: &Digest) -> Result<Option<RemoteResult>, RemoteError> {
        if !self.is_begun()? {
            return Ok(None);
        }
        let key = action::key(fingerprint);
        let found = self.ask(|storage| storage.get(&key, action::LARGEST))?;
        let unseal = |bytes: Vec<u8>| RemoteResult::unseal(fingerprint, &bytes, self.team_key.as_ref());
        found.map(unseal).transpose().map_err(|error| self.note(&key, error))
    }

    /// As [`Remote::find`], for work that always has these outputs. A record without one of them is damaged: nothing that reads it could
    /// ever run.
    pub fn find_whole<'o>(
        &self,
        fingerprint: &Digest,
        outputs: impl IntoIterator<Item = &'o str>,
    ) -> Result<Option<RemoteResult>, RemoteError> {
        match self.find(fingerprint)? {
            Some(result) if result.lacks(outputs) => {
                let key = action::key(fingerprint);
                Err(self.note(&key, StorageError::damaged(&key, "holds a record that lacks outputs")))
            }
            found => Ok(found),
        }
    }

    /// Asks for several results at once, each by its fingerprint and the outputs that such work always has; returns the outcome of each.
    ///
    /// # Errors
    /// If the storage cannot tell; a result that is damaged is the outcome of one question.
    pub fn find_all(&self, questions: &[(Digest, Vec<&str>)]) -> Result<Vec<FindOutcome>, RemoteError> {
        // A place that is no remote cache answers none of them.
        self.is_begun()?;
        try_map(questions, REQUESTS, |(fingerprint, outputs)| {
            match self.find_whole(fingerprint, outputs.iter().copied()) {
                Err(error) if error.kind() != Some(FailureKind::Damaged) => Err(error),
                outcome => Ok(outcome),
            }
        })
    }

    /// Whether anything was ever put there.
    pub fn is_begun(&self) -> Result<bool, RemoteError> {
        let mut known = lock(&self.is_begun);
        if let Some(known) = *known {
            return Ok(known);
        }
        let found = self.ask(|storage| storage.get(MARK, LARGEST_MARK))?;
        let is_begun = match found {
            None => false,
            Some(bytes) => {
                // Not under the team's seal: all that it could be made to say is that this is no remote cache.
                let mark: Mark = unseal(MARK, &bytes, None).map_err(|error| error.at(&self.address))?;
                if mark.version != VERSION {
                    let what = format!(
                        "has version {}, which this version of Athanor does not know. Upgrade Athanor, or use another remote cache.",
                        mark.version
                    );
                    return Err(StorageError::new(FailureKind::Other, what).at(&self.address));
                }
                true
            }
        };
        *known = Some(is_begun);
        Ok(is_begun)
    }

    /// Begins a remote cache where there is none.
    pub(crate) fn begin(&self) -> Result<(), RemoteError> {
        if self.is_begun()? {
            return Ok(());
        }
        let mark = seal(MARK, &Mark { version: VERSION }, None).map_err(|error| self.unwritable(&error))?;
        self.act(|storage| storage.put(MARK, mark.clone(), Occupied::Keep))?;
        *lock(&self.is_begun) = Some(true);
        Ok(())
    }

    /// A small question, whose answer should be quick.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&dyn Storage) -> Stored<T>) -> Result<T, RemoteError> {
        let begun = Instant::now();
        let answer = self.attempt(question)?;
        self.breaker.answered(begun.elapsed(), Instant::now());
        Ok(answer)
    }

    /// An operation that may take a while.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&dyn Storage) -> Stored<T>) -> Result<T, RemoteError> {
        let done = self.attempt(act)?;
        self.breaker.answered(Duration::ZERO, Instant::now());
        Ok(done)
    }

    /// Stores a file. A transfer that was stopped is no failure of the storage.
    pub(crate) fn put_file(&self, key: &str, body: &mut Body<'_>, progress: &Transfer) -> Result<(), RemoteError> {
        let stored = self.act(|storage| storage.put_file(key, body));
        stored.map_err(|error| progress.check().err().unwrap_or(error))
    }

    fn attempt<T>(&self, act: impl FnOnce(&dyn Storage) -> Stored<T>) -> Result<T, RemoteError> {
        if !self.breaker.lets_through(Instant::now()) {
            return Err(RemoteError::Paused { address: self.address.clone() });
        }
        act(&*self.storage).map_err(|error| {
            // What is damaged was served in good order.
            if error.kind != FailureKind::Damaged {
                self.breaker.failed(Instant::now());
            }
            error.at(&self.address)
        })
    }

    /// The error of content that is not what it should be; the next push replaces it.
    pub(crate) fn note(&self, key: &str, error: StorageError) -> RemoteError {
        lock(&self.damaged).insert(key.to_owned());
        error.at(&self.address)
    }

    /// The error of content that should be there and is not.
    pub(crate) fn note_missing(&self, key: &str) -> RemoteError {
        self.note(key, StorageError::damaged(key, "does not hold what it promises"))
    }

    /// Whether a key's content was found to be damaged or missing.
    pub(crate) fn is_damaged(&self, key: &str) -> bool {
        lock(&self.damaged).contains(key)
    }

    /// Whether any pack was: which results need it is not known.
    pub(crate) fn has_damaged_packs(&self) -> bool {
        lock(&self.damaged).iter().any(|key| key.starts_with("packs/"))
    }

    /// Notes that a key's content was put there anew.
    pub(crate) fn is_mended(&self, key: &str) {
        lock(&self.damaged).remove(key);
    }

    pub(crate) fn unwritable(&self, error: &serde_json::Error) -> RemoteError {
        StorageError::new(FailureKind::Other, format!("cannot be given this: {error}.")).at(&self.address)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
