//! Integrity notes: the `stat` that stored content had when it was last known to be intact.
//!
//! A change of a stored file always moves its time of change, which no program can set, so content whose `stat` is as
//! it was noted need not be read to be trusted. A time of change that moved is a suspicion, not a finding: the content
//! is read again before it is served or recorded. Links that the cache makes move that time too, and are noted as they
//! are made.
//!
//! `integrity/a` holds the notes about content whose digest begins with `a`: records of a fixed length, each with a
//! checksum, appended by any process; the last one about some content is valid. Every note may be lost at any time: the
//! content is then read again. A note is saved for later processes only when the file system's clock has moved on since
//! the time of change in it: within the same tick a file could change once more. Content that may not be on disk yet
//! could be torn by a power cut and look as before, so that notes about it hold under the boot of the machine that they
//! were made under.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::byte_array;
use crate::fs::boot::boot_line;
use crate::fs::disk::Disk;
use crate::fs::fs_time::FsTime;
use crate::fs::names::digest_in_name;
use crate::fs::stat::{Moment, Stat};
use crate::index::clock::FileSystemClock;
use crate::{CacheError, Digest, Result};

/// Folder of the notes.
pub(crate) const AREA: &str = "integrity";
const SHARDS: usize = 16;
const PAYLOAD: usize = 40;
/// Leading bytes of a payload that change when a file is written to: inode, size and modification time.
const CONTENT: usize = 28;
/// Length of a record: kind, digest, payload, time, sequence number, boot, checksum.
const RECORD: usize = 1 + 32 + PAYLOAD + 12 + 8 + 8 + 8;
const CHECK: usize = RECORD - 8;

/// Stored content with a note of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stored {
    /// A plain stored file.
    File(Digest),
    /// An executable stored file.
    Executable(Digest),
    /// A stored folder as a whole.
    Tree(Digest),
}

impl Stored {
    pub(crate) fn file(digest: Digest, executable: bool) -> Stored {
        if executable { Stored::Executable(digest) } else { Stored::File(digest) }
    }

    /// The stored file that lies at a path in `objects`.
    pub(crate) fn at(path: &Path) -> Option<Stored> {
        Some(Stored::file(digest_in_name(path)?, path.extension().is_some_and(|extension| extension == "x")))
    }

    fn digest(&self) -> &Digest {
        match self {
            Stored::File(digest) | Stored::Executable(digest) | Stored::Tree(digest) => digest,
        }
    }

    fn tag(&self) -> u8 {
        match self {
            Stored::File(_) => 0,
            Stored::Executable(_) => 1,
            Stored::Tree(_) => 2,
        }
    }

    fn of_tag(tag: u8, digest: Digest) -> Option<Stored> {
        match tag {
            0 => Some(Stored::File(digest)),
            1 => Some(Stored::Executable(digest)),
            2 => Some(Stored::Tree(digest)),
            _ => None,
        }
    }
}

/// Stamp by which stored content is known to be unchanged without being read: inode, size and times of a file; for a
/// folder, a digest over those of everything in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentStamp(#[serde(with = "byte_array")] [u8; PAYLOAD]);

impl ContentStamp {
    pub(crate) fn of_file(stat: &Stat) -> ContentStamp {
        let mut bytes = [0; PAYLOAD];
        bytes[..8].copy_from_slice(&stat.inode.to_le_bytes());
        bytes[8..16].copy_from_slice(&stat.size.to_le_bytes());
        for (at, moment) in [(16, stat.modified), (28, stat.changed)] {
            bytes[at..at + 8].copy_from_slice(&moment.seconds.to_le_bytes());
            bytes[at + 8..at + 12].copy_from_slice(&moment.nanoseconds.to_le_bytes());
        }
        ContentStamp(bytes)
    }

    /// Whether it stands for another file than `other`, or for other content; links and permission bits are no content.
    fn is_of_other_content(&self, other: &ContentStamp) -> bool {
        self.0[..CONTENT] != other.0[..CONTENT]
    }

    pub(crate) fn of_tree(seal: &Digest) -> ContentStamp {
        let mut bytes = [0; PAYLOAD];
        bytes[..32].copy_from_slice(seal.bytes());
        ContentStamp(bytes)
    }
}

/// A note about some content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    pub stamp: ContentStamp,
    /// Latest time of change that the stamp covers.
    pub changed: Moment,
    /// Sequence number at which the content was last known to be intact; 0 if unknown.
    pub sequence: u64,
    /// Whether the content is known to be on disk.
    pub durable: bool,
}

#[derive(Default)]
struct Shard {
    notes: HashMap<Stored, Note>,
    /// How much of the file has been read.
    read: u64,
    unsaved: HashMap<Stored, Note>,
    /// The file, open for appending.
    file: Option<File>,
}

/// Notes of one cache.
pub(crate) struct Integrity {
    disk: Disk,
    clock: Arc<FileSystemClock>,
    shards: Vec<Mutex<Shard>>,
    /// Content with notes that may not be on disk.
    volatile: Mutex<HashSet<Stored>>,
    /// Identifies the machine's boot; where the machine does not tell it, this process.
    boot: [u8; 8],
}

impl Integrity {
    /// The notes of the cache on `disk`, whose file system has this `clock`.
    pub(crate) fn new(disk: Disk, clock: Arc<FileSystemClock>) -> Integrity {
        let id = boot_line();
        let unknown = if id.ends_with(b" ") { std::process::id().to_le_bytes() } else { [0; 4] };
        let mut boot = [0; 8];
        boot.copy_from_slice(&Digest::of(&[id.as_slice(), &unknown].concat()).bytes()[..8]);
        Integrity {
            disk,
            clock,
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            volatile: Mutex::default(),
            boot,
        }
    }
}

fn number_of(stored: &Stored) -> usize {
    usize::from(stored.digest().bytes()[0] >> 4)
}

impl Integrity {
    fn shard(&self, number: usize) -> MutexGuard<'_, Shard> {
        self.shards[number].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn volatile(&self) -> MutexGuard<'_, HashSet<Stored>> {
        self.volatile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Content with notes so far that may not be on disk.
    pub(crate) fn all_volatile(&self) -> Vec<Stored> {
        self.volatile().iter().copied().collect()
    }

    /// Marks content as synced to disk, in the state of its note or a later one.
    pub(crate) fn mark_durable(&self, stored: impl IntoIterator<Item = Stored>) {
        for stored in stored {
            if !self.volatile().remove(&stored) {
                continue;
            }
            let mut shard = self.shard(number_of(&stored));
            let Shard { notes, unsaved, .. } = &mut *shard;
            if let Some(note) = notes.get_mut(&stored) {
                note.durable = true;
                unsaved.insert(stored, *note);
            }
        }
    }
}

impl Integrity {
    fn path(&self, number: usize) -> PathBuf {
        self.disk.root().join(AREA).join(format!("{number:x}"))
    }

    /// Whether `stamp` is that of the last note about `stored`, by this process or another.
    pub(crate) fn is_noted(&self, stored: &Stored, stamp: &ContentStamp) -> bool {
        let is_it = |shard: &Shard| shard.notes.get(stored).is_some_and(|note| note.stamp == *stamp);
        let number = number_of(stored);
        let mut shard = self.shard(number);
        is_it(&shard) || {
            // Another process may have linked to it, or read it, since.
            self.read_on(number, &mut shard);
            is_it(&shard)
        }
    }

    /// Whether the note about the stored file `stored` says that it was written to or replaced since.
    pub(crate) fn is_noted_otherwise(&self, stored: &Stored, stamp: &ContentStamp) -> bool {
        let shard = self.shard(number_of(stored));
        shard.notes.get(stored).is_some_and(|note| note.stamp.is_of_other_content(stamp))
    }

    /// Whether `stored` is known to be on disk.
    pub(crate) fn is_noted_durable(&self, stored: &Stored) -> bool {
        self.shard(number_of(stored)).notes.get(stored).is_some_and(|note| note.durable)
    }

    /// Sequence number at which `stored` was last known to be intact; 0 if unknown.
    pub(crate) fn last_known_intact(&self, stored: &Stored) -> u64 {
        let number = number_of(stored);
        let mut shard = self.shard(number);
        self.read_on(number, &mut shard);
        shard.notes.get(stored).map_or(0, |note| note.sequence)
    }

    /// Reads the notes that were appended since the file was last read.
    fn read_on(&self, number: usize, shard: &mut Shard) {
        let Ok(mut file) = File::open(self.path(number)) else { return };
        let mut bytes = Vec::new();
        let length = file.metadata().map_or(0, |file| file.len());
        if length < shard.read {
            // It was rewritten.
            shard.read = 0;
        }
        if length == shard.read
            || file.seek(SeekFrom::Start(shard.read)).is_err()
            || file.read_to_end(&mut bytes).is_err()
        {
            return;
        }
        let (records, rest) = bytes.as_chunks::<RECORD>();
        shard.read += (bytes.len() - rest.len()) as u64;
        for (stored, note) in records.iter().filter_map(|record| decode(record, &self.boot)) {
            if !shard.unsaved.contains_key(&stored) {
                shard.notes.insert(stored, note);
            }
        }
    }

    /// Notes that `stored` is intact, with its stamp.
    pub(crate) fn note(&self, stored: Stored, note: Note) {
        if !note.durable {
            self.volatile().insert(stored);
        }
        let mut shard = self.shard(number_of(&stored));
        let known = shard.notes.insert(stored, note);
        if known != Some(note) {
            shard.unsaved.insert(stored, note);
        }
    }

    /// Time of change in the note about `stored`.
    pub(crate) fn changed_at(&self, stored: &Stored) -> Option<Moment> {
        let number = number_of(stored);
        let mut shard = self.shard(number);
        self.read_on(number, &mut shard);
        shard.notes.get(stored).map(|note| note.changed)
    }

    /// Drops the note about `stored`.
    pub(crate) fn forget_note(&self, stored: &Stored) {
        self.volatile().remove(stored);
        let mut shard = self.shard(number_of(stored));
        shard.notes.remove(stored);
        shard.unsaved.remove(stored);
    }

    /// Saves the notes for later processes. Nothing depends on them: content without a note is read again.
    pub(crate) fn flush(&self) {
        let is_news = |number: &usize| !self.shard(*number).unsaved.is_empty();
        let news: Vec<usize> = (0..SHARDS).filter(is_news).collect();
        if news.is_empty() {
            return;
        }
        let Ok(now) = self.clock.now().map(FsTime) else { return };
        for number in news {
            let mut shard = self.shard(number);
            if !shard.unsaved.is_empty() {
                self.save(number, &mut shard, now);
            }
        }
    }

    fn save(&self, number: usize, shard: &mut Shard, now: FsTime) {
        let settled = |note: &Note| !now.may_precede(note.changed);
        let bytes: Vec<u8> = shard
            .unsaved
            .iter()
            .filter(|(_, note)| settled(note))
            .flat_map(|(stored, note)| encode(stored, note, &self.boot))
            .collect();
        // The rest is saved with the next notes, when the clock will have moved on.
        shard.unsaved.retain(|_, note| !settled(note));
        let path = self.path(number);
        let append = |shard: &mut Shard| -> std::io::Result<()> {
            let mut file = match shard.file.take() {
                Some(file) => file,
                None => open_to_append(&path)?,
            };
            file.write_all(&bytes)?;
            shard.file = Some(file);
            Ok(())
        };
        if !bytes.is_empty() {
            let _ = append(shard);
        }
    }

    /// Rewrites the notes, with those about content that `stays`. To be called under exclusive use.
    pub(crate) fn sweep(&self, stays: impl Fn(&Stored) -> bool) -> Result<()> {
        for number in 0..SHARDS {
            let path = self.path(number);
            let mut shard = self.shard(number);
            *shard = Shard::default();
            self.read_on(number, &mut shard);
            let before = fs::metadata(&path).map_or(0, |file| file.len());
            shard.notes.retain(|stored, _| stays(stored));
            let bytes: Vec<u8> =
                shard.notes.iter().flat_map(|(stored, note)| encode(stored, note, &self.boot)).collect();
            if bytes.is_empty() && before > 0 {
                self.disk.remove_file(&path).map_err(CacheError::io(&path))?;
            } else if (bytes.len() as u64) < before && self.disk.write_atomically(&path, &bytes).is_err() {
                // A full disk, mostly, which a collection is to make room on: content without a note is read again.
                self.disk.remove_file(&path).map_err(CacheError::io(&path))?;
                *shard = Shard::default();
                continue;
            }
            shard.read = bytes.len() as u64;
        }
        Ok(())
    }
}

fn open_to_append(path: &Path) -> std::io::Result<File> {
    let mut file = File::options().create(true).append(true).open(path)?;
    // A record that a killed process left incomplete must not shift all that follow.
    let torn = file.metadata()?.len() % RECORD as u64;
    if torn != 0 {
        file.write_all(&vec![0; RECORD - torn as usize])?;
    }
    Ok(file)
}

fn encode(stored: &Stored, note: &Note, boot: &[u8; 8]) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[0] = stored.tag() + 1;
    record[1..33].copy_from_slice(stored.digest().bytes());
    record[33..73].copy_from_slice(&note.stamp.0);
    record[73..81].copy_from_slice(&note.changed.seconds.to_le_bytes());
    record[81..85].copy_from_slice(&note.changed.nanoseconds.to_le_bytes());
    record[85..93].copy_from_slice(&note.sequence.to_le_bytes());
    record[93..CHECK].copy_from_slice(if note.durable { &[0; 8] } else { boot });
    let check = Digest::of(&record[..CHECK]);
    record[CHECK..].copy_from_slice(&check.bytes()[..8]);
    record
}

/// Decodes a record, if it is whole and valid under this boot.
fn decode(record: &[u8; RECORD], boot: &[u8; 8]) -> Option<(Stored, Note)> {
    let durable = record[93..CHECK] == [0; 8];
    if record[CHECK..] != Digest::of(&record[..CHECK]).bytes()[..8] || !durable && record[93..CHECK] != boot[..] {
        return None;
    }
    let array = |at: usize| -> Option<[u8; 8]> { record.get(at..at + 8)?.try_into().ok() };
    let digest = Digest::from_bytes(record[1..33].try_into().ok()?);
    let stored = Stored::of_tag(record[0].checked_sub(1)?, digest)?;
    let nanoseconds = u32::from_le_bytes(record[81..85].try_into().ok()?);
    let changed = Moment { seconds: i64::from_le_bytes(array(73)?), nanoseconds };
    let stamp = ContentStamp(record[33..73].try_into().ok()?);
    Some((stored, Note { stamp, changed, sequence: u64::from_le_bytes(array(85)?), durable }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes_in(folder: &Path) -> Integrity {
        ["tmp", AREA].iter().for_each(|area| fs::create_dir_all(folder.join(area)).unwrap());
        Integrity::new(Disk::new(folder, None), Arc::new(FileSystemClock::new(folder.join("tmp"))))
    }

    fn note(size: u64) -> Note {
        let moment = Moment { seconds: -3, nanoseconds: 7 };
        let stat = Stat { size, inode: 5, device: 1, modified: moment, changed: moment, mode: 0o100_444 };
        Note { stamp: ContentStamp::of_file(&stat), changed: moment, sequence: size, durable: size > 1 }
    }

    #[test]
    fn notes_are_found_by_other_processes_and_damage_only_loses_them() {
        let folder = tempfile::tempdir().unwrap();
        let open = || notes_in(folder.path());
        let (one, other) = (open(), open());
        let stored = Stored::File(Digest::of(b"x"));
        let (first, second) = (note(1), note(2));
        one.note(stored, first);
        assert!(one.is_noted(&stored, &first.stamp) && !other.is_noted(&stored, &first.stamp));
        one.flush();
        assert!(other.is_noted(&stored, &first.stamp) && !other.is_noted(&stored, &second.stamp));
        one.note(stored, second);
        one.flush();
        assert!(other.is_noted(&stored, &second.stamp) && other.last_known_intact(&stored) == 2);
        let path = one.path(number_of(&stored));
        let good = fs::read(&path).unwrap();
        for at in RECORD..good.len() {
            let mut damaged = good.clone();
            damaged[at] ^= 1;
            fs::write(&path, &damaged).unwrap();
            let reader = open();
            assert!(!reader.is_noted(&stored, &second.stamp), "byte {at}");
        }
        // A torn record does not take those after it along.
        fs::write(&path, &good[..RECORD + 9]).unwrap();
        let writer = open();
        writer.note(stored, second);
        writer.flush();
        assert!(open().is_noted(&stored, &second.stamp));
    }

    #[test]
    fn content_is_told_apart_by_what_it_is() {
        let digest = Digest::of(b"x");
        for stored in [Stored::File(digest), Stored::Executable(digest), Stored::Tree(digest)] {
            assert_eq!(decode(&encode(&stored, &note(9), &[1; 8]), &[2; 8]), Some((stored, note(9))));
            let volatile = encode(&stored, &note(1), &[1; 8]);
            assert_eq!(decode(&volatile, &[1; 8]), Some((stored, note(1))));
            assert_eq!(decode(&volatile, &[2; 8]), None, "after another boot");
        }
    }
}
