//! Athanor: a declarative pipeline orchestrator for training image models.
