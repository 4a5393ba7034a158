//! Runs: the only part of the program that changes anything outside of its own memory.
//!
//! A [`Session`] brings a project, a plan and the cache together. Its run has three steps: it hashes the project's files, has
//! the engine bring every instance up to date, and publishes results. The engine decides and touches nothing; `attempts` is
//! between it and the disk, `executor` carries out jobs, `inputs` makes recipes and fingerprints, and `state` outlives the run.

#[doc(hidden)]
pub mod access;
#[doc(hidden)]
pub mod attempts;
#[doc(hidden)]
pub mod container;
pub(crate) mod control;
#[doc(hidden)]
pub mod engine;
#[doc(hidden)]
pub mod environment;
#[doc(hidden)]
pub mod executor;
pub(crate) mod gc;
#[doc(hidden)]
pub mod inputs;
pub(crate) mod limited_command;
mod own_processes;
mod program;
pub(crate) mod program_search;
pub(crate) mod provenance;
mod publish;
#[doc(hidden)]
pub mod remote;
mod restore;
#[doc(hidden)]
pub mod session;
#[doc(hidden)]
pub mod state;
pub(crate) mod status;
pub(crate) mod suspects;
mod write_from_front;

pub(crate) use executor::cluster::{AgentHost, agent_main};
pub use executor::cluster::{QueueCommands, SlurmConfig};
pub use executor::resources::{Capacity, GpuDevice};
pub use program::PROGRAM;
pub(crate) use restore::{Destination, RestoreError, RestoreRequest, Restored, RunCommandLine};
pub(crate) use session::headline::headline;
pub use session::shell::ShellError;
pub use session::{
    Activity, ActivityProgress, InterruptOutcome, Interrupter, Made, Project, RunError, RunReport, RunRequest, Session,
    check_room, needed_by, scaled_down,
};
pub use state::plan_snapshot::{KeyedPlan, PlanKey};
pub use status::{Reason, Status};

pub(crate) use executor::local::{ATTEMPT_VARIABLE, reaper_main};
