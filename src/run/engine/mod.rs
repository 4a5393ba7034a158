//! The engine of a run: it decides what is done next and holds the run's state.

pub mod dispatcher;
pub mod in_flight;
mod list_schedule;
mod ready_queue;
pub mod scheduler;
