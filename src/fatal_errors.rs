//! Messages for fatal errors at which the system would end the process without one: out of memory, a file over its limit.
//!
//! An allocation that may fail still reports that it failed; only where Rust would abort the process, which it
//! does for lack of memory, the process says so and ends with an error.

use std::alloc::{GlobalAlloc, Layout, System};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::libc;
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The system's allocator, which remembers that it has refused something.
pub struct Allocator;

/// Whether memory has been refused.
static REFUSED: AtomicBool = AtomicBool::new(false);
/// The file descriptor to which a worker reports; -1 in other processes.
static CHANNEL: AtomicI32 = AtomicI32::new(-1);

/// Bytes that a process with memory left can have: no more than the C library asks for at a time.
const LITTLE: usize = 1 << 20;

/// To people.
const TEXT: &[u8] = b"error: Memory ran out. Give the program more (`ulimit -v`, the limit of the container or job), or let fewer stages run at once (`-j`). Finished stages are kept.\n";
/// To people, after the message of a panic.
const PANIC: &[u8] =
    b"error: This is a mistake in Athanor, and ends the run; please report it. Finished stages are kept.\n";
/// Exit code of a program that panicked, as Rust has it.
const PANIC_CODE: i32 = 101;
/// To a run, in its protocol; begins with a line's end, as another message may be cut off.
const MESSAGE: &[u8] = b"\n{\"event\":\"failed\",\"message\":\"Memory ran out.\",\"help\":\"State how much memory it needs (`resources: { memory: \xe2\x80\xa6 }`), so that fewer stages run beside it, or raise the limit on memory (`ulimit -v`, that of the container or job).\"}\n";

fn remember_refusal(memory: *mut u8) -> *mut u8 {
    if memory.is_null() {
        REFUSED.store(true, Ordering::Relaxed);
    }
    memory
}

// SAFETY: Everything is passed on to the system's allocator, and its answers are passed back as they are.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: The caller keeps this function's contract, which is the same.
        remember_refusal(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: As above.
        remember_refusal(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: As above.
        remember_refusal(unsafe { System.realloc(memory, layout, size) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: As above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Prepares the process: aborts for lack of memory and files over their limit become errors. Programs that are started have the
/// signals as they were.
pub fn install_handlers() {
    let handlers: [(Signal, extern "C" fn(i32)); 2] = [(Signal::SIGABRT, on_abort), (Signal::SIGXFSZ, on_file_size)];
    for (signal, handler) in handlers {
        let action = SigAction::new(SigHandler::Handler(handler), SaFlags::SA_RESTART, SigSet::empty());
        // SAFETY: Both handlers do nothing but what is allowed in one: atomics and calls that are safe in signals. Where one cannot be set,
        // the process ends as it always did.
        let _ = unsafe { sigaction(signal, &action) };
    }
    // Where memory has a limit, the backtrace of a refusal may be refused memory in its turn, and waits for itself for ever.
    if getrlimit(Resource::RLIMIT_AS).is_ok_and(|(limit, _)| limit != libc::RLIM_INFINITY) {
        // SAFETY: This is the start of the process, which has no other thread.
        unsafe { std::env::remove_var("RUST_BACKTRACE") };
    }
}

/// Failures for lack of memory are reported to this descriptor, in the protocol of workers.
pub fn report_to(channel: i32) {
    CHANNEL.store(channel, Ordering::Relaxed);
}

/// Ends the process with a message if memory was refused before; else as if there were no handler.
extern "C" fn on_abort(signal: i32) {
    // The C library aborts, too, where it gets no memory for itself.
    if !REFUSED.load(Ordering::Relaxed) && !is_memory_gone() {
        // SAFETY: Both are allowed in a handler. The signal that is raised comes when this one has returned.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        return;
    }
    write(2, TEXT);
    let channel = CHANNEL.load(Ordering::Relaxed);
    if channel >= 0 {
        write(channel, MESSAGE);
    }
    // SAFETY: `_exit` is allowed in a handler and does not return.
    unsafe { libc::_exit(1) }
}

/// Whether the system refuses even a little memory.
fn is_memory_gone() -> bool {
    let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: A new mapping that nobody uses is made and taken away again; both are plain system calls.
    unsafe {
        let memory = libc::mmap(std::ptr::null_mut(), LITTLE, protection, flags, -1, 0);
        memory == libc::MAP_FAILED || libc::munmap(memory, LITTLE) != 0
    }
}

/// Does work that others wait for on a thread of their own. If it panics the process ends, as after a kill: nobody would ever be told.
pub(crate) fn or_exit<T>(work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        // The message of the panic itself has been printed.
        write(2, PANIC);
        std::process::exit(PANIC_CODE)
    })
}

/// The write that went too far reports an error once this has returned.
extern "C" fn on_file_size(_: i32) {}

fn write(file: i32, text: &[u8]) {
    // SAFETY: The pointer and the length are those of a slice. A reader that is gone hears nothing.
    let _ = unsafe { libc::write(file, text.as_ptr().cast(), text.len()) };
}
