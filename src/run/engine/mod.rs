//! Engine of a run: the dispatcher, which alone holds the run's state, and the pure scheduler that it asks.

mod critical_path;
pub mod dispatcher;
mod in_flight;
mod list_schedule;
pub mod message;
mod ready_queue;
pub mod scheduler;
pub mod task;
pub mod time_limit;
