//! The planner: compiles a pipeline's text into a [`Plan`] of every instance of every stage, checked before anything runs.
//!
//! A plan is a pure function of the text, the overrides and the registry of kinds: nothing here touches a disk.

mod access;
mod cluster;
mod command;
mod compile;
mod container;
pub(crate) mod context;
mod draft;
mod evaluate;
mod graph;
mod include;
mod index;
mod input_names;
pub(crate) mod kind_name;
mod lower;
mod matrix;
mod mentions;
mod model;
mod other_syntax;
mod outputs;
mod params;
mod plain_path;
mod prune;
mod python;
mod reads;
pub(crate) mod result_names;
mod results;
mod select;
mod set;
mod shell;
mod shell_scan;
mod shown_values;
mod surroundings;
mod vars;
mod wiring;

pub(crate) use compile::source_texts;
pub use compile::{Mistakes, Overrides, compile, compile_in, compile_with};
pub(crate) use graph::graph;
pub(crate) use mentions::modules as python_modules;
pub use model::{
    AxisLabel, ClusterOptions, CommandLine, Container, DeclaredRead, EnvVariable, Input, InputSource, Instance,
    InstanceId, Plan, Resources, ResultEntry, ResultSource, Source, SourceId, StageAccess, StageInfo, Work,
};
pub use select::{Choice, SelectError, Selector};
pub use surroundings::{SurroundingNames, Surroundings};

#[cfg(test)]
mod tests;
