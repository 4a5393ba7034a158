//! The only place where things happen: fingerprints, the scheduler and its processes, the record of a run.

pub mod assess;
pub mod attempt;
pub mod collect;
pub mod dispatch;
pub mod executor;
mod failure;
pub mod history;
pub mod journal;
mod local;
pub mod machine;
pub mod protocol;
pub mod recipe;
pub mod resolve;
pub mod resources;
mod results;
pub mod schedule;
mod session;
pub mod sources;
pub mod worker;
pub mod workshop;
pub mod workspace;

pub use local::guardian_main;
pub use session::{Heard, Interrupter, Project, RunError, RunReport, RunRequest, Session, needed_by};
