//! The kinds of stages of Athanor.
//!
//! A kind is a typed definition ([`kind::StageKind`]): its parameters, its input and output ports, and the work itself.
//! Validation, documentation and JSON Schema all come from that one definition. [`kinds`] has a module for each, listed
//! in [`registry`]; [`artifact`] has the types of their inputs and outputs. This crate knows no scheduler, no cache
//! layout and no YAML: a kind is handed paths and values, and writes the paths it is told to write.
//!
//! ```
//! use athanor_stages::registry;
//! use serde_json::json;
//!
//! let folds = registry::find("folds").unwrap();
//! assert_eq!(folds.check_params(&json!({ "classes": 3 })).unwrap(), json!({ "folds": 5, "classes": 3 }));
//! assert!(folds.check_params(&json!({ "folds": 1 })).is_err());
//! ```

// Burn's modules nest their generic types deeply.
#![recursion_limit = "256"]

pub mod artifact;
pub mod bench;
mod classification;
pub mod context;
pub mod error;
pub mod expression_tree;
mod image_sets;
pub mod items;
pub mod kind;
pub mod kinds;
pub mod learn;
pub mod params;
pub mod ports;
pub mod registry;
mod serde_messages;
pub mod similarity;
mod tables;
pub mod terms;
mod words;

pub use athanor_fetch::secrets;
pub use athanor_images as images;
pub use athanor_nn as nn;
