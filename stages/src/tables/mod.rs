//! Kinds that make tables of tables: labels, folds, splits, corrections. One kind a file.

pub mod antibody_split;
pub mod class_params;
pub mod clean_split;
pub mod corrected_targets;
pub mod fold_split;
pub mod folds;
pub mod label_table;
pub mod leak_rows;
pub mod rows;
mod stratify;
pub mod synthetic_predictions;
pub mod synthetic_tables;
