//! Variables of a stage's process.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::language::Language;
use crate::plan::context::CONTEXT_VARIABLE;
use crate::plan::{EnvVariable, Instance, Work};
use crate::run::attempts::sandbox::Sandbox;
use crate::run::environment::Variables;
use crate::run::executor::machine::gpus;
use crate::run::executor::protocol::STATE_VARIABLE;
use crate::run::executor::resources::Allocation;

/// Variable with the folders in which Python looks for modules.
const PYTHONPATH: &str = "PYTHONPATH";

/// Variables of an attempt of `instance` in `sandbox`, and values among them that are secrets: all variables of a command; for a
/// worker, those to add to this process's.
pub(crate) fn environment(
    sandbox: &Sandbox,
    state: Option<&Path>,
    project: &Path,
    instance: &Instance,
    allocation: &Allocation,
    variables: &Variables,
) -> (Vec<(OsString, OsString)>, Vec<String>) {
    let temporary = sandbox.folder().join(sandbox.temporary());
    let mut environment: Vec<(OsString, OsString)> = vec![
        ("ATHANOR_PROJECT".into(), project.into()),
        ("ATHANOR_STAGE".into(), instance.name.clone().into()),
        ("ATHANOR_SEED".into(), instance.seed.to_string().into()),
        ("TMPDIR".into(), temporary.into()),
    ];
    environment.extend(gpus::environment(&allocation.gpus).map(|(name, value)| (name.into(), value.into())));
    let pools = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"];
    environment.extend(pools.map(|pool| (pool.into(), allocation.cpus.to_string().into())));
    let Work::Command(command) = &instance.work else { return (environment, Vec::new()) };
    environment.push((CONTEXT_VARIABLE.into(), sandbox.context().into()));
    let mut all = variables.of_command(&command.env_passthrough);
    if command.shell.language() == Language::Python {
        environment.extend(python_path(sandbox.folder(), &all).map(|path| (PYTHONPATH.into(), path)));
    }
    // That of a stage of another run, which this run is part of, is none of this command's.
    all.retain(|(name, _)| name != STATE_VARIABLE);
    environment.extend(state.map(|folder| (STATE_VARIABLE.into(), folder.into())));
    all.append(&mut environment);
    // The stage's own come last, and so hold.
    all.extend(command.env.iter().map(|EnvVariable { name, value, .. }| (name.into(), value.into())));
    (all, variables.secrets(&command.env_passthrough))
}

/// Folders in which a Python script that has no file in the project finds modules of it: the stage's own, where they are placed,
/// before those that `given` names.
fn python_path(folder: &Path, given: &[(OsString, OsString)]) -> Option<OsString> {
    let before = given.iter().rev().find(|(name, _)| name == PYTHONPATH).map(|(_, value)| value.as_os_str());
    let before = before.filter(|value| !value.is_empty()).into_iter().flat_map(std::env::split_paths);
    // A list cannot hold a path with a colon. Python begins in the folder, and makes the paths absolute when it starts.
    let folder = if folder.as_os_str().as_bytes().contains(&b':') { Path::new(".") } else { folder };
    std::env::join_paths([folder.to_owned(), folder.join("src")].into_iter().chain(before)).ok()
}
