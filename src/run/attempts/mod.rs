//! Attempts: the work of one instance, from its scratch folder to its recorded result.

pub mod attempt;
pub mod backend;
pub mod failure;
pub mod group_commit;
pub mod sandbox;
pub mod scratch_pool;
