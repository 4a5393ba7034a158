//! Copy of one stored file, hashed on the way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Digest;
use crate::fs::sparse::{has_holes, write_without_zeros};

/// Size from which on sharing blocks is faster than copying.
const WORTH_SHARING: u64 = 64 << 10;
const PIECE: u64 = 1 << 20;
const WORTH_SEVERAL_THREADS: usize = 128 << 10;

/// Digest of the copy; an inner error concerns the stored file, the outer one the copy.
pub(super) type Copied = io::Result<io::Result<Digest>>;

/// Copies `from` to `to`, which must not exist, with the permissions that the user's umask leaves of `mode`. Blocks are
/// shared (reflink) as long as `shares_blocks` is set; it is cleared once the file system refuses.
pub(super) fn copy(from: &Path, to: &Path, mode: u32, shares_blocks: &AtomicBool) -> Copied {
    let (mut source, size, has_holes) = match open(from) {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let mut copy = File::options().read(true).write(true).create_new(true).mode(mode).open(to)?;
    if size >= WORTH_SHARING && shares_blocks.load(Ordering::Relaxed) {
        match rustix::fs::ioctl_ficlone(&copy, &source) {
            // The clone is hashed, not the original: it is the clone that the user gets.
            Ok(()) => return transfer(&mut copy, size, |_, _| Ok(())),
            Err(_) => shares_blocks.store(false, Ordering::Relaxed),
        }
    }
    if !has_holes {
        return transfer(&mut source, size, |piece, _| copy.write_all(piece));
    }
    let copied = transfer(&mut source, size, |piece, at| write_without_zeros(&copy, piece, at))?;
    copy.set_len(size)?;
    Ok(copied)
}

/// Opens a stored file; returns also its size, and whether it has holes. Anything else in its place is not followed and not waited for.
fn open(path: &Path) -> io::Result<(File, u64, bool)> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    let found = (file, metadata.len(), has_holes(&metadata));
    if metadata.is_file() { Ok(found) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Hashes a file, and has `write` write each piece of it at its place.
fn transfer(from: &mut File, size: u64, mut write: impl FnMut(&[u8], u64) -> io::Result<()>) -> Copied {
    let mut hasher = blake3::Hasher::new();
    let mut piece = Vec::with_capacity(usize::try_from(size.min(PIECE)).unwrap_or_default());
    let mut at = 0;
    loop {
        piece.clear();
        match Read::by_ref(from).take(PIECE).read_to_end(&mut piece) {
            Err(error) => return Ok(Err(error)),
            Ok(0) => return Ok(Ok(Digest::from(hasher.finalize()))),
            Ok(length) if length < WORTH_SEVERAL_THREADS => hasher.update(&piece),
            Ok(_) => hasher.update_rayon(&piece),
        };
        write(&piece, at)?;
        at += piece.len() as u64;
    }
}
