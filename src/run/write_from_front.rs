//! Writing of bytes of which the rest is kept where a disk takes only some.

use std::io::{self, ErrorKind, Write};

/// Writes bytes and removes those that were written; after an error the others are left, to be written later.
pub(crate) fn write_from_front(to: &mut impl Write, bytes: &mut Vec<u8>) -> io::Result<()> {
    while !bytes.is_empty() {
        match to.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => drop(bytes.drain(..count)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
