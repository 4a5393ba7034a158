//! The `athanor` binary.

fn main() -> std::process::ExitCode {
    athanor::cli::main()
}
