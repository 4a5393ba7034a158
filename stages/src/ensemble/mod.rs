//! Kinds that turn many predictions into one submission. One kind a file.

pub mod average_duplicates;
pub mod classification_report;
pub mod combine;
mod soft_f1;
pub mod submission;
pub mod threshold_params;
pub mod thresholds;
