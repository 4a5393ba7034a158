//! Containers that commands run in: their images, the command lines of the engines, and what is left of them.
//!
//! A container sees what a sandbox would let its stage read and write, at the same paths. Engines start outside of the sandbox,
//! and a container is known by its name alone: whoever ends the engine's process ends no container.

mod command_line;
pub mod image;
mod mounts;
mod name;
mod removal;
mod script;

pub use command_line::ContainerVariables;
pub(crate) use command_line::{ContainerRun, Purpose};
pub(crate) use mounts::{Mount, mounts};
pub(crate) use name::new_name;
pub(crate) use removal::{remove, remove_left_over};
pub(crate) use script::{QUESTION, interactive, words};
