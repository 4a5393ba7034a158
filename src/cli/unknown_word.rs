//! Commands and options of other tools on the command line, and those that take their place here.

use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Remedy for a command or option that there is not.
pub(super) fn remedy(error: &clap::Error) -> Option<String> {
    let word = |kind| match error.get(kind)? {
        ContextValue::String(word) => Some(word.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand => command(word(ContextKind::InvalidSubcommand)?),
        ErrorKind::UnknownArgument => option(word(ContextKind::InvalidArg)?).map(str::to_owned),
        _ => None,
    }
}

fn command(name: &str) -> Option<String> {
    let is_pipeline = Path::new(name).extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    if is_pipeline {
        return Some(format!("`athanor run {name}` runs the pipeline"));
    }
    Some(match name {
        "ls" | "gc" | "pin" | "unpin" | "verify" | "push" | "pull" | "fetch" => {
            let name = if name == "fetch" { "pull" } else { name };
            format!("`athanor cache {name}` is that")
        }
        "clean" | "prune" => {
            "`athanor cache gc` removes what nothing needs; `--force` of `run` makes stages again".to_owned()
        }
        "dag" | "list" | "ls-stages" | "rulegraph" => "`athanor graph FILE` shows the stages".to_owned(),
        "repro" | "exec" | "make" | "build" | "resume" | "exp" => {
            "`athanor run FILE` runs what is not up to date, and goes on where it was interrupted".to_owned()
        }
        "diff" | "params" => "`athanor compare FILE RUN OTHER` compares two runs".to_owned(),
        "log" => "`athanor logs FILE STAGE` shows what a stage printed, `athanor runs` the runs".to_owned(),
        "lint" | "validate" => "`athanor check FILE` does that".to_owned(),
        "unlock" => "nothing has to be unlocked: locks end with their process".to_owned(),
        "version" => "`athanor --version` says it".to_owned(),
        _ => return None,
    })
}

fn option(name: &str) -> Option<&'static str> {
    Some(match name.split('=').next()? {
        "--cores" | "--jobs" | "--threads" | "-c" => "`-j N` sets how many CPUs a run uses",
        "--config" | "--configfile" | "--params" | "--params-file" | "-S" => {
            "`--set NAME=VALUE` sets a variable, `--vars FILE` those of a file"
        }
        "--forceall" | "--forcerun" | "-f" | "-F" | "-R" => "`--force STAGE` makes a stage again",
        "--dryrun" => "`-n`, or `--dry-run`",
        "--rerun-incomplete" | "--resume" | "-resume" | "--ri" => "it is so without an option",
        _ => return None,
    })
}
