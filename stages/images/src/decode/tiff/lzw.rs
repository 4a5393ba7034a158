//! LZW: that of TIFF, and that of before TIFF 5, whose codes have their lowest bit first and grow late, as in GIF. Both go to a
//! later version of the crate on which the `tiff` crate stands, into the place of a whole strip at once: half as fast again.

use weezl::decode::{Configuration, Decoder};
use weezl::{BitOrder, LzwStatus};

use super::super::{DecodeError, damaged};
use super::FORMAT;

/// Forms of LZW.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LzwForm {
    /// That of TIFF 5 and later.
    Tiff5,
    /// That of before.
    Old,
}

/// A decoder of strips and tiles.
pub(crate) struct Lzw(Decoder);

impl Lzw {
    /// One for strips and tiles of this form.
    pub(crate) fn new(form: LzwForm) -> Lzw {
        let configuration = match form {
            LzwForm::Tiff5 => Configuration::with_tiff_size_switch(BitOrder::Msb, 8),
            LzwForm::Old => Configuration::new(BitOrder::Lsb, 8),
        };
        // As with libtiff, a strip is over when it is full; an end mark may be missing.
        Lzw(configuration.with_yield_on_full_buffer(true).build())
    }

    /// Unpacks a strip or tile into `out`, which it must fill.
    pub(crate) fn unpack(&mut self, mut bytes: &[u8], mut out: &mut [u8]) -> Result<(), DecodeError> {
        self.0.reset();
        while !out.is_empty() {
            let step = self.0.decode_bytes(bytes, out);
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
}
