//! Variables of a stage's process.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::language::{Language, Shell};
use crate::plan::context::{CONTEXT_VARIABLE, STAGE_VARIABLE};
use crate::plan::{CommandLine, EnvVariable, Instance, Work};
use crate::run::attempts::sandbox::{SCRIPT, Sandbox};
use crate::run::container::ContainerVariables;
use crate::run::container::image::Image;
use crate::run::environment::{EnvironmentVariable, Variables};
use crate::run::executor::job::{JobContainer, Script};
use crate::run::executor::machine::gpus;
use crate::run::executor::protocol::STATE_VARIABLE;
use crate::run::executor::resources::Allocation;

/// Variable with the folders in which Python looks for modules.
const PYTHONPATH: &str = "PYTHONPATH";
/// Variable of the folder for temporary files.
const TMPDIR: &str = "TMPDIR";
/// Variable with the beginning of the paths at which zsh puts here-documents, wherever other temporary files are.
const TMPPREFIX: &str = "TMPPREFIX";
/// Variable of the folder of the user's own files.
const HOME: &str = "HOME";

/// Variables of an attempt.
pub(crate) struct StageVariables {
    /// All variables of a command, or of the engine of its container; for a worker, those to add to this process's.
    pub environment: Vec<EnvironmentVariable>,
    /// Values among them that are secrets.
    pub secrets: Vec<String>,
    /// Variables in the container of a command.
    pub inside: ContainerVariables,
}

/// Variables of an attempt of `instance` in `sandbox`.
pub(crate) fn environment(
    sandbox: &Sandbox,
    state: Option<&Path>,
    project: &Path,
    instance: &Instance,
    allocation: &Allocation,
    variables: &Variables,
) -> StageVariables {
    let temporary = sandbox.folder().join(sandbox.temporary());
    let mut own: Vec<EnvironmentVariable> = vec![
        ("ATHANOR_PROJECT".into(), project.into()),
        (STAGE_VARIABLE.into(), instance.name.clone().into()),
        ("ATHANOR_SEED".into(), instance.seed.to_string().into()),
        (TMPDIR.into(), temporary.clone().into()),
    ];
    own.extend(gpus::environment(&allocation.gpus).into_iter().map(|(name, value)| (name.into(), value.into())));
    let pools = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"];
    own.extend(pools.map(|pool| (pool.into(), allocation.cpus.to_string().into())));
    let Work::Command(command) = &instance.work else {
        return StageVariables { environment: own, secrets: Vec::new(), inside: ContainerVariables::default() };
    };
    own.push((CONTEXT_VARIABLE.into(), sandbox.context().into()));
    if command.shell == Shell::Zsh {
        own.push((TMPPREFIX.into(), temporary.join("zsh").into()));
    }
    let is_contained = command.container.is_some();
    let given = if is_contained { Vec::new() } else { variables.of_command(&command.env_passthrough) };
    if command.shell.language() == Language::Python {
        own.extend(python_path(sandbox.folder(), &given).map(|path| (PYTHONPATH.into(), path)));
    }
    own.extend(state.map(|folder| (STATE_VARIABLE.into(), folder.into())));
    // The stage's own come last, and so hold.
    let of_stage = command.env.iter().map(|EnvVariable { name, value, .. }| (name.into(), value.into()));
    let secrets = variables.secrets(&command.env_passthrough);
    if is_contained {
        // The caller may be nobody in the image, who has no home there.
        own.push((HOME.into(), temporary.into()));
        own.extend(of_stage);
        let inside = ContainerVariables { set: own, passed: variables.of_container(&command.env_passthrough) };
        return StageVariables { environment: variables.all(), secrets, inside };
    }
    // That of a stage of another run, which this run is part of, is none of this command's.
    let given = given.into_iter().filter(|(name, _)| name != STATE_VARIABLE);
    let environment = given.chain(own).chain(of_stage).collect();
    StageVariables { environment, secrets, inside: ContainerVariables::default() }
}

/// An image, and how the engine that runs it finds it.
#[derive(Clone, Copy)]
pub(crate) struct FoundImage<'i> {
    pub(crate) image: &'i Image,
    pub(crate) reference: &'i str,
}

/// Script of `command`; in a container of an image with the variables `inside`.
pub(crate) fn script_of(command: &CommandLine, image: Option<FoundImage<'_>>, inside: ContainerVariables) -> Script {
    let container = image.map(|FoundImage { image, reference }| {
        Box::new(JobContainer { image: image.clone(), reference: reference.to_owned(), variables: inside })
    });
    Script { shell: command.shell.clone(), path: SCRIPT, text: command.line.clone(), container }
}

/// Folders in which a Python script that has no file in the project finds modules of it: the stage's own, where they are placed,
/// before those that `given` names.
fn python_path(folder: &Path, given: &[EnvironmentVariable]) -> Option<OsString> {
    let before = given.iter().rev().find(|(name, _)| name == PYTHONPATH).map(|(_, value)| value.as_os_str());
    let before = before.filter(|value| !value.is_empty()).into_iter().flat_map(std::env::split_paths);
    // A list cannot hold a path with a colon. Python begins in the folder, and makes the paths absolute when it starts.
    let folder = if folder.as_os_str().as_bytes().contains(&b':') { Path::new(".") } else { folder };
    std::env::join_paths([folder.to_owned(), folder.join("src")].into_iter().chain(before)).ok()
}
