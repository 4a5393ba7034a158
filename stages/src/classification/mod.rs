//! Helpers of the kinds that turn probabilities into classes.

pub(crate) mod shown_rows;
pub(crate) mod soft_f1;
pub(crate) mod threshold_params;
