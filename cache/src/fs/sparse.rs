//! Holes of files: a file may be much larger than what was written into it, and a copy of it should not take more room.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// Unit of [`Metadata::blocks`], in bytes.
const UNIT: u64 = 512;
/// Zeros of this length become a hole, in bytes: most file systems have blocks of this size.
const BLOCK: usize = 4096;

/// Whether a file takes less room than its size, as one with holes does.
pub(crate) fn has_holes(file: &Metadata) -> bool {
    file.blocks().saturating_mul(UNIT) < file.len()
}

/// Copies the file `from` with its permissions, as [`fs::copy`] does, but with its holes.
pub fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let metadata = source.metadata()?;
    if !metadata.is_file() || !has_holes(&metadata) {
        return fs::copy(from, to).map(drop);
    }
    let copy = File::options().write(true).create(true).truncate(true).mode(metadata.mode() & 0o7777).open(to)?;
    copy_data(&source, &copy, metadata.len())?;
    copy.set_permissions(metadata.permissions())
}

/// Copies what is written of the first `size` bytes of `source`.
fn copy_data(source: &File, copy: &File, size: u64) -> io::Result<()> {
    let mut at = 0;
    while at < size {
        let data = match seek(source, SeekFrom::Data(at)) {
            // Nothing but a hole follows.
            Err(Errno::NXIO) => break,
            found => found?.min(size),
        };
        let hole = seek(source, SeekFrom::Hole(data))?.min(size);
        seek(source, SeekFrom::Start(data))?;
        seek(copy, SeekFrom::Start(data))?;
        let mut from = source;
        io::copy(&mut Read::by_ref(&mut from).take(hole - data), &mut &*copy)?;
        at = hole.max(at + 1);
    }
    copy.set_len(size)
}

/// Writes `bytes` at `offset` of a file in which there is nothing there yet, without blocks of zeros. Its length has to be set
/// afterwards.
pub(crate) fn write_without_zeros(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let is_zero = |block: &[u8]| block.iter().all(|byte| *byte == 0);
    let mut written = bytes;
    let mut at = offset;
    while !written.is_empty() {
        let zeros: usize = written.chunks(BLOCK).take_while(|block| is_zero(block)).map(<[u8]>::len).sum();
        let (_, rest) = written.split_at(zeros);
        let data: usize = rest.chunks(BLOCK).take_while(|block| !is_zero(block)).map(<[u8]>::len).sum();
        let (data, rest) = rest.split_at(data);
        file.write_all_at(data, at + zeros as u64)?;
        at += (zeros + data.len()) as u64;
        written = rest;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_the_content_and_the_holes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for (name, size, data) in [
            ("end", 1 << 22, &[(5_000_u64, 3_usize)][..]),
            ("all", 1 << 22, &[]),
            ("full", 9_000, &[(0, 9_000)]),
            ("odd", 70_001, &[(65_536, 4_465)]),
        ] {
            let file = File::create(at(name)).unwrap();
            file.set_len(size).unwrap();
            data.iter().for_each(|(offset, length)| file.write_all_at(&vec![7; *length], *offset).unwrap());
            copy_file(&at(name), &at("copy")).unwrap();
            let content = fs::read(at(name)).unwrap();
            assert!(fs::read(at("copy")).unwrap() == content, "{name}");
            let written = File::create(at("written")).unwrap();
            write_without_zeros(&written, &content, 0).unwrap();
            written.set_len(size).unwrap();
            assert!(fs::read(at("written")).unwrap() == content, "{name}");
            for copy in ["copy", "written"] {
                let (original, copy) = (at(name).metadata().unwrap(), at(copy).metadata().unwrap());
                assert!(copy.blocks() <= original.blocks(), "{name}: {copy:?} {original:?}");
            }
        }
    }
}
