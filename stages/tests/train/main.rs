//! Training and prediction: what is learned, what is reproducible, how killed training goes on, and what is refused.

#![recursion_limit = "256"]

mod bench;
mod devices;
mod errors;
mod learning;
mod memory;
mod metric;
mod predicting;
mod resuming;
