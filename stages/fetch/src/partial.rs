//! A partial file: `NAME.part` with the bytes so far, and `NAME.part.json` with the metadata that show whether the
//! server still has the same file, so that a later attempt, or a later process, can request the rest alone.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Metadata of a file on a server, for resuming its transfer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ResumeMetadata {
    /// The address asked for.
    pub url: String,
    /// The answer's `ETag`.
    pub etag: Option<String>,
    /// The answer's `Last-Modified`.
    pub last_modified: Option<String>,
    /// Length of the whole file.
    pub total: Option<u64>,
}

impl ResumeMetadata {
    /// The value of `If-Range`: a strong entity tag or a date. A weak tag does not promise the same bytes.
    fn validator(&self) -> Option<&str> {
        let strong = self.etag.as_deref().filter(|tag| tag.starts_with('"'));
        strong.or(self.last_modified.as_deref())
    }
}

/// The point at which a transfer is resumed, and the server's proof that the file is still the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResumePoint {
    /// Number of bytes received.
    pub have: u64,
    /// Value of `If-Range`.
    pub validator: String,
}

/// A partial file.
#[derive(Debug)]
pub(crate) struct PartialFile {
    target: PathBuf,
    path: PathBuf,
    metadata_path: PathBuf,
    url: String,
    metadata: Option<ResumeMetadata>,
    len: u64,
}

impl PartialFile {
    /// The partial file of `target`, with the bytes of earlier attempts.
    pub(crate) fn open(target: &Path, url: &str) -> PartialFile {
        let beside = |suffix: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        let (path, metadata_path) = (beside(".part"), beside(".part.json"));
        let metadata =
            std::fs::read(&metadata_path).ok().and_then(|bytes| serde_json::from_slice::<ResumeMetadata>(&bytes).ok());
        let metadata = metadata.filter(|metadata| metadata.url == url);
        let len = std::fs::metadata(&path).map_or(0, |found| found.len());
        PartialFile { target: target.to_owned(), path, metadata_path, url: url.to_owned(), metadata, len }
    }

    /// Number of bytes received.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Their path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Metadata from the first answer.
    pub(crate) fn metadata(&self) -> Option<&ResumeMetadata> {
        self.metadata.as_ref()
    }

    /// The point to resume at, if the transfer can be resumed.
    pub(crate) fn resume_point(&self) -> Option<ResumePoint> {
        let metadata = self.metadata.as_ref()?;
        let complete = metadata.total.is_some_and(|total| total <= self.len);
        let validator = metadata.validator()?.to_owned();
        (self.len > 0 && !complete).then_some(ResumePoint { have: self.len, validator })
    }

    /// Starts again with an answer described by `metadata`.
    pub(crate) fn start(&mut self, mut metadata: ResumeMetadata, checksum: bool) -> io::Result<Sink<'_>> {
        let file = File::create(&self.path)?;
        self.len = 0;
        metadata.url.clone_from(&self.url);
        std::fs::write(&self.metadata_path, serde_json::to_vec(&metadata)?)?;
        self.metadata = Some(metadata);
        Ok(Sink { file, hash: checksum.then(Sha256::new), len: &mut self.len })
    }

    /// Continues where the last attempt ended.
    pub(crate) fn resume(&mut self, checksum: bool) -> io::Result<Sink<'_>> {
        let file = OpenOptions::new().append(true).open(&self.path)?;
        let mut hash = checksum.then(Sha256::new);
        if let Some(hash) = &mut hash {
            let mut so_far = File::open(&self.path)?.take(self.len);
            let mut buffer = vec![0; 1 << 16];
            loop {
                match so_far.read(&mut buffer)? {
                    0 => break,
                    read => hash.update(&buffer[..read]),
                }
            }
        }
        Ok(Sink { file, hash, len: &mut self.len })
    }

    /// Deletes the partial file.
    pub(crate) fn discard(&mut self) {
        for path in [&self.metadata_path, &self.path] {
            let _ = std::fs::remove_file(path);
        }
        self.metadata = None;
        self.len = 0;
    }

    /// Puts the finished file in place, whole or not at all.
    pub(crate) fn finish(self) -> io::Result<()> {
        std::fs::rename(&self.path, &self.target)?;
        let _ = std::fs::remove_file(&self.metadata_path);
        Ok(())
    }
}

/// Receives the bytes of one answer.
pub(crate) struct Sink<'a> {
    file: File,
    hash: Option<Sha256>,
    len: &'a mut u64,
}

impl Sink<'_> {
    /// Appends the next bytes.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        *self.len += bytes.len() as u64;
        Ok(())
    }

    /// Number of bytes received, those of earlier attempts included.
    pub(crate) fn len(&self) -> u64 {
        *self.len
    }

    /// The checksum of all of them, if it was asked for.
    pub(crate) fn checksum(self) -> Option<String> {
        self.hash.map(|hash| hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}
