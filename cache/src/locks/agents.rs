//! Locks of agents: processes, perhaps on other machines, that work on a fingerprint for the holder of its claim.
//!
//! A claim ends with the run that has it, and its agents may work on. Until they have ended, `agents/<fingerprint>` is locked, so
//! that nobody else does the same work on the same state.

use std::fs;
use std::path::PathBuf;

use crate::{Cache, CacheError, Digest, Lock, Result};

/// Folder of the lock files.
const AREA: &str = "agents";

/// Lock of an agent on the work that it does, released when it is dropped or the process dies.
pub struct AgentLock {
    path: PathBuf,
    _lock: Lock,
}

impl Cache {
    fn agent_path(&self, fingerprint: &Digest) -> PathBuf {
        self.root().join(AREA).join(fingerprint.to_string())
    }

    /// Locks the work on `fingerprint` for an agent; `None` while another agent does it.
    pub fn lock_as_agent(&self, fingerprint: &Digest) -> Result<Option<AgentLock>> {
        let path = self.agent_path(fingerprint);
        let area = self.root().join(AREA);
        self.disk.make_folders(&area).map_err(CacheError::io(&area))?;
        Ok(self.locks.try_lock(&path)?.map(|lock| AgentLock { path, _lock: lock }))
    }

    /// Whether an agent works on `fingerprint`.
    pub fn has_agent(&self, fingerprint: &Digest) -> bool {
        self.locks.is_locked(&self.agent_path(fingerprint))
    }
}

impl Drop for AgentLock {
    fn drop(&mut self) {
        // A file that stays behind is not locked, and so stands for nobody.
        let _ = fs::remove_file(&self.path);
    }
}
