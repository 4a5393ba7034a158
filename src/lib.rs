//! Athanor: a declarative pipeline orchestrator for training image models.

pub mod bench;
pub mod cli;
pub mod events;
pub mod language;
pub mod plan;
pub mod run;
pub mod view;
pub mod visible;
