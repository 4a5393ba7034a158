//! The only place where things happen: fingerprints, the scheduler and its processes, the record of a run.

pub mod assess;
pub mod attempt;
pub mod collect;
mod crew;
mod disk_space;
pub mod dispatch;
pub mod executor;
mod failure;
pub mod flights;
pub mod history;
pub mod journal;
pub mod keep;
mod local;
pub mod machine;
mod places;
pub mod protocol;
pub mod recall;
pub mod recipe;
pub mod recorder;
pub mod resolve;
pub mod resources;
mod results;
pub mod schedule;
mod session;
mod shortage;
pub mod sources;
pub mod threads;
mod traces;
pub mod worker;
pub mod workshop;
pub mod workspace;

pub use attempt::PROGRAM;
pub use local::{ATTEMPT_VARIABLE, guardian_main};
pub use session::{Heard, Interrupter, Project, RunError, RunReport, RunRequest, Session, needed_by};
