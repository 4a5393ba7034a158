//! What users see: views read events and plans, and decide nothing.

pub mod devices;
pub mod figures;
pub mod graph;
pub mod json;
pub mod kinds;
pub mod lines;
pub mod plain;
pub mod standing;
pub mod terminal;
pub mod text;
