//! Reports of pipelines and their runs: one page that stands alone, a summary in Markdown, and lists for a terminal.
//!
//! They are gathered from the plan, the records with their annexes, and the logs and summaries of runs. Nothing here runs a stage or
//! changes anything. All names, logs and values are somebody else's text: they are made visible here, and the page takes them as
//! text alone.

pub(crate) mod comparison;
mod curves;
mod data;
mod earlier_plan;
mod figures;
mod gather;
pub(crate) mod junit;
pub(crate) mod live;
pub(crate) mod markdown;
pub(crate) mod metric_table;
pub(crate) mod mlflow;
pub(crate) mod page;
mod parameters;
mod results;
pub(crate) mod run_list;
pub(crate) mod sparkline;
pub(crate) mod sweep;
pub(crate) mod tensorboard;
mod timeline;

pub(crate) use gather::{ReportRequest, gather, outcome_name};
pub(crate) use results::{KnownResults, RunChoice, choose_run, results_now};
