//! Requests to end: SIGINT, SIGTERM, SIGHUP.

use nix::libc;

/// Calls `handler` whenever this process is asked to end. A hangup that was ignored when the process started, as under `nohup`,
/// stays ignored.
pub(crate) fn on_request_to_end(handler: impl FnMut() + Send + 'static) {
    let is_hangup_ignored = is_ignored(libc::SIGHUP);
    // Without a handler a signal ends the process, and the next run finds what was finished.
    let _ = ctrlc::set_handler(handler);
    if is_hangup_ignored {
        // SAFETY: `SIG_IGN` is no function of ours that could do anything in a signal handler.
        unsafe {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
        }
    }
}

/// Whether a signal is ignored, by the mask that the kernel shows.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}
