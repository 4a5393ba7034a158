//! Helpers of the kinds that make tables of tables.

pub(crate) mod class_count;
pub(crate) mod column_type;
pub(crate) mod columns;
pub(crate) mod expression_check;
pub(crate) mod expression_names;
pub(crate) mod label_source;
pub(crate) mod row_expression;
pub(crate) mod stratify;
