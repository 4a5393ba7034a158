//! Peak memory of this process.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Interval between two measurements of the GPU's memory.
const LOOK: Duration = Duration::from_millis(500);

/// Resets [`peak`] to the memory in use now, where the system can.
pub(crate) fn forget_peak() {
    // Only Linux has this; elsewhere the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Peak bytes of main memory since [`forget_peak`].
pub(crate) fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Measures the GPU memory of this process at intervals.
pub(crate) struct GpuWatch {
    most: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Measures until [`GpuWatch::peak`] is called. Without an NVIDIA driver nothing is measured.
pub(crate) fn watch_gpu() -> GpuWatch {
    let (most, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let thread = gpu_memory().map(|_| {
        let (most, over) = (Arc::clone(&most), Arc::clone(&over));
        std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(gpu_memory().unwrap_or(0), Ordering::Relaxed);
                std::thread::park_timeout(LOOK);
            }
        })
    });
    GpuWatch { most, over, thread }
}

impl GpuWatch {
    /// Peak bytes.
    pub(crate) fn peak(self) -> Option<u64> {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread {
            thread.thread().unpark();
            // The result is in `most`, even if the thread panicked.
            let _ = thread.join();
        }
        Some(self.most.load(Ordering::Relaxed)).filter(|most| *most > 0)
    }
}

/// Bytes of GPU memory of this process by the driver's account; zero if it uses no GPU, none if there is no driver.
fn gpu_memory() -> Option<u64> {
    let mut command = Command::new("nvidia-smi");
    command.args(["--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    let own = std::process::id();
    let mebibytes =
        String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| of_process(line, own)).sum::<u64>();
    Some(mebibytes << 20)
}

/// The mebibytes of a line such as `4711, 512`, if it is of the process `own`.
fn of_process(line: &str, own: u32) -> Option<u64> {
    let (process, memory) = line.split_once(',')?;
    if process.trim().parse::<u32>().ok()? == own { memory.trim().parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_driver_is_read() {
        assert_eq!(of_process("4711, 512", 4711), Some(512));
        assert_eq!(of_process("4711, 512", 471), None);
        assert_eq!(of_process("4711, [N/A]", 4711), None);
    }

    #[test]
    fn memory_that_is_touched_counts() {
        forget_peak();
        let Some(before) = peak() else { return };
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(peak().unwrap() >= before + (48 << 20));
        drop(touched);
    }
}
