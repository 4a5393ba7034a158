//! The note `.athanor.json` in a folder of results: which files there are Athanor's own, and their contents.
//!
//! The note lies with the results, so that it is right wherever they are moved, mounted or copied to. Before results are put in place
//! it says which are about to be, so that a killed run's results are known as Athanor's, too.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use athanor_cache::{Artifact, ArtifactKind, CacheError, Digest, Swap};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::result_names::RESULTS_NOTE;

/// The note's name in its folder.
pub(super) const NAME: &str = RESULTS_NOTE;
const VERSION: u32 = 1;

/// Note about a folder of results. Unknown fields are ignored.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Note {
    version: u32,
    /// Results that were put there, by path below the folder.
    #[serde(default)]
    pub results: BTreeMap<String, Entry>,
    /// The pipeline file that put them there, relative to the project folder if it lies in that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Runs that put them there, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub runs: BTreeMap<String, RunNote>,
    /// Results that may be there, because a run was about to put them there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pending: BTreeMap<String, Pending>,
    /// Whether it is here as it was written, of the very folder that it lies in.
    #[serde(skip)]
    pub is_reliable: bool,
    /// Whether its place is taken by a file of the user's.
    #[serde(skip)]
    pub place_is_users: bool,
}

/// Run that put results in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::run) struct RunNote {
    /// Time of it, by the machine's clock.
    pub time: Timestamp,
    /// Profiles that it applied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
    /// Its evaluated variables, by name.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub variables: Value,
    /// Files of `--vars`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<String>,
    /// Settings of `--set`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<String>,
}

/// Result that was put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Type of the artifact.
    pub kind: ArtifactKind,
    /// Digest of its content.
    pub digest: Digest,
    /// Digest of a folder without executable bits, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bare: Option<Digest>,
    /// The instance that made it.
    #[serde(default)]
    pub instance: String,
    /// The run that put it in place.
    #[serde(default)]
    pub run: String,
    /// Fingerprint of the work that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Digest>,
}

/// Result that is about to be put in place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// The result.
    pub entry: Entry,
    /// Swaps of single files; if there are none, all of it is replaced at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub swaps: Vec<Swap>,
}

impl Entry {
    /// Digest of its content without executable bits.
    pub(super) fn bare_digest(&self) -> Digest {
        self.bare.unwrap_or(self.digest)
    }
}

/// Note of earlier versions, stored in the cache by paths below the project folder.
#[derive(Deserialize)]
struct EarlierNote {
    artifacts: BTreeMap<String, Artifact>,
}

impl Note {
    /// Reads the note in `folder`. If there is none, `earlier` gives that of an earlier version, about results whose paths begin
    /// with `prefix`. One that cannot be read is an error: nobody knows whose it is.
    pub(super) fn read(
        folder: &Path,
        prefix: &str,
        earlier: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Result<Note, CacheError> {
        let path = folder.join(NAME);
        let found = read(&path).map_err(|source| CacheError::Io { path, source })?;
        if let Found::File(bytes) = &found
            && is_written_here(bytes)
        {
            return Ok(Note::parse(bytes));
        }
        let note = earlier().map(|bytes| Note::parse_earlier(&bytes, prefix)).unwrap_or_default();
        Ok(Note { place_is_users: !matches!(found, Found::Nothing), ..note })
    }

    /// Parses a note. A damaged one has what can still be read of it, and is not relied on.
    fn parse(bytes: &[u8]) -> Note {
        let seal = bytes.split_inclusive(|byte| *byte == b'\n').nth(1).unwrap_or_default();
        let body = bytes.get(SEAL_AT + seal.len()..).unwrap_or_default();
        let is_reliable = seal == seal_of(body).as_bytes() && bytes.starts_with(b"{\n");
        let note: Option<Note> = serde_json::from_slice(bytes).ok();
        note.map(|note| Note { is_reliable, ..note }).unwrap_or_default()
    }

    fn parse_earlier(bytes: &[u8], prefix: &str) -> Note {
        let earlier: Option<EarlierNote> = serde_json::from_slice(bytes).ok();
        let artifacts = earlier.into_iter().flat_map(|note| note.artifacts);
        let results = artifacts.filter_map(|(path, artifact)| {
            let path = path.strip_prefix(prefix)?.strip_prefix('/')?.to_owned();
            let Artifact { kind, digest, .. } = artifact;
            Some((
                path,
                Entry { kind, digest, bare: None, instance: String::new(), run: String::new(), fingerprint: None },
            ))
        });
        Note { results: results.collect(), ..Note::default() }
    }

    /// The note as text, with a digest of what follows it in the second line.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        #[derive(Serialize)]
        struct Body<'n> {
            version: u32,
            #[serde(skip_serializing_if = "Option::is_none")]
            pipeline: &'n Option<String>,
            results: &'n BTreeMap<String, Entry>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            runs: &'n BTreeMap<String, RunNote>,
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            pending: &'n BTreeMap<String, Pending>,
        }
        let Note { pipeline, results, runs, pending, .. } = self;
        let body = Body { version: VERSION, pipeline, results, runs, pending };
        let mut text = serde_json::to_vec_pretty(&body)?;
        let body = text.split_off(SEAL_AT);
        text.extend(seal_of(&body).into_bytes());
        text.extend(body);
        text.push(b'\n');
        Ok(text)
    }
}

/// Offset of the line with the digest: after the first brace and its line's end.
const SEAL_AT: usize = 2;

fn seal_of(body: &[u8]) -> String {
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    format!("  \"seal\": \"{}\",\n", Digest::of(body))
}

/// Whether a file is a note, whole or damaged: it begins like one, as far as it goes, or holds what one holds. A file that was never
/// filled, because the power went, has no bytes or only zeros.
fn is_written_here(bytes: &[u8]) -> bool {
    const BEGIN: &[u8] = b"{\n  \"seal\": \"";
    #[derive(Deserialize)]
    struct Unsealed {
        #[serde(rename = "version")]
        _version: u32,
        results: BTreeMap<String, Entry>,
    }
    let is_note = || serde_json::from_slice(bytes).is_ok_and(|note: Unsealed| !note.results.is_empty());
    BEGIN.iter().zip(bytes).all(|(expected, byte)| expected == byte) || bytes.iter().all(|byte| *byte == 0) || is_note()
}

/// Occupant of the note's place.
enum Found {
    /// Nothing, or a folder, which no file can replace.
    Nothing,
    /// A regular file, with its content.
    File(Vec<u8>),
    /// A link, a pipe, a device.
    Other,
}

/// Looks at the note's place. Reading a pipe would never end.
fn read(path: &Path) -> io::Result<Found> {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let found = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => return Ok(Found::Nothing),
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
        Err(error) => return Err(error),
    };
    if !found.is_file() {
        return Ok(Found::Other);
    }
    let mut file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    file.read_to_end(&mut bytes)?;
    Ok(Found::File(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Note {
        let entry = |text: &str| Entry {
            kind: ArtifactKind::File,
            digest: Digest::of(text.as_bytes()),
            bare: None,
            instance: "model[fold=0]".to_owned(),
            run: "20260101-1".to_owned(),
            fingerprint: Some(Digest::of(b"work")),
        };
        let results = BTreeMap::from([("a.txt".to_owned(), entry("a")), ("é/b".to_owned(), entry("b"))]);
        let pending = Pending { entry: entry("c"), swaps: Vec::new() };
        let run = RunNote {
            time: Timestamp::UNIX_EPOCH,
            profiles: Vec::new(),
            variables: serde_json::json!({ "n": 1 }),
            vars: Vec::new(),
            set: vec!["n=1".to_owned()],
        };
        Note {
            results,
            pipeline: Some("p.yaml".to_owned()),
            runs: BTreeMap::from([("20260101-1".to_owned(), run)]),
            pending: BTreeMap::from([("a.txt".to_owned(), pending)]),
            ..Note::default()
        }
    }

    #[test]
    fn a_note_reads_back_and_ignores_what_it_does_not_know() {
        let bytes = note().to_bytes().unwrap();
        let read = Note::parse(&bytes);
        assert!(read.is_reliable);
        assert_eq!((&read.results, &read.pending), (&note().results, &note().pending));
        assert_eq!((&read.pipeline, &read.runs), (&note().pipeline, &note().runs));
        let newer = String::from_utf8(bytes).unwrap().replace("\"run\"", "\"colour\": 7, \"run\"");
        let newer = Note::parse(newer.as_bytes());
        assert_eq!(newer.results, note().results);
    }

    #[test]
    fn notes_are_told_from_files_of_the_users() {
        let bytes = note().to_bytes().unwrap();
        assert!((0..bytes.len()).all(|end| is_written_here(&bytes[..end])));
        assert!(is_written_here(&[0; 100]));
        let unsealed: Vec<u8> = bytes.split_inclusive(|byte| *byte == b'\n').skip(2).collect::<Vec<_>>().concat();
        assert!(is_written_here(&[b"{".as_slice(), &unsealed].concat()));
        for users in [
            "mine",
            "{}",
            "[1]",
            r#"{"version": 1, "theme": "dark"}"#,
            r#"{"version": 1, "results": {}}"#,
            "{\n  \"a\": 1\n}\n",
        ] {
            assert!(!is_written_here(users.as_bytes()), "{users}");
        }
    }

    #[test]
    fn a_damaged_note_is_not_relied_on() {
        let bytes = note().to_bytes().unwrap();
        for at in 0..bytes.len() - 1 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(!Note::parse(&damaged).is_reliable, "byte {at}");
            assert!(!Note::parse(&bytes[..at]).is_reliable, "byte {at}");
        }
    }
}
