//! Huge pages under the heap, for commands that read a large plan.
//!
//! A plan of ten thousand stages is some hundred thousand small values, in 40 MB that are touched once. The system clears and maps each
//! page of 4 KiB at its first touch, which took a fifth of the time of a run with nothing to do; pages of 2 MiB take next to none. Where
//! the system gives no huge pages, the heap grows in larger steps, and that is all. The C library's thresholds are fixed to what it would
//! raise them to by itself, so that some memory stays at the end of each heap.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod advice {
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use nix::libc;
    use nix::sys::resource::{Resource, getrlimit};

    /// Steps in which the heap grows, in bytes: several huge pages.
    const STEP: usize = 16 << 20;
    /// Size of a huge page, in bytes.
    const HUGE_PAGE: usize = 2 << 20;
    /// The largest allocation that a heap serves, in bytes: the limit up to which the C library raises it by itself, as long as nobody sets
    /// anything.
    const LARGE: usize = 32 << 20;
    /// Address space of the heap of one thread, and what its beginning is aligned to, in bytes.
    const THREAD_HEAP: usize = 64 << 20;
    /// Number of threads whose heaps are advised: each takes a huge page or two, and a large machine has hundreds of threads.
    const MAX_THREADS: usize = 8;

    static THREADS: AtomicUsize = AtomicUsize::new(MAX_THREADS);

    /// Whether address space or data are limited: then larger steps may be refused where small ones are not.
    fn is_limited() -> bool {
        let is_limit = |resource| getrlimit(resource).is_ok_and(|(limit, _)| limit != libc::RLIM_INFINITY);
        is_limit(Resource::RLIMIT_AS) || is_limit(Resource::RLIMIT_DATA)
    }

    fn advise(first: usize, end: usize) {
        let (first, end) = (first.next_multiple_of(HUGE_PAGE), end / HUGE_PAGE * HUGE_PAGE);
        if first < end {
            // SAFETY: This changes which pages back the memory, and nothing of what is in it; a range that is not mapped is refused.
            unsafe { libc::madvise(first as *mut c_void, end - first, libc::MADV_HUGEPAGE) };
        }
    }

    /// An address in the heap of this thread, of a block of `size` bytes that was free.
    fn address_in_heap(size: usize) -> usize {
        let block = std::hint::black_box(Vec::<u8>::with_capacity(size));
        block.as_ptr() as usize
    }

    pub(super) fn main_thread() {
        if is_limited() {
            return;
        }
        let settings = [(libc::M_TOP_PAD, STEP), (libc::M_TRIM_THRESHOLD, 2 * STEP), (libc::M_MMAP_THRESHOLD, LARGE)];
        for (setting, bytes) in settings {
            // SAFETY: It only sets a number; refused settings change nothing.
            unsafe { libc::mallopt(setting, bytes as libc::c_int) };
        }
        // More than the heap has, so that it grows by a step.
        let first = address_in_heap(HUGE_PAGE);
        // SAFETY: It tells where the heap ends.
        let end = unsafe { libc::sbrk(0) } as usize;
        advise(first, end);
    }

    pub(super) fn other_thread() {
        let is_among = THREADS.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok();
        if is_among && !is_limited() {
            // A small block may be one that another thread allocated and this one freed.
            let first = address_in_heap(HUGE_PAGE / 4) / THREAD_HEAP * THREAD_HEAP;
            advise(first, first + THREAD_HEAP);
        }
    }
}

/// Prepares the heap of the main thread, before others have begun.
pub(crate) fn back_with_huge_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    advice::main_thread();
}

/// Prepares the heap of a thread that has begun.
pub(crate) fn back_thread_with_huge_pages() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    advice::other_thread();
}
