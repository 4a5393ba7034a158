//! Configuration of the sandbox: the settings, and where the user's programs keep their own files.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::language::SandboxMode;

/// Configuration of the sandbox of a run.
#[derive(Debug, Clone, Default)]
pub struct SandboxConfig {
    /// Whether commands run in a sandbox, unless they say otherwise.
    pub mode: SandboxMode,
    /// Paths that every command may read besides, absolute or relative to the project folder.
    pub reads: Vec<PathBuf>,
    /// Paths that every command may write to besides, absolute or relative to the project folder.
    pub writes: Vec<PathBuf>,
    /// Folders of the user.
    pub folders: UserFolders,
}

/// Folders that programs use on behalf of a user, existing or not.
#[derive(Debug, Clone, Default)]
pub struct UserFolders {
    /// The home folder.
    pub home: Option<PathBuf>,
    /// Folders of programs, in the order of `PATH`.
    pub programs: Vec<PathBuf>,
    /// The folder of caches, which is made if it is not there.
    pub caches: Option<PathBuf>,
    /// Further folders for temporary files, caches and states.
    pub writable: Vec<PathBuf>,
}

/// Folders for temporary files and devices of every system.
const SYSTEM: [&str; 4] = ["/dev", "/proc", "/tmp", "/var/tmp"];
/// Variables that name a folder for temporary files, caches or states.
const VARIABLES: [&str; 6] =
    ["TMPDIR", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "MPLCONFIGDIR", "TRITON_CACHE_DIR", "CUDA_CACHE_PATH"];
/// Folders of the same sort in the home folder.
const IN_HOME: [&str; 4] = [".local/state", ".nv", ".triton", ".config/matplotlib"];
/// Variables that name an environment, whose programs are in its `bin`.
const ENVIRONMENTS: [&str; 2] = ["VIRTUAL_ENV", "CONDA_PREFIX"];

impl UserFolders {
    /// The folders that the variables of a process name.
    pub(crate) fn of(variable: &dyn Fn(&str) -> Option<OsString>) -> UserFolders {
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let path = variable("PATH").unwrap_or_default();
        let programs = std::env::split_paths(&path).filter(|folder| folder.is_absolute());
        let environments = ENVIRONMENTS.iter().filter_map(|name| absolute(name)).map(|folder| folder.join("bin"));
        let caches = absolute("XDG_CACHE_HOME").or_else(|| home.as_ref().map(|home| home.join(".cache")));
        let system = SYSTEM.iter().map(PathBuf::from);
        let named = VARIABLES.iter().filter_map(|name| absolute(name));
        let in_home = home.iter().flat_map(|home| IN_HOME.map(|name| home.join(name)));
        UserFolders {
            programs: programs.chain(environments).collect(),
            caches,
            writable: system.chain(named).chain(in_home).collect(),
            home,
        }
    }

    /// Folders that programs which compute on GPUs make in the home folder.
    pub(crate) fn of_gpus(&self) -> impl Iterator<Item = PathBuf> {
        self.home.iter().flat_map(|home| [".nv", ".triton"].map(|name| home.join(name)))
    }
}
