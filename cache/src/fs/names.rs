//! Names of a cache's own files and folders. Everything else in its folder belongs to somebody else, and is neither
//! listed, moved nor removed.

use std::ffi::OsStr;
use std::path::Path;

use crate::Digest;

/// Prefix of temporary files and folders.
pub(crate) const TEMPORARY: &str = "athanor-";
/// Prefix of temporary files in earlier versions.
const TEMPORARY_BEFORE: &str = ".tmp";
/// Number of random letters and digits in the name of a temporary file.
const RANDOM: usize = 6;

/// Folders of a cache, created when it is opened.
pub(crate) const AREAS: [&str; 13] = [
    "objects",
    "trees",
    "manifests",
    "actions",
    "items",
    "unfinished",
    "pending",
    "gaps",
    "integrity",
    "leases",
    "scratch",
    "tmp",
    "quarantine",
];
/// Folder of the pipelines' histories, which the caller creates.
pub(crate) const PIPELINES: &str = "pipelines";
/// Digits in the name of a history's folder.
const HISTORY_DIGITS: usize = 12;
/// File that holds the number of the cache's format.
pub(crate) const FORMAT: &str = "format";
/// Other files at the top of a cache.
const FILES: [&str; 10] = [
    "CACHEDIR.TAG",
    ".gitignore",
    "abilities",
    "doubts",
    "in-use",
    "incidents",
    "locks",
    "sequence",
    "stat-index",
    "stat-index.lock",
];

/// Whether an entry at the top of a cache's folder is the cache's own.
pub(crate) fn is_own_at_top(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    name == FORMAT || name == PIPELINES || FILES.contains(&name) || AREAS.contains(&name) || is_temporary(name)
}

/// Whether a cache gives such names in this area, or in the shards of it.
pub(crate) fn is_own(area: &str, name: &OsStr) -> bool {
    let Some(name) = name.to_str() else { return false };
    match area {
        "objects" | "gaps" => is_digest(name.strip_suffix(".x").unwrap_or(name)),
        "trees" | "items" | "unfinished" => is_digest(name),
        "manifests" | "actions" => name.strip_suffix(".json").is_some_and(is_digest),
        "pending" | "tmp" => is_temporary(name),
        "integrity" => is_shard(OsStr::new(name)),
        "leases" => true,
        "scratch" => is_run(name.strip_suffix(".lock").unwrap_or(name)),
        "quarantine" => is_set_aside(name),
        _ => false,
    }
}

/// Whether this is the name of a shard: the first digit of digests, or the first two in caches that began with format
/// 1.
pub(crate) fn is_shard(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    matches!(name.len(), 1 | 2) && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is the name of a pipeline's history.
pub(crate) fn is_history(name: &OsStr) -> bool {
    let name = name.as_encoded_bytes();
    name.len() == HISTORY_DIGITS && name.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether this is the name of an item log.
pub(crate) fn is_item_log(name: &OsStr) -> bool {
    let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".log")) else { return false };
    is_digest(name) || is_temporary(name)
}

/// Whether this is the name of a temporary file or folder of the cache.
pub(crate) fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix(TEMPORARY).or_else(|| name.strip_prefix(TEMPORARY_BEFORE));
    random.is_some_and(|random| random.len() == RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Whether this is the name of a run: `000042-20261126-213007`, or `20261126-215848.123456-4711` in earlier formats.
pub fn is_run(name: &str) -> bool {
    is_numbered_run(name) || is_dated_run(name)
}

fn is_numbered_run(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    let are_digits = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    parts.len() == 3
        && parts[0].len() >= 6
        && parts[1].len() == 8
        && parts[2].len() == 6
        && parts.iter().all(are_digits)
}

fn is_dated_run(name: &str) -> bool {
    let mut parts = name.split('-');
    let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (Some(date), Some(time), Some(process)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, "0"));
    date.len() == 8
        && seconds.len() == 6
        && [date, seconds, fraction, process].into_iter().all(are_digits)
        && parts.all(are_digits)
}

/// Whether this is the name of something in quarantine: its former path, with `_` for `/`, and a number.
fn is_set_aside(name: &str) -> bool {
    let Some((place, number)) = name.rsplit_once('.') else { return false };
    let area = |area: &&str| place.strip_prefix(area).is_some_and(|rest| rest.starts_with('_'));
    AREAS.iter().any(area) && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Digest in the name of a stored file or a record.
pub(crate) fn digest_in_name(path: &Path) -> Option<Digest> {
    path.file_stem()?.to_str()?.parse().ok()
}

fn is_digest(name: &str) -> bool {
    name.parse::<Digest>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_a_cache_gives_are_its_own() {
        let digest = Digest::of(b"x").to_string();
        let own = [
            ("objects", digest.clone()),
            ("objects", format!("{digest}.x")),
            ("gaps", format!("{digest}.x")),
            ("trees", digest.clone()),
            ("actions", format!("{digest}.json")),
            ("pending", "athanor-a1B2c3".to_owned()),
            ("tmp", ".tmpa1B2c3".to_owned()),
            ("scratch", "20261126-215848.123456-4711".to_owned()),
            ("scratch", "20261126-215848.123456-4711.lock".to_owned()),
            ("scratch", "000042-20261126-213007".to_owned()),
            ("quarantine", format!("objects_a_{digest}.0")),
        ];
        for (area, name) in &own {
            assert!(is_own(area, OsStr::new(name)), "{area}/{name}");
        }
        let upper = digest.to_uppercase();
        let foreign = [
            ("objects", "model.bin"),
            ("objects", upper.as_str()),
            ("trees", "oak"),
            ("trees", "notes.txt"),
            ("actions", "build.json"),
            ("tmp", "keep.txt"),
            ("tmp", "athanor-notes"),
            ("tmp", "athanor-1234567"),
            ("scratch", "thesis.tex"),
            ("scratch", "2026-backup"),
            ("scratch", "20261126-215848"),
            ("scratch", "20261126-215848.txt-1"),
            ("quarantine", "my_notes.1"),
            ("quarantine", "objects.1"),
            ("elsewhere", digest.as_str()),
        ];
        for (area, name) in foreign {
            assert!(!is_own(area, OsStr::new(name)), "{area}/{name}");
        }
        assert!(["a", "0f"].iter().all(|name| is_shard(OsStr::new(name))));
        assert!(!["", "g", "A", "abc"].iter().any(|name| is_shard(OsStr::new(name))));
        assert!(is_history(OsStr::new(&Digest::of(b"x").short())) && !is_history(OsStr::new("experiments1")));
    }
}
