//! Guides to the code: the way of a run, and how to add a kind.
//!
//! `ARCHITECTURE.md` is the map of the rooms, `docs/glossary.md` the vocabulary, and `CONTRIBUTING.md` says how to build and test.

#[doc = include_str!("../docs/guide/run.md")]
pub mod run {}

#[doc = include_str!("../docs/guide/kinds.md")]
pub mod kinds {}
