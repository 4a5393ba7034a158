//! Identity of processes across the machine, and random names.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Digest;

/// Identity of this process: boot and PID namespace, PID, and start time.
pub fn this_process() -> String {
    let number = std::process::id();
    format!("{}:{number}:{}", host(), started(number).unwrap_or_default())
}

/// Boot of the machine and PID namespace of this process.
pub(crate) fn host() -> String {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let names = fs::metadata("/proc/self/ns/pid").map_or(0, |names| names.ino());
    format!("{}:{names}", Digest::of(boot.trim_ascii()).short())
}

/// Start time of a process in ticks since boot, which tells reused PIDs apart.
fn started(process: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    let after_name = stat.rsplit(|byte| *byte == b')').next()?;
    std::str::from_utf8(after_name).ok()?.split_whitespace().nth(19)?.parse().ok()
}

/// Whether a process, as [`this_process`] calls it, is known to be gone: one of this machine that no longer exists.
pub fn is_gone(process: &str) -> bool {
    let mut parts = process.rsplitn(3, ':');
    let (Some(start), Some(number), Some(where_)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let (Ok(start), Ok(number)) = (start.parse::<u64>(), number.parse::<u32>()) else { return false };
    let can_tell = || started(std::process::id()).is_some();
    where_ == host() && can_tell() && started(number) != Some(start)
}

/// A random name of 32 hexadecimal digits.
pub(crate) fn random() -> String {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0; 16];
    // Without a source of random numbers, PID, time and a counter tell owners apart.
    let _ = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let text = format!("{bytes:?} {} {time} {}", std::process::id(), DRAWN.fetch_add(1, Ordering::Relaxed));
    Digest::of(text.as_bytes()).to_string()[..32].to_owned()
}
