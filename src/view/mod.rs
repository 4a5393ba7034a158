//! Views: they show events and plans, and decide nothing.

pub(crate) mod columns;
pub(crate) mod devices;
pub(crate) mod graph;
pub(crate) mod json;
mod kind_schema;
pub(crate) mod kinds;
pub(crate) mod line_diff;
pub mod lines;
pub(crate) mod metrics;
pub(crate) mod plain;
pub(crate) mod stage_graph;
pub(crate) mod stage_layout;
pub(crate) mod status;
pub(crate) mod terminal;
pub(crate) mod text;
pub(crate) mod time_left;
pub(crate) mod top;
