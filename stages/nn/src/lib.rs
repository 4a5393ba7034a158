//! Neural networks on [Burn](https://burn.dev)'s tensors.
//!
//! This crate knows no stage, no cache and no engine: everything in it is a function of tensors and files.

// Burn's modules nest their generic types deeply.
#![recursion_limit = "256"]

pub mod devices;
mod dropout;
mod error;
pub mod forward_context;
mod kernels;
pub mod layers;
pub mod losses;
pub mod models;
pub mod optim;
pub mod panics;
pub mod weights;

pub use error::{LabelledPath, WeightsError};
