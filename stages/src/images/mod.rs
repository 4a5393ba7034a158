//! Kinds that make, measure and match images.

pub mod synthetic;
