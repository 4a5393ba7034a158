//! Damage of stored content, told from failures of the reader itself.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use crate::{CacheError, Digest, Result, tree};

/// Calls `read`, and once more if it fails. `None` if the content is damaged; an error if nothing is known of it: a
/// reader without file handles, memory or permission cannot tell intact content from none.
pub(crate) fn unless_damaged<T>(read: impl Fn() -> Result<T>) -> Result<Option<T>> {
    match read().or_else(|_| read()) {
        Ok(found) => Ok(Some(found)),
        Err(CacheError::Io { source, .. }) if is_damage(&source) => Ok(None),
        Err(error @ CacheError::Io { .. }) => Err(error),
        Err(_) => Ok(None),
    }
}

/// Whether the file at `path`, which has `bytes` bytes, has content of this digest.
pub(crate) fn has_digest(path: &Path, bytes: u64, digest: Digest) -> Result<bool> {
    Ok(unless_damaged(|| tree::hash_file(path, bytes))? == Some(digest))
}

/// Whether a repeated error says that content is gone, cannot be read by anybody, or is not of the right type.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    let by_kind = [Kind::NotFound, Kind::NotADirectory, Kind::IsADirectory, Kind::UnexpectedEof, Kind::InvalidData];
    let by_number = [Errno::EIO, Errno::EBADMSG, Errno::EUCLEAN, Errno::ENXIO, Errno::ELOOP];
    by_kind.contains(&error.kind())
        || error.raw_os_error().is_some_and(|number| by_number.contains(&Errno::from_raw(number)))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn io(number: Errno) -> CacheError {
        CacheError::io(Path::new("x"))(io::Error::from(number))
    }

    #[test]
    fn only_an_error_that_comes_back_and_tells_of_damage_is_damage() {
        assert!(matches!(unless_damaged(|| Ok(1)), Ok(Some(1))));
        assert!(matches!(unless_damaged(|| Err::<(), _>(io(Errno::EIO))), Ok(None)));
        for error in [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::EACCES, Errno::EPERM, Errno::ESTALE] {
            assert!(unless_damaged(|| Err::<(), _>(io(error))).is_err(), "{error}");
        }
        let looks = Cell::new(0);
        let once = unless_damaged(|| {
            looks.set(looks.get() + 1);
            if looks.get() == 1 { Err(io(Errno::EIO)) } else { Ok(()) }
        });
        assert!(matches!(once, Ok(Some(()))));
    }
}
