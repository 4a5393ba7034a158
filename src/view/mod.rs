//! What users see: views read events and plans, and decide nothing.

pub mod devices;
pub mod graph;
pub mod json;
pub mod kinds;
pub mod lines;
pub mod metrics;
pub mod plain;
pub mod status;
pub mod terminal;
pub mod text;
