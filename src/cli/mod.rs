//! The command line: arguments in, a library call, an exit code out.
//!
//! It reads files, variables and options, and decides from them which settings and resources apply; everything about pipelines
//! and the cache is decided in the library.

mod after_run;
mod arguments;
mod bench;
mod cache;
mod cache_arguments;
mod cluster;
mod devices;
mod find_project;
mod init;
mod inspect;
mod load;
mod logs;
mod machine_use;
mod pipeline_file;
mod project;
mod recent_pipeline;
mod remote;
mod remote_config;
mod report;
mod report_arguments;
mod restore;
mod run;
mod settings;
mod shell;
mod top;
mod unknown_word;
mod view_output;
mod watch;
mod written_file;

use std::io::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use athanor_stages::nn::devices::{GPU_API_VARIABLE, INSTRUCTION_SET_VARIABLE, check_instruction_set, gpu_api};
use athanor_stages::secrets::mask;
use clap::{CommandFactory, Parser};
use console::Term;

use arguments::{Arguments, CacheCommand, Command};

use crate::escape::{escape_lines, is_unprintable};
use crate::heap::back_with_huge_pages;
use crate::run::executor::compute_pool::make_pool;

/// Exit code: all is up to date.
pub const UP_TO_DATE: u8 = 0;
/// Exit code: a stage failed, or the system refused.
pub const FAILED: u8 = 1;
/// Exit code: the pipeline or the command line is wrong.
pub const WRONG: u8 = 2;
/// Exit code of `status --exit-code`: something is not fresh.
pub const STALE: u8 = 3;
/// Exit code: the user stopped it.
pub const INTERRUPTED: u8 = 130;

/// Early end of a command: the message and the exit code.
pub struct Exit {
    message: String,
    code: u8,
}

impl Exit {
    fn wrong(message: impl AsRef<str>) -> Exit {
        Exit { message: shown(message.as_ref()), code: WRONG }
    }

    fn failed(error: impl std::fmt::Display) -> Exit {
        Exit { message: shown(&format!("error: {error}")), code: FAILED }
    }
}

/// Carries out the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Nothing is left to tell when the terminal itself is gone.
            let printed = if std::env::args_os().any(|argument| argument.to_string_lossy().contains(is_unprintable)) {
                write!(std::io::stderr(), "{}", shown(&error.to_string()))
            } else {
                error.print()
            };
            if let Some(remedy) = unknown_word::remedy(&error) {
                let _ = writeln!(std::io::stderr(), "  help: {}", shown(&remedy));
            }
            if let Some(exit) = printed.err().filter(|_| !error.use_stderr()).and_then(|error| lost_output(&error)) {
                return ended(&exit);
            }
            return ExitCode::from(if error.use_stderr() { WRONG } else { UP_TO_DATE });
        }
    };
    carry_out(arguments).map_or_else(|exit| ended(&exit), ExitCode::from)
}

/// Shows the message of a command that ended early.
fn ended(exit: &Exit) -> ExitCode {
    // A terminal that is gone needs no message.
    let _ = writeln!(std::io::stderr(), "{}", exit.message.trim_end());
    ExitCode::from(exit.code)
}

/// Refuses a clock that tells a time which cannot be written down.
fn check_clock() -> Result<(), Exit> {
    /// Seconds from 1970 to the year 9999.
    const LATEST: u64 = 253_370_764_800;
    let is_odd = SystemTime::now().duration_since(UNIX_EPOCH).is_ok_and(|since| since.as_secs() >= LATEST);
    if is_odd {
        Err(Exit::failed("The clock of this machine is past the year 9998. Set it right (`date`)."))
    } else {
        Ok(())
    }
}

fn carry_out(arguments: Arguments) -> Result<u8, Exit> {
    check_clock()?;
    if let Ok(limit) = std::env::var(INSTRUCTION_SET_VARIABLE) {
        check_instruction_set(&limit).map_err(|error| Exit::wrong(format!("error: {error}")))?;
    }
    if let Ok(name) = std::env::var(GPU_API_VARIABLE) {
        gpu_api::parse(&name).map_err(|error| Exit::wrong(format!("error: {error}")))?;
    }
    if needs_threads(&arguments.command) {
        back_with_huge_pages();
        let wanted = std::env::var("RAYON_NUM_THREADS").ok().and_then(|count| count.parse().ok());
        let wanted = wanted.filter(|count| *count > 0).unwrap_or_else(threads_of_machine);
        make_pool(wanted).map_err(Exit::failed)?;
    }
    let mut arguments = arguments;
    find_project::enter(&mut arguments)?;
    let options = arguments.settings;
    let settings = || settings::load(&options);
    match arguments.command {
        Command::Run(command) => run::run(&settings()?, &command),
        Command::Status { view, exit_code, remote } => inspect::status(&settings()?, &view, exit_code, remote),
        Command::Explain { select, remote } => inspect::explain(&settings()?, &select, remote),
        Command::Check(command) => inspect::check(&settings()?, &command),
        Command::Graph(command) => inspect::graph(&settings()?, &command),
        Command::Report(command) => report::report(&settings()?, &command),
        Command::Watch(command) => watch::watch(&settings()?, &command),
        Command::Top(command) => top::top(&settings()?, &command),
        Command::Runs(command) => report::runs(&settings()?, &command),
        Command::Metrics(command) => report::metrics(&settings()?, &command),
        Command::Compare(command) => report::compare(&settings()?, &command),
        Command::Export(command) => report::export(&settings()?, &command),
        Command::Restore(command) => restore::restore(&settings()?, &command),
        Command::Logs(command) => logs::logs(&settings()?, &command),
        Command::Shell(command) => shell::shell(&settings()?, &command),
        Command::Kinds { kind } => inspect::kinds(kind.as_deref()),
        Command::Schema { config } => inspect::schema(config),
        Command::Config { json } => settings::config(&options, json),
        Command::Devices(command) => devices::devices(&command),
        Command::Cache(CacheCommand::Serve { stdio: _, folder }) => remote::serve(&folder),
        Command::Cache(command) => cache::cache(&settings()?, &command),
        Command::Bench(command) => bench::bench(&command),
        Command::Init { file } => init::init(&file),
        Command::Help { topic } => help(&topic),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "athanor", &mut script);
            print_as_it_is(&String::from_utf8_lossy(&script))
        }
        Command::Worker => Ok(crate::run::executor::worker::main()),
        Command::FindCuda => Ok(crate::run::executor::machine::gpus::probe::cuda_main()),
        Command::FindVulkan => Ok(crate::run::executor::machine::gpus::probe::vulkan_main()),
        Command::Agent { folder, token } => cluster::agent(&folder, &token),
        Command::Reaper { mark, folder, group } => Ok(crate::run::reaper_main(&mark, &folder, group.as_deref())),
    }
}

/// Prints the help of the program, of a command, or of the language.
fn help(topic: &[String]) -> Result<u8, Exit> {
    if topic.first().is_some_and(|first| first == "language") {
        return print_as_it_is(&crate::language::reference());
    }
    let mut program = Arguments::command();
    program.build();
    let mut command = &mut program;
    for name in topic {
        command = command.find_subcommand_mut(name).ok_or_else(|| {
            Exit::wrong(format!("error: there is no command `{name}`\n  help: `athanor --help` lists the commands"))
        })?;
    }
    let text = command.render_long_help().to_string();
    print_as_it_is(&text)
}

/// Whether a command reads so much that several threads do it.
fn needs_threads(command: &Command) -> bool {
    match command {
        Command::Run(_) | Command::Status { .. } | Command::Explain { .. } | Command::Check(_) | Command::Graph(_) => {
            true
        }
        Command::Logs(_) | Command::Cache(_) | Command::Shell(_) | Command::Agent { .. } => true,
        Command::Report(_) | Command::Watch(_) | Command::Runs(_) | Command::Metrics(_) | Command::Compare(_) => true,
        Command::Export(_) | Command::Top(_) => true,
        Command::Restore(_) => true,
        Command::Kinds { .. }
        | Command::Schema { .. }
        | Command::Config { .. }
        | Command::Devices(_)
        | Command::Help { .. }
        | Command::Init { .. } => false,
        // These make their own, or need none.
        Command::Bench(_) | Command::Completions { .. } | Command::Worker => false,
        Command::FindCuda | Command::FindVulkan | Command::Reaper { .. } => false,
    }
}

fn threads_of_machine() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Characters of a line where it is printed, if that is a terminal.
fn line_width() -> Option<usize> {
    let terminal = Term::stdout();
    terminal.is_term().then(|| usize::from(terminal.size().1))
}

/// Prints text for people to standard output.
fn print(text: &str) -> Result<u8, Exit> {
    print_as_it_is(&shown(text))
}

/// Text for people: without the secrets of addresses, and with everything else made visible.
fn shown(text: &str) -> String {
    escape_lines(&mask(text)).into_owned()
}

/// End of a command whose output could not be written; `None` if only its reader has gone away (`| head`).
fn lost_output(error: &std::io::Error) -> Option<Exit> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return None;
    }
    let help = "The output is not whole: write it where there is room, and ask again.";
    Some(Exit::failed(format!("Standard output cannot be written: {}. {help}", system_message(error))))
}

/// Message of the operating system, without its number and without what a library adds.
fn system_message(error: &std::io::Error) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut number = error.raw_os_error();
    while let Some(error) = cause.filter(|_| number.is_none()) {
        number = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        cause = error.source();
    }
    number.map_or_else(|| error.kind().to_string(), |number| nix::errno::Errno::from_raw(number).desc().to_owned())
}

/// Prints to standard output.
fn print_as_it_is(text: &str) -> Result<u8, Exit> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.err().and_then(|error| lost_output(&error)).map_or(Ok(UP_TO_DATE), Err)
}
