//! State that outlives a run: its history, a summary of the last run, and the compiled plan.

mod chunked;
pub mod history;
pub mod journal;
pub mod last_run;
pub mod outputs;
pub mod plan_snapshot;
pub mod snapshot_file;
