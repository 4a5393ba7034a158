//! State that outlives a run: its history, a summary of the last run, and the compiled plan.

mod chunked;
pub mod history;
pub mod journal;
pub(crate) mod last_run;
pub mod outputs;
pub mod plan_snapshot;
pub(crate) mod snapshot_file;
