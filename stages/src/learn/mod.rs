//! Learning: networks, their weights, what they are trained to make small, and how their parameters move.
//!
//! Everything here is a function of tensors and files; it knows no stage kind, no cache and no engine. Tensors are
//! [Burn](https://burn.dev)'s; parameters, layouts and statistics are PyTorch's to the letter, and the golden tests hold
//! both against each other.

pub mod bench;
pub mod data;
pub mod devices;
pub mod dropout;
pub mod embed;
mod heap;
pub mod infer;
pub mod initial_weights;
mod kernels;
pub mod layers;
pub mod losses;
pub mod models;
pub mod optim;
pub mod pass;
pub mod predict;
pub mod preparation;
pub mod train;
pub mod train_classifier;
pub mod train_metric;
pub mod weights;
