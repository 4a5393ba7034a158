//! Kinds that make tables of tables: labels, folds, splits, corrections. One kind a file.

pub mod folds;
mod stratify;
