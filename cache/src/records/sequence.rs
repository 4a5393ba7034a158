//! Sequence numbers: the order in which things happened in a cache, which no clock decides.
//!
//! The file `sequence` holds the last number given out and a seal over it, in one line of a fixed length that is overwritten in
//! place: a disk writes one sector whole or not at all. A counter that is lost or damaged goes on above every number that a
//! record has, with a gap for numbers that no record has.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::{Cache, CacheError, Digest, Result};

/// The file's name in the cache's folder.
pub(crate) const NAME: &str = "sequence";
/// Numbers skipped after the counter was lost: more than runs have numbers beyond those of their records.
const GAP: u64 = 1 << 20;
/// Bytes of the line; whatever follows it is none of ours.
const LENGTH: usize = 20 + 1 + 12 + 1;
const SEAL: &[u8] = b"athanor sequence 1";

/// The counter's open file; opened when the first number is asked for.
#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<Option<File>>, AtomicU64);

impl Cache {
    /// The next sequence number: greater than every one given out before by any process, and than `floor`.
    pub fn next_sequence(&self, floor: u64) -> Result<u64> {
        let path = self.sequence_path();
        let mut open = self.counter.0.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match open.take() {
            Some(file) => file,
            None => self.disk.open_to_overwrite(&path).map_err(CacheError::io(&path))?,
        };
        let alone = self.locks.lock_handle(&file, &path)?;
        let advanced = self.advance(&file, floor);
        drop(alone);
        *open = Some(file);
        advanced
    }

    fn advance(&self, file: &File, floor: u64) -> Result<u64> {
        let path = self.sequence_path();
        let last = match read(file).map_err(CacheError::io(&path))? {
            State::Last(last) => last,
            State::New => 0,
            State::Lost => self.all_records()?.iter().map(|record| record.sequence).max().unwrap_or(0) + GAP,
        };
        let next = last.max(floor) + 1;
        self.disk.overwrite(file, &path, line(next).as_bytes()).map_err(CacheError::io(&path))?;
        self.counter.1.store(next, Ordering::Relaxed);
        Ok(next)
    }

    /// A number that was given out, and hardly any later one, as far as that can be told without waiting; 0 where it cannot.
    pub(crate) fn peek_sequence(&self) -> u64 {
        match self.counter.1.load(Ordering::Relaxed) {
            0 => {}
            own => return own,
        }
        let open = self.counter.0.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match &*open {
            Some(file) => read(file),
            None => File::open(self.sequence_path()).and_then(|file| read(&file)),
        };
        match opened {
            Ok(State::Last(last)) => last,
            _ => 0,
        }
    }

    pub(crate) fn sequence_path(&self) -> PathBuf {
        self.root().join(NAME)
    }
}

enum State {
    Last(u64),
    /// Nothing was ever counted.
    New,
    Lost,
}

fn line(number: u64) -> String {
    let number = format!("{number:020}");
    format!("{number} {}\n", Digest::of(&[SEAL, number.as_bytes()].concat()).short())
}

fn read(file: &File) -> std::io::Result<State> {
    let mut bytes = [0; LENGTH];
    let length = file.read_at(&mut bytes, 0)?;
    if length == 0 {
        return Ok(State::New);
    }
    let text = str::from_utf8(&bytes[..length]).unwrap_or_default();
    let number = text.get(..20).and_then(|digits| digits.parse().ok());
    Ok(number.filter(|number| line(*number) == *text).map_or(State::Lost, State::Last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_whatever_becomes_of_the_counter() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let next = |floor| Cache::open(folder.path()).unwrap().next_sequence(floor).unwrap();
        assert_eq!([next(0), next(0), next(40), next(0)], [1, 2, 41, 42]);
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(next(0) > 42, "byte {at}");
        }
        std::fs::write(&path, &good[..30]).unwrap();
        assert!(next(0) > 42);
        std::fs::write(&path, [good.as_slice(), &good].concat()).unwrap();
        assert!(next(0) > 42);
    }

    #[test]
    fn no_two_threads_get_the_same_number() {
        let folder = tempfile::tempdir().unwrap();
        let caches = [Cache::open(folder.path()).unwrap(), Cache::open(folder.path()).unwrap()];
        let mut numbers: Vec<u64> = std::thread::scope(|scope| {
            let take = |cache| scope.spawn(move || (0..200).map(|_| Cache::next_sequence(cache, 0).unwrap()).collect());
            let threads: Vec<_> = [0, 0, 1, 1].map(|at| take(&caches[at])).into();
            threads
                .into_iter()
                .flat_map(|thread: std::thread::ScopedJoinHandle<'_, Vec<u64>>| thread.join().unwrap())
                .collect()
        });
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=800).collect::<Vec<_>>());
    }
}
