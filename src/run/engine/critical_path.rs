//! Critical paths: the priority of list scheduling where nothing better is known.

use crate::plan::InstanceId;

/// Expected time from the start of each task to the end of the longest chain of tasks behind it.
pub(super) fn critical_path(expected: &[f64], consumers: &[Vec<InstanceId>], order: &[InstanceId]) -> Vec<f64> {
    let mut rank = vec![0.0_f64; expected.len()];
    for id in order.iter().rev() {
        let behind = consumers[id.index()].iter().map(|consumer| rank[consumer.index()]).fold(0.0, f64::max);
        rank[id.index()] = behind + expected[id.index()].max(0.0);
    }
    rank
}
