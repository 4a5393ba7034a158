//! Ready queues: instances that wait for resources, and the free resources. Knows nothing of the states of instances.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::plan::{InstanceId, Resources};
use crate::run::executor::resources::{Allocation, Capacity, Pool, SHARES};

use super::task::Task;

/// Queued instances by what they take, and what is free.
#[derive(Clone)]
pub(super) struct ReadyQueues {
    /// Urgency of each instance: larger numbers come first.
    urgency: Vec<f64>,
    /// Queue of each instance, as an index into `queues`.
    class: Vec<usize>,
    queues: Vec<Queue>,
    pool: Pool,
}

/// Queue of instances that take the same, most urgent first: either the first of them fits now, or none of them does.
#[derive(Clone)]
struct Queue {
    resources: Resources,
    shares: [f64; SHARES],
    waiting: BTreeSet<QueueKey>,
    /// Whether its first instance did not fit, and nothing has been given back since.
    blocked: bool,
}

/// Sort key of instances: most urgent first, then by number.
type QueueKey = (Reverse<u64>, InstanceId);

impl ReadyQueues {
    /// Empty queues, with everything in `capacity` free and equal urgencies.
    pub(super) fn new(tasks: &[Task], capacity: &Capacity) -> ReadyQueues {
        let mut known: HashMap<&Resources, usize> = HashMap::new();
        let mut queues = Vec::new();
        let class = tasks.iter().map(|task| {
            *known.entry(&task.resources).or_insert_with(|| {
                let shares = capacity.shares(&task.resources);
                let (resources, waiting) = (task.resources.clone(), BTreeSet::new());
                queues.push(Queue { resources, shares, waiting, blocked: false });
                queues.len() - 1
            })
        });
        ReadyQueues { class: class.collect(), urgency: vec![0.0; tasks.len()], queues, pool: Pool::new(capacity) }
    }

    /// Sets the urgency of each instance, at least zero; those that wait are sorted again.
    pub(super) fn set_urgency(&mut self, urgency: Vec<f64>) {
        let waiting: Vec<InstanceId> = self.waiting().collect();
        self.queues.iter_mut().for_each(|queue| queue.waiting.clear());
        self.urgency = urgency;
        waiting.into_iter().for_each(|id| self.insert(id));
    }

    fn waiting(&self) -> impl Iterator<Item = InstanceId> {
        self.queues.iter().flat_map(|queue| queue.waiting.iter().map(|key| key.1))
    }

    /// Number of queues: one for each choice of resources.
    pub(super) fn count(&self) -> usize {
        self.queues.len()
    }

    /// Share of all resources that an instance takes while it runs, by resource.
    pub(super) fn shares(&self, id: InstanceId) -> &[f64; SHARES] {
        &self.queues[self.class[id.index()]].shares
    }

    /// Whether an instance takes a GPU, or a part of one.
    pub(super) fn wants_gpus(&self, id: InstanceId) -> bool {
        self.queues[self.class[id.index()]].resources.gpus.devices() > 0
    }

    /// Whether any instance takes a GPU, or a part of one.
    pub(super) fn any_wants_gpus(&self) -> bool {
        self.queues.iter().any(|queue| queue.resources.gpus.devices() > 0)
    }

    /// Adds an instance.
    pub(super) fn insert(&mut self, id: InstanceId) {
        let key = self.key(id);
        self.queues[self.class[id.index()]].waiting.insert(key);
    }

    /// Removes an instance.
    pub(super) fn remove(&mut self, id: InstanceId) {
        let key = self.key(id);
        self.queues[self.class[id.index()]].waiting.remove(&key);
    }

    /// Empties all queues.
    pub(super) fn clear(&mut self) {
        self.queues.iter_mut().for_each(|queue| queue.waiting.clear());
    }

    fn key(&self, id: InstanceId) -> QueueKey {
        // Numbers that are not negative are in the order of their bits.
        (Reverse(self.urgency[id.index()].to_bits()), id)
    }

    /// Removes the most urgent instance that fits now; returns it with its resources.
    pub(super) fn start_next(&mut self) -> Option<(InstanceId, Allocation)> {
        if self.pool.is_exhausted() {
            return None;
        }
        let queues = self.queues.iter().enumerate().filter(|(_, queue)| !queue.blocked);
        let mut heads: Vec<(QueueKey, usize)> =
            queues.filter_map(|(class, queue)| Some((*queue.waiting.first()?, class))).collect();
        heads.sort_unstable();
        for (key, class) in heads {
            let queue = &mut self.queues[class];
            if let Some(allocation) = self.pool.take(&queue.resources) {
                queue.waiting.remove(&key);
                return Some((key.1, allocation));
            }
            queue.blocked = true;
        }
        None
    }

    /// Gives back an allocation of [`ReadyQueues::start_next`].
    pub(super) fn give_back(&mut self, allocation: &Allocation) {
        self.pool.give_back(allocation);
        self.queues.iter_mut().for_each(|queue| queue.blocked = false);
    }
}
