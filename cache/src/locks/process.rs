//! Processes as others on the same machine know them, and names that no two of them draw.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Digest;

/// This process: boot and process numbers' namespace, in which its number and its start mean something, then these.
pub fn this_process() -> String {
    let number = std::process::id();
    format!("{}:{number}:{}", host(), started(number).unwrap_or_default())
}

/// The boot of the machine and the namespace of process numbers that this process is in.
pub fn host() -> String {
    let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let names = fs::metadata("/proc/self/ns/pid").map_or(0, |names| names.ino());
    format!("{}:{names}", Digest::of(boot.trim_ascii()).short())
}

/// When a process was started, in ticks since boot: numbers are used again.
fn started(process: u32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{process}/stat")).ok()?;
    let after_name = stat.rsplit(|byte| *byte == b')').next()?;
    std::str::from_utf8(after_name).ok()?.split_whitespace().nth(19)?.parse().ok()
}

/// Whether a process is known to be gone: one of this machine that is not there any more.
pub fn is_gone(process: &str) -> bool {
    let mut parts = process.rsplitn(3, ':');
    let (Some(start), Some(number), Some(where_)) = (parts.next(), parts.next(), parts.next()) else { return false };
    let (Ok(start), Ok(number)) = (start.parse::<u64>(), number.parse::<u32>()) else { return false };
    let can_tell = || started(std::process::id()).is_some();
    where_ == host() && can_tell() && started(number) != Some(start)
}

/// Letters that nobody else has drawn.
pub fn random() -> String {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let mut bytes = [0; 16];
    // Without a source of random numbers, process, time and a number tell owners apart.
    let _ = File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut bytes));
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let text = format!("{bytes:?} {} {time} {}", std::process::id(), DRAWN.fetch_add(1, Ordering::Relaxed));
    Digest::of(text.as_bytes()).to_string()[..32].to_owned()
}
