//! Attempts: the work of one instance, from its scratch folder to its recorded result.

pub mod annex;
pub mod attempt;
pub mod backend;
mod command_files;
pub(crate) mod command_state;
pub mod curves;
pub mod facts;
pub(crate) mod failure;
pub mod group_commit;
mod named_files;
mod own_outputs;
pub(crate) mod sandbox;
pub(crate) mod scratch_pool;
pub(crate) mod stage_variables;
