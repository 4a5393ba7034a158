//! Settings of the memory allocator.

/// Makes this process keep the memory that it frees, for what it needs next.
///
/// Every operation on tensors makes new ones. As it is, the allocator gives large ones back to the system at once, and
/// the system clears each page before it gives it out again: that was up to a third of the time of a step of training.
pub(crate) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// More than any number of bytes.
        const NEVER: libc::c_int = libc::c_int::MAX;
        let settings = [
            // One pool for all threads: a tensor is freed by another thread than made it.
            (libc::M_ARENA_MAX, 1),
            // Nothing is mapped for itself alone, and nothing is given back.
            (libc::M_MMAP_MAX, 0),
            (libc::M_TRIM_THRESHOLD, NEVER),
        ];
        for (setting, value) in settings {
            // SAFETY: It only sets a number, whenever that may be; refused settings change nothing.
            unsafe { libc::mallopt(setting, value) };
        }
    }
}
