//! The only place where things happen: fingerprints, the scheduler and its processes, the record of a run.

pub mod assess;
pub mod attempt;
pub mod collect;
mod crew;
pub mod dispatch;
pub mod executor;
mod failure;
pub mod flights;
pub mod history;
mod input_guard;
pub mod journal;
pub mod keep;
mod local;
pub mod machine;
mod passes;
mod places;
pub mod protocol;
mod publish;
mod readers;
pub mod recall;
pub mod recipe;
pub mod recorder;
pub mod resolve;
pub mod resources;
pub mod schedule;
mod session;
pub mod sources;
pub mod suspects;
mod traces;
pub mod worker;
pub mod workshop;
pub mod workspace;

pub use attempt::PROGRAM;
pub use local::guardian_main;
pub use session::{Heard, Interrupter, Project, RunError, RunReport, RunRequest, Session, needed_by};
