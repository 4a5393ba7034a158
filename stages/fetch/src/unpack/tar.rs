//! Tar archives, read strictly: the plain, ustar, GNU and pax forms.
//!
//! The `tar` crate decodes single headers; walking the archive is done here, since a reader of untrusted archives must
//! notice a missing end, and must not take names of any length into memory.

use std::io::{ErrorKind, Read};

use tar::{EntryType, Header, PaxExtensions};

use super::error::{Refusal, UnpackError};
use super::extraction::{Extraction, shown};

const BLOCK: usize = 512;
/// Longest name or list of attributes in front of an entry.
const LONGEST_ATTRIBUTES: u64 = 1 << 20;

/// Whether `head` is the start of a tar archive.
pub(super) fn starts(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>().is_some_and(is_header)
}

/// Unpacks an archive.
pub(super) fn unpack(stream: impl Read, extraction: &mut Extraction<'_>) -> Result<(), UnpackError> {
    let mut archive = Archive { stream };
    let mut extensions = Extensions::default();
    while let Some(block) = archive.header(extraction)? {
        let header = Header::from_byte_slice(&block);
        let name = extensions.name.clone().unwrap_or_else(|| header.path_bytes().into_owned());
        let size = match extensions.size {
            Some(size) => size,
            None => header.entry_size().map_err(|error| damaged(&name, error.to_string()))?,
        };
        match header.entry_type() {
            EntryType::GNULongName => extensions.name = Some(archive.text(size, extraction)?),
            EntryType::GNULongLink => extensions.link = Some(archive.text(size, extraction)?),
            EntryType::XHeader => extensions.read_pax(&archive.attributes(size, extraction)?, &name)?,
            EntryType::XGlobalHeader => drop(archive.attributes(size, extraction)?),
            entry_type => {
                extraction.count()?;
                let link = extensions.link.take().or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
                let mut content = archive.content(size);
                add(entry_type, &name, &link.unwrap_or_default(), &mut content, size, extraction)?;
                let padding = size.wrapping_neg() % BLOCK as u64;
                let rest = content.left;
                archive.skip(rest, extraction)?;
                archive.skip(padding, extraction)?;
                extensions = Extensions::default();
            }
        }
    }
    // A compressed archive's checksum stands at its very end.
    archive.drain(extraction)
}

fn add(
    entry_type: EntryType,
    name: &[u8],
    link: &[u8],
    content: &mut dyn Read,
    size: u64,
    extraction: &mut Extraction<'_>,
) -> Result<(), UnpackError> {
    let unsupported = |what: &str| UnpackError::Unsupported { entry: shown(name), what: what.to_owned() };
    match entry_type {
        EntryType::Regular | EntryType::Continuous if name.ends_with(b"/") => extraction.folder(name),
        EntryType::Regular | EntryType::Continuous => extraction.file(name, content, Some(size)),
        EntryType::Directory => extraction.folder(name),
        EntryType::Symlink => extraction.link(name, link, true),
        EntryType::Link => extraction.link(name, link, false),
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            Err(UnpackError::Refused { entry: shown(name), why: Refusal::Special })
        }
        EntryType::GNUSparse => Err(unsupported("is a file with holes")),
        other => Err(unsupported(&format!("is of type `{}`", shown(&[other.as_byte()])))),
    }
}

/// Extended headers, which describe the entry after them.
#[derive(Default)]
struct Extensions {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Extensions {
    fn read_pax(&mut self, attributes: &[u8], name: &[u8]) -> Result<(), UnpackError> {
        for attribute in PaxExtensions::new(attributes) {
            let attribute = attribute.map_err(|error| damaged(name, error.to_string()))?;
            let value = attribute.value_bytes();
            match attribute.key_bytes() {
                b"path" => self.name = Some(value.to_owned()),
                b"linkpath" => self.link = Some(value.to_owned()),
                b"size" => {
                    let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(|| damaged(name, "its size is not a number".to_owned()))?);
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    let (entry, what) = (shown(name), "is a file with holes".to_owned());
                    return Err(UnpackError::Unsupported { entry, what });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// An archive and its reader's position.
struct Archive<R> {
    stream: R,
}

impl<R: Read> Archive<R> {
    /// The next header; nothing at the mark that ends an archive.
    fn header(&mut self, extraction: &mut Extraction<'_>) -> Result<Option<[u8; BLOCK]>, UnpackError> {
        let mut block = [0; BLOCK];
        self.stream.read_exact(&mut block).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => cut("the mark at its end is missing"),
            _ => UnpackError::damaged(error),
        })?;
        extraction.count_bytes(BLOCK as u64)?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        if is_header(&block) { Ok(Some(block)) } else { Err(cut("a header has a wrong checksum")) }
    }

    fn content(&mut self, size: u64) -> Content<'_, R> {
        Content { stream: &mut self.stream, left: size }
    }

    /// The content of an entry that describes another.
    fn attributes(&mut self, size: u64, extraction: &mut Extraction<'_>) -> Result<Vec<u8>, UnpackError> {
        if size > LONGEST_ATTRIBUTES {
            return Err(cut("an entry has a name or attributes of more than a megabyte"));
        }
        let mut bytes = Vec::new();
        self.content(size).read_to_end(&mut bytes).map_err(UnpackError::damaged)?;
        extraction.count()?;
        extraction.count_bytes(size)?;
        self.skip(size.wrapping_neg() % BLOCK as u64, extraction)?;
        Ok(bytes)
    }

    /// A name, without the zeros at its end.
    fn text(&mut self, size: u64, extraction: &mut Extraction<'_>) -> Result<Vec<u8>, UnpackError> {
        let mut bytes = self.attributes(size, extraction)?;
        bytes.truncate(bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()));
        Ok(bytes)
    }

    fn skip(&mut self, bytes: u64, extraction: &mut Extraction<'_>) -> Result<(), UnpackError> {
        extraction.count_bytes(bytes)?;
        std::io::copy(&mut self.content(bytes), &mut std::io::sink()).map(drop).map_err(UnpackError::damaged)
    }

    fn drain(&mut self, extraction: &mut Extraction<'_>) -> Result<(), UnpackError> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.stream.read(&mut buffer).map_err(UnpackError::damaged)? {
                0 => return Ok(()),
                read => extraction.count_bytes(read as u64)?,
            }
        }
    }
}

/// The next bytes of an archive, all of which must be there.
struct Content<'a, R> {
    stream: &'a mut R,
    left: u64,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(0);
        }
        match self.stream.read(&mut buffer[..wanted])? {
            0 => Err(std::io::Error::new(ErrorKind::UnexpectedEof, "it ends in the middle of an entry")),
            read => {
                self.left -= read as u64;
                Ok(read)
            }
        }
    }
}

/// Whether a block is a header: its checksum, the sum of its bytes with the checksum's own as spaces, is right.
fn is_header(block: &[u8; BLOCK]) -> bool {
    const OWN: std::ops::Range<usize> = 148..156;
    let rest = block.iter().enumerate().filter(|(at, _)| !OWN.contains(at));
    let sum = rest.map(|(_, byte)| u32::from(*byte)).sum::<u32>() + OWN.len() as u32 * u32::from(b' ');
    Header::from_byte_slice(block).cksum().is_ok_and(|stated| stated == sum)
}

fn cut(message: &str) -> UnpackError {
    UnpackError::Damaged { entry: None, message: message.to_owned() }
}

fn damaged(name: &[u8], message: String) -> UnpackError {
    UnpackError::Damaged { entry: Some(shown(name)), message }
}
