//! Packs: small files one after the other, so that a hundred thousand of them are some dozens of requests.

use std::collections::BTreeMap;

use athanor_cache::{Artifact, ArtifactKind, Cache, CacheError, Digest};

use crate::action::PackRange;

/// Size from which on a file is an object of its own.
pub(crate) const LARGE: u64 = 1 << 20;
/// Largest pack.
const LARGEST: u64 = 64 << 20;
/// Bytes between two files of a pack that are read rather than asked for again.
const GAP: u64 = 256 << 10;
/// Bytes of one request for files of a pack.
const AT_ONCE: u64 = 16 << 20;

/// Content of a local cache: a stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    pub(crate) digest: Digest,
    pub(crate) executable: bool,
    pub(crate) bytes: u64,
}

/// Key of a pack.
pub(crate) fn key(pack: &Digest) -> String {
    format!("packs/{pack}")
}

/// Key of an object.
pub(crate) fn object_key(digest: &Digest) -> String {
    format!("objects/{digest}")
}

/// Divides small files into packs, in their order.
pub(crate) fn divide(files: &[Content]) -> Vec<&[Content]> {
    let mut packs = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, file) in files.iter().enumerate() {
        if size + file.bytes > LARGEST && at > start {
            packs.push(&files[start..at]);
            (start, size) = (at, 0);
        }
        size += file.bytes;
    }
    if start < files.len() {
        packs.push(&files[start..]);
    }
    packs
}

/// Reads stored files, each checked, into a pack.
pub(crate) fn read(cache: &Cache, files: &[Content]) -> Result<Vec<u8>, CacheError> {
    let mut pack = Vec::with_capacity(files.iter().map(|file| file.bytes as usize).sum());
    for Content { digest, executable, bytes } in files {
        let kind = if *executable { ArtifactKind::Executable } else { ArtifactKind::File };
        let path = cache.path_of(&Artifact { kind, digest: *digest, bytes: *bytes, files: 1 });
        let content = match std::fs::read(&path) {
            Ok(content) => content,
            Err(source) => return Err(CacheError::Io { path, source }),
        };
        if Digest::of(&content) != *digest {
            return Err(CacheError::Damaged { path, what: "its content is not what its name says".to_owned() });
        }
        pack.extend(content);
    }
    Ok(pack)
}

/// A request for files of a pack that lie close together.
#[derive(Debug, PartialEq)]
pub(crate) struct Request {
    pub(crate) pack: Digest,
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The files, each with its offset in the pack.
    pub(crate) files: Vec<(Content, u64)>,
}

/// Requests for these files, as few as sensible.
pub(crate) fn requests(files: &BTreeMap<Content, PackRange>) -> Vec<Request> {
    let mut sorted: Vec<(PackRange, Content)> = files.iter().map(|(content, place)| (*place, *content)).collect();
    sorted.sort_unstable();
    let mut requests: Vec<Request> = Vec::new();
    for (PackRange { pack, at, .. }, content) in sorted {
        let end = at.saturating_add(content.bytes);
        match requests.last_mut() {
            Some(last) if last.pack == pack && at <= last.end.saturating_add(GAP) && end - last.start <= AT_ONCE => {
                last.end = last.end.max(end);
                last.files.push((content, at));
            }
            _ => requests.push(Request { pack, start: at, end, files: vec![(content, at)] }),
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(name: u64, bytes: u64) -> Content {
        Content { digest: Digest::of(&name.to_le_bytes()), executable: false, bytes }
    }

    #[test]
    fn packs_are_full_and_no_larger_than_they_may_be() {
        let files: Vec<Content> = (0..300).map(|name| content(name, 700 << 10)).collect();
        let packs = divide(&files);
        assert_eq!(packs.iter().map(|pack| pack.len()).sum::<usize>(), 300);
        assert_eq!(packs.len(), 4);
        assert!(packs.iter().all(|pack| pack.iter().map(|file| file.bytes).sum::<u64>() <= LARGEST));
        assert!(divide(&[]).is_empty());
    }

    #[test]
    fn neighbours_are_one_request() {
        let pack = Digest::of(b"pack");
        let place = |at, bytes| PackRange { pack, at, bytes };
        let (a, b, c) = (content(1, 10), content(2, 20), content(3, 5));
        let files = BTreeMap::from([(a, place(0, 10)), (b, place(10, 20)), (c, place(10 << 20, 5))]);
        let requests = requests(&files);
        assert_eq!(requests.len(), 2);
        assert_eq!((requests[0].start, requests[0].end, requests[0].files.len()), (0, 30, 2));
        // Places that come from elsewhere may be absurd.
        let absurd = BTreeMap::from([(a, place(u64::MAX, 10)), (b, place(u64::MAX - 3, 20))]);
        assert!(super::requests(&absurd).iter().all(|request| request.end >= request.start));
    }
}
