//! The planner: from a pipeline's text to every instance of every stage, wired and checked, before anything runs.

mod command;
mod compile;
mod draft;
mod finish;
mod graph;
mod index;
pub mod kept;
mod matrix;
mod model;
mod params;
pub mod pieces;
mod results;
mod select;
mod shell;
mod vars;
mod wiring;

pub use compile::{Mistakes, Overrides, compile, compile_with};
pub use model::{
    CommandLine, Feed, Input, Instance, InstanceId, Plan, Resources, ResultEntry, Source, SourceId, StageInfo, Work,
};
pub use select::{Choice, SelectError, Selector};

#[cfg(test)]
mod tests;
