//! Attempts of a run that read stored content at the same time, so that none is blamed for what another did.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use athanor_cache::{Artifact, Cache};

/// Attempts of a run that are in progress.
#[derive(Default)]
pub struct Readers {
    running: Mutex<Vec<Weak<Reader>>>,
}

/// Stored inputs of an attempt, and those of every attempt that ran at any moment while it did.
#[derive(Debug)]
pub struct Reader {
    inputs: Arc<[Artifact]>,
    others: Mutex<Vec<Arc<[Artifact]>>>,
}

impl Readers {
    /// Registers an attempt that reads these stored artifacts; it ends when the value is dropped.
    pub fn begin(&self, inputs: Vec<Artifact>) -> Arc<Reader> {
        let mut running = lock(&self.running);
        running.retain(|reader| reader.strong_count() > 0);
        let others: Vec<Arc<Reader>> = running.iter().filter_map(Weak::upgrade).collect();
        let inputs: Arc<[Artifact]> = inputs.into();
        for other in others.iter().filter(|_| !inputs.is_empty()) {
            lock(&other.others).push(Arc::clone(&inputs));
        }
        let theirs = others.iter().map(|other| Arc::clone(&other.inputs)).filter(|inputs| !inputs.is_empty());
        let reader = Arc::new(Reader { inputs, others: Mutex::new(theirs.collect()) });
        running.push(Arc::downgrade(&reader));
        reader
    }
}

impl Reader {
    /// Whether another attempt of the run had some of the content of `artifact` for reading while this one went on.
    pub fn shared(&self, cache: &Cache, artifact: &Artifact) -> bool {
        self.overlapped(|other| cache.share_content(artifact, other))
    }

    /// Whether another attempt of the run had an artifact like this for reading while this one went on.
    pub fn overlapped(&self, is_like_it: impl Fn(&Artifact) -> bool) -> bool {
        lock(&self.others).iter().any(|others| others.iter().any(&is_like_it))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use athanor_cache::{ArtifactKind, Digest};

    use super::*;

    #[test]
    fn attempts_that_overlap_at_any_moment_know_of_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        let artifact =
            |name: &[u8]| Artifact { kind: ArtifactKind::File, digest: Digest::of(name), bytes: 1, files: 1 };
        let readers = Readers::default();
        let first = readers.begin(vec![artifact(b"x")]);
        assert!(!first.shared(&cache, &artifact(b"x")));
        let second = readers.begin(vec![artifact(b"x"), artifact(b"y")]);
        drop(second);
        assert!(first.shared(&cache, &artifact(b"x")), "although the other has ended");
        let third = readers.begin(vec![artifact(b"y")]);
        assert!(!third.shared(&cache, &artifact(b"y")), "the second had ended before");
    }
}
