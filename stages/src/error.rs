//! Failures of stages: the problem, its place, and advice for the user.

use std::path::{Path, PathBuf};

use athanor_nn::WeightsError;
use athanor_nn::devices::StartError;
use athanor_random::SeedTooLarge;

/// Advice where a GPU cannot be used.
pub const CPU_INSTEAD: &str = "`on_no_gpu: cpu` in the settings (or ATHANOR_ON_NO_GPU=cpu) lets such stages compute on the CPU; `athanor devices` says what is missing.";

/// The failure of one stage.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// An input file holds something the stage cannot work with.
    #[error("{file}{}: {message}", row.map(|row| format!(", row {row}")).unwrap_or_default())]
    Input {
        /// The file as the user knows it: a path, or the stage output it came from.
        file: String,
        /// 1-based line of the file (for a table, the header is line 1) or row of a matrix (1-based).
        row: Option<u64>,
        /// The problem.
        message: String,
        /// Advice for the user.
        help: Option<String>,
    },
    /// The parts of the input are each valid, but do not fit together.
    #[error("{message}")]
    Mismatch {
        /// The problem.
        message: String,
        /// Advice for the user.
        help: Option<String>,
    },
    /// The operating system refused to read or write a file.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The refusal.
        source: std::io::Error,
    },
    /// The cache refused to read or write.
    #[error(transparent)]
    Cache(#[from] athanor_cache::CacheError),
    /// A device had too little memory.
    #[error("{message}")]
    DeviceMemory {
        /// The problem.
        message: String,
        /// Advice for the user.
        help: String,
        /// Whether the stage has reduced its need of memory, so that another attempt may succeed.
        retry: bool,
    },
    /// The stage was given GPUs that this program cannot use.
    #[error("it was given a GPU that this program cannot use: {reason}")]
    Gpu {
        /// Why not.
        reason: String,
    },
    /// The stage was asked to stop and did.
    #[error("the stage was asked to stop")]
    Interrupted,
}

impl StageError {
    /// An error in `file` at `row`.
    pub fn at_row(file: impl Into<String>, row: u64, message: impl Into<String>) -> Self {
        StageError::Input { file: file.into(), row: Some(row), message: message.into(), help: None }
    }

    /// An error in `file` as a whole.
    pub fn in_file(file: impl Into<String>, message: impl Into<String>) -> Self {
        StageError::Input { file: file.into(), row: None, message: message.into(), help: None }
    }

    /// A refusal of the operating system to read `file`, which is the user's.
    pub fn unreadable(file: impl Into<String>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        let file = file.into();
        match error.kind() {
            Kind::UnexpectedEof => {
                StageError::in_file(file, "ends early").with_help("It was cut short; make it again.")
            }
            Kind::PermissionDenied => {
                let help = format!("Make it readable: `chmod u+r {file}`; and its folders `chmod u+rx`.");
                StageError::in_file(file, "may not be read by this user").with_help(help)
            }
            _ => StageError::in_file(file, format!("cannot be read: {error}")),
        }
    }

    /// An error of inputs that contradict one another.
    pub fn mismatch(message: impl Into<String>) -> Self {
        StageError::Mismatch { message: message.into(), help: None }
    }

    /// An operating-system error on `path`; to be used with `map_err`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> StageError + '_ {
        move |source| StageError::Io { path: path.to_owned(), source }
    }

    /// Adds advice for the user.
    #[must_use]
    pub fn with_help(mut self, text: impl Into<String>) -> Self {
        match &mut self {
            StageError::Input { help, .. } | StageError::Mismatch { help, .. } => *help = Some(text.into()),
            StageError::DeviceMemory { help, .. } => *help = text.into(),
            StageError::Io { .. } | StageError::Cache(_) | StageError::Gpu { .. } | StageError::Interrupted => {}
        }
        self
    }

    /// Whether another attempt, at once and in another process, may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, StageError::DeviceMemory { retry: true, .. })
    }

    /// Advice for the user, where there is any beyond the message.
    pub fn help(&self) -> Option<&str> {
        match self {
            StageError::Input { help, .. } | StageError::Mismatch { help, .. } => help.as_deref(),
            StageError::DeviceMemory { help, .. } => Some(help),
            StageError::Io { source, .. } if is_full(source) => {
                Some("Free some space, then run again: what is finished is kept.")
            }
            StageError::Gpu { .. } => Some(CPU_INSTEAD),
            StageError::Io { .. } | StageError::Cache(_) | StageError::Interrupted => None,
        }
    }
}

impl From<WeightsError> for StageError {
    fn from(error: WeightsError) -> Self {
        match error {
            WeightsError::Content { file, message, help } => StageError::Input { file, row: None, message, help },
            WeightsError::Io { path, source } => StageError::Io { path, source },
        }
    }
}

impl From<StartError> for StageError {
    fn from(error: StartError) -> Self {
        StageError::mismatch(error.to_string())
    }
}

impl From<SeedTooLarge> for StageError {
    fn from(error: SeedTooLarge) -> Self {
        StageError::mismatch(error.to_string()).with_help("Choose a `seed` from 0 to 4294967295.")
    }
}

fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}
