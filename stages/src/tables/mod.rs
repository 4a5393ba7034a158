//! Kinds that make tables of tables: labels, folds, splits, corrections. One kind a file.

pub mod class_params;
pub mod folds;
pub mod leak_rows;
mod stratify;
