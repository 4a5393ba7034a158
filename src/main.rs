//! The `athanor` binary.

use athanor::last_words::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> std::process::ExitCode {
    athanor::last_words::prepare();
    athanor::cli::main()
}
