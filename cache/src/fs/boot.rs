//! The boot of the machine, under which nothing that was written is lost in a power cut.

use std::fs;

use crate::Digest;

/// How the line starts that names the boot.
pub const BOOT: &[u8] = b"boot ";

/// What a log that is written now starts with. Where the machine does not tell, no two are equal to it.
pub fn boot_line() -> Vec<u8> {
    let id = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    [BOOT, Digest::of(id.trim_ascii()).to_string().as_bytes(), b" ", id.trim_ascii()].concat()
}
