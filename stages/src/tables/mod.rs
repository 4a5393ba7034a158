//! Helpers of the kinds that make tables of tables.

pub(crate) mod class_params;
pub(crate) mod stratify;
