//! `athanor shell`.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use crate::cli::arguments::{MachineUse, ShellCommand};
use crate::cli::{Exit, load, machine_use, project};
use crate::escape::{escape, escape_lines};
use crate::run::ShellError;
use crate::settings::Settings;
use crate::view::text::count;

/// Shell where `SHELL` names none.
const FALLBACK: &str = "/bin/sh";

/// Opens a shell in the folder of one instance; the exit code is the shell's.
pub(super) fn shell(settings: &Settings, command: &ShellCommand) -> Result<u8, Exit> {
    let plan = load::checked_plan(settings, &command.pipeline)?;
    let targets = load::select(&plan, [&command.selector])?;
    let [id] = targets[..] else { return Err(not_one(&command.selector, targets.len())) };
    let instance = &plan.instances[id.index()];
    let project = project::open(settings)?;
    project.cache.require_writable().map_err(|error| project::refused(&error))?;
    let session = load::session(&project, &plan, &command.pipeline, &targets)?;
    let use_ = MachineUse { cpus: None, memory: None, gpus: None };
    let capacity = machine_use::capacity(&use_, instance.resources.gpus.devices() > 0, settings.on_no_gpu.value)?;
    let stage = session.prepare_shell(id, &capacity).map_err(|error| match error {
        ShellError::Inputs { .. } => Exit::failed(format!(
            "{error}\n  help: `athanor run {}` makes all that is missing.",
            command.pipeline.shown().display()
        )),
        other => Exit::failed(other),
    })?;
    let mut text: String = stage.notices.iter().map(|notice| format!("note: {}\n", escape(notice))).collect();
    text += &format!("{}: {}\n", escape(&instance.name), escape(&stage.folder().display().to_string()));
    if let Some(line) = &stage.line {
        line.lines().for_each(|line| text += &format!("  | {}\n", escape_lines(line)));
    }
    // A terminal that is gone needs no introduction.
    let _ = write!(std::io::stderr(), "{text}");
    // Ctrl-C is for what runs in the shell; this process stays, to clean up.
    let _ = ctrlc::set_handler(|| ());
    let shell =
        std::env::var_os("SHELL").filter(|shell| !shell.is_empty()).map_or_else(|| FALLBACK.into(), PathBuf::from);
    let shell = if shell.is_file() { shell } else { FALLBACK.into() };
    let status = stage.run(&shell).map_err(Exit::failed)?;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    Ok(u8::try_from(code).unwrap_or(1))
}

fn not_one(selector: &str, selected: usize) -> Exit {
    let many = count(selected, "instance");
    Exit::wrong(format!(
        "error: `{selector}` selects {many}, and a shell is in the folder of one.\n  help: name its axes, as in `model[fold=0]`"
    ))
}
