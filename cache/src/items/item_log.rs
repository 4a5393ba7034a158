//! Format of item logs: their lines and checksums, and the marks of how much is synced.

use std::fs;
use std::ops::Range;
use std::path::Path;

use crate::fs::boot::BOOT;
use crate::{CacheError, Digest, ItemRecord, Result};

/// Prefix of the line that says how much is synced to disk.
const SYNCED: &[u8] = b"synced ";
/// Reads a log; `None` if another process has merged it away.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CacheError::io(path)(error)),
    }
}

/// Whether a line is about the log rather than an item.
pub(crate) fn is_remark(line: &[u8]) -> bool {
    let sealed = |rest: &[u8]| {
        let (digest, id) = rest.split_at_checked(64)?;
        Some(Digest::from_hex(digest)? == Digest::of(id.strip_prefix(b" ")?))
    };
    synced_length(line).is_some() || line.strip_prefix(BOOT).and_then(sealed) == Some(true)
}

/// Line that says that all files in the first `length` bytes of the log are synced to disk.
pub(crate) fn synced_line(length: usize) -> Vec<u8> {
    let length = length.to_string();
    [SYNCED, length.as_bytes(), b" ", Digest::of(length.as_bytes()).to_string().as_bytes()].concat()
}

/// Parses a [`synced_line`].
pub(crate) fn synced_length(line: &[u8]) -> Option<usize> {
    let length: usize = std::str::from_utf8(line.strip_prefix(SYNCED)?).ok()?.split(' ').next()?.parse().ok()?;
    (synced_line(length) == line).then_some(length)
}

/// Length of the part of a log whose files are known to be on disk.
pub(crate) fn safe_length(bytes: &[u8], boot: &[u8]) -> usize {
    let first = line_ranges(bytes).next().map(|range| &bytes[range]);
    if first == Some(boot) && !boot.ends_with(b" ") {
        return bytes.len();
    }
    line_ranges(bytes).filter_map(|range| synced_length(&bytes[range])).max().unwrap_or(0)
}

/// Ranges of the complete lines of a log, without line ends.
pub(crate) fn line_ranges(bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let length = bytes[start..].iter().position(|byte| *byte == b'\n')?;
        let range = start..start + length;
        start = range.end + 1;
        Some(range)
    })
}

/// Encodes a line: `key`, digest of the rest, and record, separated by spaces.
pub(crate) fn encode(key: &Digest, record: &ItemRecord) -> serde_json::Result<Vec<u8>> {
    let body = serde_json::to_string(record)?;
    Ok(format!("{key} {} {body}", seal(key, body.as_bytes())).into_bytes())
}

/// Key of a line.
pub(crate) fn key_of(line: &[u8]) -> Option<Digest> {
    Digest::from_hex(line.split(|byte| *byte == b' ').next()?)
}

/// Key and record of a line; `None` for one that is damaged or about the log itself.
pub(crate) fn decode(line: &[u8]) -> Option<(Digest, ItemRecord)> {
    let mut parts = line.splitn(3, |byte| *byte == b' ');
    let (key, sealed) = (Digest::from_hex(parts.next()?)?, Digest::from_hex(parts.next()?)?);
    let body = parts.next()?;
    let record = (seal(&key, body) == sealed).then(|| serde_json::from_slice(body).ok()).flatten()?;
    Some((key, record))
}

fn seal(key: &Digest, body: &[u8]) -> Digest {
    Digest::of(&[key.bytes().as_slice(), body].concat())
}
