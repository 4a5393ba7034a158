//! The command line: arguments in, a library call, an exit code out. No logic of its own.

mod arguments;
mod bench;
mod cache;
mod devices;
mod init;
mod inspect;
mod load;
mod run;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};

use crate::run::threads::make_pool;

/// All is up to date.
pub const UP_TO_DATE: u8 = 0;
/// A stage failed, or the machine refused.
pub const FAILED: u8 = 1;
/// The pipeline or the command line is wrong.
pub const WRONG: u8 = 2;
/// The user stopped it.
pub const INTERRUPTED: u8 = 130;

/// What ends a command early: what to say, and the exit code.
pub struct Exit {
    message: String,
    code: u8,
}

impl Exit {
    fn wrong(message: impl Into<String>) -> Exit {
        Exit { message: message.into(), code: WRONG }
    }

    fn failed(error: impl std::fmt::Display) -> Exit {
        Exit { message: format!("error: {error}"), code: FAILED }
    }
}

/// Carries out the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to tell when the terminal itself is gone.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { WRONG } else { UP_TO_DATE });
        }
    };
    let code = carry_out(arguments).unwrap_or_else(|exit| {
        let _ = writeln!(std::io::stderr(), "{}", exit.message.trim_end());
        exit.code
    });
    ExitCode::from(code)
}

fn carry_out(arguments: Arguments) -> Result<u8, Exit> {
    let place = arguments.place;
    if needs_threads(&arguments.command) {
        let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|count| count.parse().ok());
        let wanted = wanted.filter(|count| *count > 0).unwrap_or_else(threads_of_machine);
        make_pool(wanted).map_err(Exit::failed)?;
    }
    match arguments.command {
        Command::Run(command) => run::run(&place, &command),
        Command::Status(command) => inspect::status(&place, &command),
        Command::Explain(command) => inspect::explain(&place, &command),
        Command::Check(command) => inspect::check(&place, &command),
        Command::Graph(command) => inspect::graph(&place, &command),
        Command::Logs(command) => inspect::logs(&place, &command),
        Command::Kinds { kind } => inspect::kinds(kind.as_deref()),
        Command::Schema => inspect::schema(),
        Command::Devices { use_ } => devices::devices(&use_),
        Command::Cache(command) => cache::cache(&place, &command),
        Command::Bench(command) => bench::bench(&command),
        Command::Init { file } => init::init(&file),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "athanor", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Worker => Ok(crate::run::worker::main()),
        Command::Guardian { mark, folder } => Ok(crate::run::guardian_main(&mark, &folder)),
    }
}

/// Whether a command reads so much that several threads do it.
fn needs_threads(command: &Command) -> bool {
    match command {
        Command::Run(_) | Command::Status(_) | Command::Explain(_) | Command::Check(_) | Command::Graph(_) => true,
        Command::Logs(_) | Command::Cache(_) => true,
        Command::Kinds { .. } | Command::Schema | Command::Devices { .. } | Command::Init { .. } => false,
        // These make their own, or need none.
        Command::Bench(_) | Command::Completions { .. } | Command::Worker | Command::Guardian { .. } => false,
    }
}

fn threads_of_machine() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Prints to standard output. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<u8, Exit> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Exit::failed(error)),
        _ => Ok(UP_TO_DATE),
    }
}
