//! The only place where things happen: fingerprints, the scheduler and its processes, the record of a run.

pub mod attempts;
pub mod engine;
pub mod executor;
pub mod gc;
pub mod inputs;
mod program;
mod publish;
pub mod session;
pub mod state;
pub mod status;
pub mod suspects;

pub use executor::local::{ATTEMPT_VARIABLE, reaper_main};
pub use program::PROGRAM;
pub use session::{InterruptOutcome, Interrupter, Project, RunError, RunReport, RunRequest, Session, needed_by};
