//! LZW of before TIFF 5, whose codes have their lowest bit first and grow late, as in GIF. The `tiff` crate reads the later
//! form alone; this goes to the crate on which it stands.

use weezl::decode::Decoder;
use weezl::{BitOrder, LzwStatus};

use super::super::{DecodeError, damaged};
use super::FORMAT;

/// Unpacks a strip or tile into `out`, which it must fill.
pub(crate) fn unpack(mut bytes: &[u8], mut out: &mut [u8]) -> Result<(), DecodeError> {
    let mut decoder = Decoder::new(BitOrder::Lsb, 8);
    while !out.is_empty() {
        let step = decoder.decode_bytes(bytes, out);
        bytes = &bytes[step.consumed_in..];
        out = &mut out[step.consumed_out..];
        let stuck = step.consumed_in == 0 && step.consumed_out == 0;
        match step.status {
            Ok(LzwStatus::Ok) if !stuck => {}
            Ok(_) if out.is_empty() => {}
            Ok(_) => return Err(damaged(FORMAT, "a strip or tile ends too early")),
            Err(error) => return Err(damaged(FORMAT, error)),
        }
    }
    Ok(())
}
