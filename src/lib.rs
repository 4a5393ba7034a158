//! Athanor: a declarative pipeline orchestrator for training image models.
//!
//! This crate turns a pipeline file into a [`plan`], compares the plan with the cache, and [runs](run) what is missing; the
//! rest is the command line ([`cli`]) around that. Stages themselves are in `athanor-stages`, stored results in
//! `athanor-cache`: this crate knows no pixel, no network and no layout of the cache on disk.
//!
//! ```
//! use athanor::language::SourceText;
//! use athanor::plan::{Overrides, compile};
//!
//! let text = "
//! athanor: 1
//! name: hello
//! vars: { name: world }
//! stages:
//!   greet:
//!     kind: command
//!     matrix: { greeting: [hello, goodbye] }
//!     run: echo ${{ matrix.greeting }} ${{ vars.name }} > ${{ outputs.text }}
//!     outputs: { text: greeting.txt }
//! ";
//! let source = SourceText { name: "hello.yaml".to_owned(), text: text.to_owned() };
//! let plan = compile(&source, &Overrides::default()).map_err(|mistakes| mistakes.diagnostics)?;
//!
//! let names: Vec<&str> = plan.instances.iter().map(|instance| instance.name.as_str()).collect();
//! assert_eq!(names, ["greet[greeting=hello]", "greet[greeting=goodbye]"]);
//! # Ok::<(), athanor::language::Diagnostics>(())
//! ```
//!
//! [`guide`] has the way of a run and how to add a kind.
//!
//! Modules that are hidden from this documentation are open to tests and fuzz targets alone.

mod bench;
pub mod cli;
#[doc(hidden)]
pub mod escape;
pub mod events;
#[doc(hidden)]
pub mod fatal_errors;
#[doc(hidden)]
pub mod gpu;
pub mod guide;
mod heap;
pub mod language;
mod metric_names;
pub mod plan;
mod report;
pub mod run;
mod settings;
mod signals;
#[doc(hidden)]
pub mod view;
