//! Listing of one folder in the index: read in one piece and used in its encoded form.

use crate::Digest;
use crate::fs::stat::{Moment, Stat};

/// Files of one folder, in the order in which the folder lists them.
///
/// Encoded are: the number of files; for each its stat, its digest and the end of its name among the names; their
/// numbers (u32) sorted by name; the names. Numbers are little endian and have 64 bits unless they are narrower by
/// nature.
#[derive(Debug)]
pub(super) struct Listing {
    bytes: Vec<u8>,
    count: usize,
    digest: Digest,
}

/// A file whose content is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownFile<'n> {
    pub name: &'n [u8],
    pub stat: Stat,
    pub digest: Digest,
}

const HEAD: usize = 8;
const ROW: usize = 52 + 32 + 8;
const NUMBER: usize = 4;

impl Listing {
    pub(super) fn new(files: &[KnownFile<'_>]) -> Listing {
        let names: usize = files.iter().map(|file| file.name.len()).sum();
        let mut bytes = Vec::with_capacity(HEAD + files.len() * (ROW + NUMBER) + names);
        bytes.extend((files.len() as u64).to_le_bytes());
        let mut end = 0;
        for file in files {
            end += file.name.len() as u64;
            push_stat(&mut bytes, &file.stat);
            bytes.extend(file.digest.bytes());
            bytes.extend(end.to_le_bytes());
        }
        // Four billion files in one folder would not fit into memory either.
        let mut order: Vec<u32> = (0..files.len() as u32).collect();
        order.sort_unstable_by_key(|number| files[*number as usize].name);
        order.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        files.iter().for_each(|file| bytes.extend(file.name));
        Listing { digest: Digest::of(&bytes), count: files.len(), bytes }
    }

    /// Decodes a listing, if its digest matches.
    pub(super) fn decode(bytes: Vec<u8>, digest: Digest) -> Option<Listing> {
        if Digest::of(&bytes) != digest {
            return None;
        }
        let count = usize::try_from(u64::from_le_bytes(*bytes.first_chunk()?)).ok()?;
        let fixed = count.checked_mul(ROW + NUMBER)?.checked_add(HEAD)?;
        (fixed <= bytes.len()).then_some(Listing { bytes, count, digest })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Digest of its bytes: listings with the same digest are equal.
    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn files(&self) -> impl Iterator<Item = KnownFile<'_>> {
        (0..self.count).filter_map(|number| self.file(number))
    }

    pub(super) fn file(&self, number: usize) -> Option<KnownFile<'_>> {
        let mut row = self.row(number)?.as_slice();
        let stat = take_stat(&mut row)?;
        let digest = Digest::from_bytes(take(&mut row)?);
        Some(KnownFile { name: self.name(number)?, stat, digest })
    }

    /// Number of the file with this name, most probably `guess`.
    pub(super) fn find(&self, name: &[u8], guess: usize) -> Option<usize> {
        if self.name(guess) == Some(name) {
            return Some(guess);
        }
        let order = self.order();
        let number = |at: &[u8; NUMBER]| u32::from_le_bytes(*at) as usize;
        let found = order.binary_search_by(|at| self.name(number(at)).unwrap_or_default().cmp(name)).ok()?;
        order.get(found).map(number)
    }

    fn row(&self, number: usize) -> Option<&[u8; ROW]> {
        self.bytes.get(HEAD..HEAD + self.count * ROW)?.as_chunks().0.get(number)
    }

    fn order(&self) -> &[[u8; NUMBER]] {
        let start = HEAD + self.count * ROW;
        self.bytes.get(start..start + self.count * NUMBER).unwrap_or_default().as_chunks().0
    }

    fn name(&self, number: usize) -> Option<&[u8]> {
        let end = |number: usize| self.row(number)?.last_chunk().map(|end| u64::from_le_bytes(*end) as usize);
        let start = if number == 0 { 0 } else { end(number - 1)? };
        self.bytes.get(HEAD + self.count * (ROW + NUMBER)..)?.get(start..end(number)?)
    }
}

fn push_stat(bytes: &mut Vec<u8>, stat: &Stat) {
    bytes.extend(stat.size.to_le_bytes());
    bytes.extend(stat.inode.to_le_bytes());
    bytes.extend(stat.device.to_le_bytes());
    for moment in [stat.modified, stat.changed] {
        bytes.extend(moment.seconds.to_le_bytes());
        bytes.extend(moment.nanoseconds.to_le_bytes());
    }
    bytes.extend(stat.mode.to_le_bytes());
}

fn take_stat(bytes: &mut &[u8]) -> Option<Stat> {
    Some(Stat {
        size: u64::from_le_bytes(take(bytes)?),
        inode: u64::from_le_bytes(take(bytes)?),
        device: u64::from_le_bytes(take(bytes)?),
        modified: take_moment(bytes)?,
        changed: take_moment(bytes)?,
        mode: u32::from_le_bytes(take(bytes)?),
    })
}

fn take_moment(bytes: &mut &[u8]) -> Option<Moment> {
    Some(Moment { seconds: i64::from_le_bytes(take(bytes)?), nanoseconds: u32::from_le_bytes(take(bytes)?) })
}

/// Splits the next `N` bytes off `bytes`.
pub(super) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = bytes.split_first_chunk::<N>()?;
    *bytes = tail;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(number: u64) -> Stat {
        let modified = Moment { seconds: -7, nanoseconds: 1 };
        let changed = Moment { seconds: 1 << 40, nanoseconds: 999_999_999 };
        Stat { size: number, inode: u64::MAX - number, device: 3, modified, changed, mode: 0o100_644 }
    }

    #[test]
    fn files_are_read_back_and_found_by_name_wherever_they_are_expected() {
        let names = ["b", "", "a b", "ab", "a", "é"];
        let file = |(number, name): (usize, &&'static str)| KnownFile {
            name: name.as_bytes(),
            stat: stat(number as u64),
            digest: Digest::of(name.as_bytes()),
        };
        let files: Vec<_> = names.iter().enumerate().map(file).collect();
        let listing = Listing::new(&files);
        let listing = Listing::decode(listing.bytes().to_vec(), listing.digest()).unwrap();
        assert_eq!(listing.files().collect::<Vec<_>>(), files);
        for guess in 0..names.len() + 1 {
            for (number, name) in names.iter().enumerate() {
                assert_eq!(listing.find(name.as_bytes(), guess), Some(number));
            }
            assert_eq!(listing.find(b"aa", guess), None);
            assert_eq!(listing.find(b"z", guess), None);
        }
    }

    #[test]
    fn a_damaged_listing_is_none() {
        let listing = Listing::new(&[KnownFile { name: b"a", stat: stat(1), digest: Digest::of(b"x") }]);
        for at in 0..listing.bytes().len() {
            let mut damaged = listing.bytes().to_vec();
            damaged[at] ^= 1;
            assert!(Listing::decode(damaged, listing.digest()).is_none(), "byte {at}");
            assert!(Listing::decode(listing.bytes()[..at].to_vec(), listing.digest()).is_none(), "byte {at}");
        }
    }
}
