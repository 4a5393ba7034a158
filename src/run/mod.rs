//! The only place where things happen: fingerprints, the scheduler and its processes, the record of a run.

pub mod assess;
mod attempt;
pub mod collect;
mod crew;
mod dispatch;
pub mod executor;
mod failure;
mod flights;
pub mod history;
mod journal;
pub mod keep;
mod local;
pub mod machine;
mod places;
pub mod protocol;
mod recall;
pub mod recipe;
mod recorder;
pub mod resolve;
pub mod resources;
mod results;
pub mod schedule;
mod session;
pub mod sources;
pub mod worker;
mod workspace;

pub use attempt::PROGRAM;
pub use local::guardian_main;
pub use session::{Heard, Interrupter, Project, RunError, RunReport, RunRequest, Session};
