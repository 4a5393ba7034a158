//! Athanor: a declarative pipeline orchestrator for training image models.

pub mod bench;
pub mod cli;
pub mod events;
pub mod guide;
pub mod language;
pub mod last_words;
pub mod plan;
pub mod run;
pub mod settings;
pub mod view;
pub mod visible;
