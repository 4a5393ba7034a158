//! Access of commands: the files that a stage's process may read and write, and the words for those that it was refused.
//!
//! The kernel's rules can only allow, with everything below a path. So "everything but the project" is a list of what lies
//! beside the way from `/` to the project, computed once a run and again when one of those folders has changed.

mod absent;
pub mod config;
mod containers;
mod denied;
mod exemptions;
mod input_copy;
pub(crate) mod linked;
mod not_executable;
mod outside;
pub mod policy;
mod read_only;
