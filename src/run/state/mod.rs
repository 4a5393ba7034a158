//! State that outlives a run: its history, the last run's outcome, and the compiled plan.

mod chunked;
pub mod history;
pub mod journal;
pub mod last_run;
pub mod plan_snapshot;
pub mod snapshot_file;
