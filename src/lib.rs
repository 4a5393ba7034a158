//! Athanor: a declarative pipeline orchestrator for training image models.

pub mod language;
pub mod plan;
