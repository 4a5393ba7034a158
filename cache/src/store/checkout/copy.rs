//! Copy of one stored file, hashed on the way.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Digest;

/// Size from which on sharing blocks is faster than copying.
const WORTH_SHARING: u64 = 64 << 10;
const PIECE: u64 = 1 << 20;
const WORTH_SEVERAL_THREADS: usize = 128 << 10;

/// Digest of the copy; an inner error concerns the stored file, the outer one the copy.
pub(super) type Copied = io::Result<io::Result<Digest>>;

/// Copies `from` to `to`, which must not exist, with the permissions that the user's umask leaves of `mode`. Blocks are
/// shared (reflink) as long as `shares_blocks` is set; it is cleared once the file system refuses.
pub(super) fn copy(from: &Path, to: &Path, mode: u32, shares_blocks: &AtomicBool) -> Copied {
    let (mut source, size) = match open(from) {
        Ok(opened) => opened,
        Err(error) => return Ok(Err(error)),
    };
    let mut copy = File::options().read(true).write(true).create_new(true).mode(mode).open(to)?;
    if size >= WORTH_SHARING && shares_blocks.load(Ordering::Relaxed) {
        match rustix::fs::ioctl_ficlone(&copy, &source) {
            // The clone is hashed, not the original: it is the clone that the user gets.
            Ok(()) => return transfer(&mut copy, size, &mut io::sink()),
            Err(_) => shares_blocks.store(false, Ordering::Relaxed),
        }
    }
    transfer(&mut source, size, &mut copy)
}

/// Opens a stored file. Anything else in its place is not followed and not waited for.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() { Ok((file, metadata.len())) } else { Err(io::ErrorKind::InvalidData.into()) }
}

fn transfer(from: &mut File, size: u64, to: &mut impl Write) -> Copied {
    let mut hasher = blake3::Hasher::new();
    let mut piece = Vec::with_capacity(usize::try_from(size.min(PIECE)).unwrap_or_default());
    loop {
        piece.clear();
        match Read::by_ref(from).take(PIECE).read_to_end(&mut piece) {
            Err(error) => return Ok(Err(error)),
            Ok(0) => return Ok(Ok(Digest::from(hasher.finalize()))),
            Ok(length) if length < WORTH_SEVERAL_THREADS => hasher.update(&piece),
            Ok(_) => hasher.update_rayon(&piece),
        };
        to.write_all(&piece)?;
    }
}
