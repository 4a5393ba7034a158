//! Archives (zip, tar, tar.gz) into a folder, without trusting them.
//!
//! The format of an archive comes from its first bytes. Nothing is written outside of the folder, whatever the names
//! inside say; links are replaced by copies of what they point to, so that the folder holds plain files and folders
//! only; permissions, owners and times are not taken over. An archive that cannot be unpacked whole leaves nothing
//! behind.

mod error;
mod extraction;
mod gzip;
mod tar;
mod zip;

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use athanor_images::file_type::FileType;

pub use error::{Refusal, UnpackError};
use extraction::Extraction;

use super::sniff::describe;

/// Limits on the content of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Files, folders and links.
    pub entries: u64,
    /// Bytes unpacked; without it, [`Limits::EXPANSION`] times the archive's own length, but at least
    /// [`Limits::ALWAYS`].
    pub bytes: Option<u64>,
}

impl Limits {
    /// Default ratio of unpacked bytes to an archive's length. Images hardly shrink in an archive; more than this
    /// is rather meant to fill the disk.
    pub const EXPANSION: u64 = 200;
    /// Unpacked bytes that every archive may have by default.
    pub const ALWAYS: u64 = 1 << 30;

    fn bytes_of(&self, archive: u64) -> u64 {
        self.bytes.unwrap_or_else(|| archive.saturating_mul(Limits::EXPANSION).max(Limits::ALWAYS))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits { entries: 10_000_000, bytes: None }
    }
}

/// Totals of an unpacked archive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

/// Unpacks `archive` into `folder`, which must not exist yet.
///
/// # Errors
/// Names the entry at fault; then `folder` does not exist afterwards.
pub fn unpack(
    archive: &Path,
    folder: &Path,
    limits: &Limits,
    should_stop: &dyn Fn() -> bool,
) -> Result<Unpacked, UnpackError> {
    let mut file = File::open(archive).map_err(UnpackError::Read)?;
    let length = file.metadata().map_err(UnpackError::Read)?.len();
    let format = ArchiveFormat::of(&mut file)?;
    std::fs::create_dir(folder).map_err(|source| UnpackError::Write { path: folder.to_owned(), source })?;
    let mut extraction = Extraction::new(folder, limits.entries, limits.bytes_of(length), should_stop);
    let result = match format {
        ArchiveFormat::Zip => zip::unpack(file, &mut extraction),
        ArchiveFormat::Tar => tar::unpack(BufReader::new(file), &mut extraction),
        ArchiveFormat::TarGz => tar::unpack(BufReader::new(gzip::Parts::new(BufReader::new(file))), &mut extraction),
    };
    let result = result.and_then(|()| extraction.finish());
    if result.is_err() {
        let _ = std::fs::remove_dir_all(folder);
    }
    result
}

/// Formats of archives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArchiveFormat {
    Zip,
    Tar,
    TarGz,
}

impl ArchiveFormat {
    /// The format by the first bytes; leaves the file at its start.
    fn of(file: &mut File) -> Result<ArchiveFormat, UnpackError> {
        let head = head_of(&mut *file).map_err(UnpackError::Read)?;
        file.rewind().map_err(UnpackError::Read)?;
        let file_type = FileType::of(&head);
        if matches!(file_type, FileType::Zip | FileType::EmptyZip) {
            return Ok(ArchiveFormat::Zip);
        }
        if tar::starts(&head) {
            return Ok(ArchiveFormat::Tar);
        }
        if file_type != FileType::Gzip {
            return Err(UnpackError::NotAnArchive { found: describe(&head) });
        }
        let inside = head_of(gzip::Parts::new(BufReader::new(&mut *file))).map_err(UnpackError::damaged)?;
        file.rewind().map_err(UnpackError::Read)?;
        if tar::starts(&inside) {
            return Ok(ArchiveFormat::TarGz);
        }
        Err(UnpackError::NotAnArchive { found: format!("gzip data that holds {}", describe(&inside)) })
    }
}

fn head_of(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(FileType::HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}
