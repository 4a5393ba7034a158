//! Athanor: a declarative pipeline orchestrator for training image models.

pub mod bench;
pub mod cli;
pub mod escape;
pub mod events;
pub mod fatal_errors;
pub mod language;
pub mod plan;
pub mod run;
pub mod settings;
pub mod view;
