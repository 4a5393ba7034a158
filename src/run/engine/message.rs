//! Messages to the dispatcher, from every thread of a run.

use crate::run::attempts::backend::BackendEvent;
use crate::run::executor::job::JobEvent;

/// Message to the dispatcher.
pub enum Message {
    /// Report or exit of a job.
    Job(JobEvent),
    /// Result that was stored or recorded, or could not be.
    Backend(BackendEvent),
    /// Request of the user to stop.
    Interrupt,
    /// Request of the user to go on after failures from now on.
    KeepGoing,
}
