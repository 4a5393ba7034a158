//! Tasks of the scheduler.

use crate::plan::{InstanceId, Resources};

/// Instance as the scheduler sees it.
#[derive(Debug, Clone)]
pub struct Task {
    /// Instances it reads from.
    pub producers: Vec<InstanceId>,
    /// Resources it takes while it runs.
    pub resources: Resources,
    /// Whether this run is to bring it up to date.
    pub wanted: bool,
}
