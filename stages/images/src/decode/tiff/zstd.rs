//! Zstandard, through the `ruzstd` crate.

use std::io::{ErrorKind, Read};

use ruzstd::decoding::StreamingDecoder;

use super::super::{DecodeError, damaged};
use super::FORMAT;

/// Bytes that a decoder has to be able to look back, however small the strip: those of the levels of compression up to 20.
const WINDOW: usize = 32 << 20;

/// Unpacks a strip or tile into `out`, which it must fill.
pub(crate) fn unpack(bytes: &[u8], out: &mut [u8]) -> Result<(), DecodeError> {
    // A window beyond the strip serves nothing, and would be reserved.
    let window = out.len().max(WINDOW) as u64;
    // The crate's own messages are names of its types.
    let corrupt = || damaged(FORMAT, "the data compressed by Zstandard are corrupt");
    let mut decoder = StreamingDecoder::new_with_max_window_size(bytes, window).map_err(|_| corrupt())?;
    decoder.read_exact(out).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => damaged(FORMAT, error),
        _ => corrupt(),
    })
}
