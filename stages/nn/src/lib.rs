//! Neural networks on [Burn](https://burn.dev)'s tensors: layers, models, losses, the optimiser, weights in files,
//! devices.
//!
//! Parameters, layouts and statistics are PyTorch's to the letter, and the golden tests hold both against each other.
//! This crate knows no stage, no cache and no engine: everything in it is a function of tensors and files. A bad
//! weights file is an error before any model changes.
//!
//! ```
//! use athanor_nn::models::{Architecture, ClassifierConfig};
//! use burn::prelude::*;
//!
//! let device = Device::flex();
//! let classifier = ClassifierConfig::new(Architecture::Resnet18, 4, 28).init(&device);
//! let logits = classifier.forward(Tensor::zeros([2, 4, 32, 32], &device));
//! assert_eq!(logits.dims(), [2, 28]);
//! ```

// Burn's modules nest their generic types deeply.
#![recursion_limit = "256"]

mod convolution_check;
pub mod devices;
mod dropout;
mod error;
pub mod forward_context;
pub mod gathered;
pub mod golden;
mod kernels;
pub mod layers;
pub mod losses;
pub mod models;
pub mod optim;
pub mod panics;
pub mod transfer;
pub mod weights;

pub use error::{LabelledPath, WeightsError};
