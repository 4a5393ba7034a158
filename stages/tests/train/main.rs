//! Training and prediction: what is learned, what is reproducible, how killed training continues, and what is refused.

#![recursion_limit = "256"]

mod devices;
mod errors;
mod fixture;
mod learning;
mod memory;
mod metric;
mod predicting;
mod resuming;
