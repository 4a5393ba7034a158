//! Requests to end: SIGINT, SIGTERM, SIGHUP.

use nix::libc;

/// Signals that stay ignored if they were when this process started: a hangup under `nohup`, and an interrupt in what a script
/// starts in the background, which Ctrl-C is not meant for.
const MAY_STAY_IGNORED: [i32; 2] = [libc::SIGHUP, libc::SIGINT];

/// Calls `handler` whenever this process is asked to end.
pub(crate) fn on_request_to_end(handler: impl FnMut() + Send + 'static) {
    let ignored = MAY_STAY_IGNORED.map(|signal| (signal, is_ignored(signal)));
    // Without a handler a signal ends the process, and the next run finds what was finished.
    let _ = ctrlc::set_handler(handler);
    for (signal, _) in ignored.into_iter().filter(|(_, was_ignored)| *was_ignored) {
        // SAFETY: `SIG_IGN` is no function of ours that could do anything in a signal handler.
        unsafe {
            libc::signal(signal, libc::SIG_IGN);
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
