//! Zip archives.

use std::fs::File;
use std::io::{BufReader, Read};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::error::{Refusal, UnpackError};
use super::extraction::{Extraction, shown};

/// Longest target of a link.
const LONGEST_LINK: u64 = 4096;
/// The bits of a Unix mode that say what an entry is.
const TYPE_BITS: u32 = 0o170_000;

/// Unpacks an archive.
pub(super) fn unpack(file: File, extraction: &mut Extraction<'_>) -> Result<(), UnpackError> {
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| explain(None, error))?;
    if archive.has_duplicate_names() {
        return Err(UnpackError::Damaged { entry: None, message: "two of its entries have the same name".to_owned() });
    }
    if archive.has_overlapping_files().map_err(|error| explain(None, error))? {
        return Err(UnpackError::Damaged { entry: None, message: "its entries overlap".to_owned() });
    }
    for index in 0..archive.len() {
        extraction.count()?;
        let name = archive.by_index_raw(index).map_err(|error| explain(None, error))?.name_raw().to_owned();
        let mut entry = archive.by_index(index).map_err(|error| explain(Some(&name), error))?;
        if let Some(packing) = other_packing(entry.compression()) {
            return Err(UnpackError::Unsupported { entry: shown(&name), what: format!("is packed by {packing}") });
        }
        let (size, is_folder) = (entry.size(), entry.is_dir() || name.ends_with(b"/"));
        match entry.unix_mode().unwrap_or_default() & TYPE_BITS {
            0 | 0o040_000 | 0o100_000 if is_folder => extraction.folder(&name)?,
            0 | 0o100_000 => extraction.file(&name, &mut entry, Some(size))?,
            0o120_000 => {
                let mut to = Vec::new();
                let read = entry.take(LONGEST_LINK).read_to_end(&mut to);
                read.map_err(|error| UnpackError::Damaged { entry: Some(shown(&name)), message: error.to_string() })?;
                extraction.link(&name, &to, true)?;
            }
            _ => return Err(UnpackError::Refused { entry: shown(&name), why: Refusal::Special }),
        }
    }
    Ok(())
}

/// The name of a way to pack entries, if it is not read here.
fn other_packing(method: CompressionMethod) -> Option<String> {
    let name = match method {
        CompressionMethod::STORE | CompressionMethod::DEFLATE => return None,
        CompressionMethod::DEFLATE64 => "Deflate64",
        CompressionMethod::BZIP2 => "bzip2",
        CompressionMethod::LZMA => "LZMA",
        CompressionMethod::ZSTD => "Zstandard",
        CompressionMethod::XZ => "xz",
        other => return Some(format!("another method than Deflate: {other:?}")),
    };
    Some(name.to_owned())
}

fn explain(name: Option<&[u8]>, error: ZipError) -> UnpackError {
    let entry = name.map(shown);
    match error {
        ZipError::UnsupportedArchive(what) => UnpackError::Unsupported {
            entry: entry.unwrap_or_else(|| "(its directory)".to_owned()),
            what: format!("cannot be read: {what}"),
        },
        ZipError::CompressionMethodNotSupported(number) => UnpackError::Unsupported {
            entry: entry.unwrap_or_else(|| "(its directory)".to_owned()),
            what: format!("is packed by method {number}"),
        },
        error => UnpackError::Damaged { entry, message: error.to_string() },
    }
}
