//! The `athanor` binary.

use std::process::ExitCode;

use athanor::fatal_errors::Allocator;
use nix::sys::resource::{Resource, getrlimit};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// Bytes of stack that the program needs at most, with some to spare.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    athanor::fatal_errors::install_handlers();
    let limit = getrlimit(Resource::RLIMIT_STACK).map_or(u64::MAX, |(soft, _)| soft);
    if limit >= STACK as u64 {
        return athanor::cli::main();
    }
    // Under a small `ulimit -s` a thread of its own has the stack; this one only waits for it.
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(athanor::cli::main);
    match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // It panicked, and has said so.
        Ok(Err(_)) => ExitCode::from(101),
        Err(_) => athanor::cli::main(),
    }
}
