//! Identity of the machine's boot: under one boot there was no power cut, so that nothing that was written is lost.

use std::fs;

use crate::Digest;

/// Prefix of the line that names the boot.
pub(crate) const BOOT: &[u8] = b"boot ";

/// First line of a log that is written under this boot. It ends with a space where the machine does not tell its boot,
/// and is then equal to no other.
pub(crate) fn boot_line() -> Vec<u8> {
    let id = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    [BOOT, Digest::of(id.trim_ascii()).to_string().as_bytes(), b" ", id.trim_ascii()].concat()
}
