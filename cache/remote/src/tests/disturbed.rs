//! A storage that fails as it is told.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::{FailureKind, StorageError};
use crate::storage::{Body, Listed, Occupied, Stat, Storage, Stored};

/// Fault of a storage.
#[derive(Default)]
pub(crate) struct Disturbance {
    pub(crate) gets: AtomicUsize,
    pub(crate) puts: AtomicUsize,
    /// Number of the operation that fails, and how.
    at: Mutex<Option<(usize, FailureKind)>>,
    /// Beginning of keys for which operations fail, and whether only those that write do.
    on: Mutex<Option<(String, bool)>>,
    operations: AtomicUsize,
}

impl Disturbance {
    pub(crate) fn fail_at(&self, operation: usize, kind: FailureKind) {
        *self.at.lock().unwrap() = Some((operation, kind));
    }

    pub(crate) fn fail_on(&self, start: &str, only_puts: bool) {
        *self.on.lock().unwrap() = Some((start.to_owned(), only_puts));
    }

    fn check(&self, key: &str, is_put: bool) -> Stored<()> {
        let number = self.operations.fetch_add(1, Ordering::SeqCst);
        (if is_put { &self.puts } else { &self.gets }).fetch_add(1, Ordering::SeqCst);
        match &*self.at.lock().unwrap() {
            Some((at, kind)) if *at == number => return Err(StorageError::new(*kind, "failed.")),
            _ => {}
        }
        match &*self.on.lock().unwrap() {
            Some((start, only_puts)) if key.starts_with(start) && (is_put || !only_puts) => {
                Err(StorageError::new(FailureKind::Unreachable, "failed."))
            }
            _ => Ok(()),
        }
    }
}

pub(crate) struct Disturbed {
    pub(crate) inner: Box<dyn Storage>,
    pub(crate) disturbance: Arc<Disturbance>,
}

impl Storage for Disturbed {
    fn get(&self, key: &str, limit: u64) -> Stored<Option<Vec<u8>>> {
        self.disturbance.check(key, false).and_then(|()| self.inner.get(key, limit))
    }

    fn get_range(&self, key: &str, range: Range<u64>) -> Stored<Option<Vec<u8>>> {
        self.disturbance.check(key, false).and_then(|()| self.inner.get_range(key, range))
    }

    fn stat(&self, key: &str) -> Stored<Option<Stat>> {
        self.disturbance.check(key, false).and_then(|()| self.inner.stat(key))
    }

    fn list(&self, area: &str) -> Stored<Vec<Listed>> {
        self.disturbance.check(area, false).and_then(|()| self.inner.list(area))
    }

    fn remove(&self, key: &str, put: i64) -> Stored<bool> {
        self.disturbance.check(key, false).and_then(|()| self.inner.remove(key, put))
    }

    fn put(&self, key: &str, content: Vec<u8>, occupied: Occupied) -> Stored<bool> {
        self.disturbance.check(key, true).and_then(|()| self.inner.put(key, content, occupied))
    }

    fn put_file(&self, key: &str, body: &mut Body<'_>) -> Stored<()> {
        self.disturbance.check(key, true).and_then(|()| self.inner.put_file(key, body))
    }
}

/// A storage that is about to be replaced.
pub(crate) struct Nowhere;

impl Storage for Nowhere {
    fn get(&self, _: &str, _: u64) -> Stored<Option<Vec<u8>>> {
        Ok(None)
    }

    fn get_range(&self, _: &str, _: Range<u64>) -> Stored<Option<Vec<u8>>> {
        Ok(None)
    }

    fn stat(&self, _: &str) -> Stored<Option<Stat>> {
        Ok(None)
    }

    fn list(&self, _: &str) -> Stored<Vec<Listed>> {
        Ok(Vec::new())
    }

    fn remove(&self, _: &str, _: i64) -> Stored<bool> {
        Ok(false)
    }

    fn put(&self, _: &str, _: Vec<u8>, _: Occupied) -> Stored<bool> {
        Ok(false)
    }

    fn put_file(&self, _: &str, _: &mut Body<'_>) -> Stored<()> {
        Ok(())
    }
}
