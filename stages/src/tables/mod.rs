//! Helpers of the kinds that make tables of tables.

pub(crate) mod class_count;
pub(crate) mod stratify;
