//! The stage kinds of Athanor: what a stage can be.
//!
//! A kind is a typed definition ([`kind::StageKind`]): its parameters, its input and output ports, and the work itself.
//! Validation, documentation and JSON Schema all come from that one definition. This crate knows no scheduler, no cache
//! layout and no YAML: a kind is handed paths and values, and writes the paths it is told to write.

// Burn's modules nest their generic types deeply.
#![recursion_limit = "256"]

pub mod artifact;
pub mod bench;
mod classification;
pub mod context;
pub mod error;
mod image_sets;
pub mod items;
pub mod kind;
pub mod kinds;
pub mod learn;
pub mod params;
pub mod ports;
pub mod registry;
pub mod similarity;
mod tables;
mod serde_messages;

pub use athanor_fetch::secrets;
pub use athanor_images as images;
pub use athanor_nn as nn;
