//! Whereabouts of instances on a cluster, while a run goes on.

use std::collections::HashMap;

use serde::Serialize;

use crate::events::{RunEvent, Stamped};

use super::{RunError, Session};

/// Place of an instance that a run is making on a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Whereabouts {
    /// It waits in the queue.
    Queued {
        /// Number of its job.
        job: String,
        /// Reason why it waits, in the words of the queue.
        reason: Option<String>,
    },
    /// It runs.
    Running {
        /// Number of the job that it is part of.
        job: String,
        /// Name of the node.
        node: String,
    },
}

impl Session<'_> {
    /// Whereabouts of the instances that the last run has on a cluster, if it goes on or was killed.
    pub fn whereabouts(&self) -> Result<HashMap<String, Whereabouts>, RunError> {
        Ok(match self.history.last_run()? {
            Some(run) => of_events(self.history.events(&run)?),
            None => HashMap::new(),
        })
    }
}

fn of_events(events: Vec<Stamped>) -> HashMap<String, Whereabouts> {
    let mut found = HashMap::new();
    for Stamped { event, .. } in events {
        match event {
            RunEvent::Queued { instance, job, reason } => {
                found.insert(instance, Whereabouts::Queued { job, reason });
            }
            RunEvent::Placed { instance, job, node } => {
                found.insert(instance, Whereabouts::Running { job, node });
            }
            RunEvent::RunFinished { .. } => found.clear(),
            RunEvent::Storing { instance }
            | RunEvent::Evicted { instance, .. }
            | RunEvent::Resuming { instance, .. }
            | RunEvent::Failed { instance, .. }
            | RunEvent::Deferred { instance, .. }
            | RunEvent::Interrupted { instance } => {
                found.remove(&instance);
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_event_says_where_an_instance_is() {
        let (instance, job) = ("a".to_owned(), "12".to_owned());
        let queued =
            RunEvent::Queued { instance: instance.clone(), job: job.clone(), reason: Some("Priority".to_owned()) };
        let placed = RunEvent::Placed { instance: instance.clone(), job: job.clone(), node: "n1".to_owned() };
        let storing = RunEvent::Storing { instance: instance.clone() };
        let after = |events: &[&RunEvent]| {
            let stamped = |event: &&RunEvent| Stamped { time: jiff::Timestamp::UNIX_EPOCH, event: (*event).clone() };
            of_events(events.iter().map(stamped).collect()).remove(&instance)
        };
        let reason = Some("Priority".to_owned());
        assert_eq!(after(&[&queued]), Some(Whereabouts::Queued { job: job.clone(), reason }));
        assert_eq!(after(&[&queued, &placed]), Some(Whereabouts::Running { job, node: "n1".to_owned() }));
        assert_eq!(after(&[&queued, &placed, &storing]), None);
    }
}
