//! Search for the order in which to start instances that compete for GPUs, so that the last one ends soon, by simulating the
//! run in expected time. A pure function of what is known before the first start.
//!
//! Starting the most urgent instance that fits, whenever something fits, is list scheduling (Graham, "Bounds on multiprocessing
//! timing anomalies", 1969); how well it does depends on the list. By critical paths alone, large instances are left for last,
//! when they fit nowhere together. The list is therefore the best of a few: critical paths; critical paths times the share of
//! the machine that an instance takes, as large ones are hard to place late; and lists near the best one so far, made by moving each
//! instance by a random distance (random keys: Bean, "Genetic algorithms and random keys", 1994; samples around a rule: Kolisch
//! and Hartmann, "Heuristic algorithms for the resource-constrained project scheduling problem", 1999). The result is
//! still only an order: when the run goes another way than expected, whatever fits is started all the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use athanor_random::SplitMix64;

use crate::plan::InstanceId;
use crate::run::executor::resources::{Allocation, SHARES};

use super::critical_path::critical_path;
use super::ready_queue::ReadyQueues;

/// Maximum number of lists that are simulated.
const MAX_LISTS: usize = 100;
/// Maximum cost of all simulations together: some tens of milliseconds.
const MAX_COST: usize = 600_000;
/// Cost of starting an instance, where looking whether one queue's first fits costs 1.
const START_COST: usize = 16;
/// Ratio to the lower bound at which the search ends.
const NEAR_ENOUGH: f64 = 1.01;
/// Maximum distance by which an instance is moved in the list: a number of places, and a fraction of the list.
const MOVE: (f64, f64) = (2.0, 0.1);

/// Simulation of a run that is about to begin.
pub(super) struct ListSchedule<'r> {
    queues: ReadyQueues,
    consumers: &'r [Vec<InstanceId>],
    expected: &'r [f64],
    /// Instances that are left to do, producers first.
    left: Vec<InstanceId>,
    /// Number of remaining producers by instance; one more if it is not left itself, so that it never starts.
    producers: Vec<usize>,
    /// Number of lists that may be simulated.
    lists: usize,
}

impl<'r> ListSchedule<'r> {
    /// A simulation; `None` where there is nothing to gain from one: too many instances, none that takes a GPU, or nothing that tells those that
    /// do apart.
    pub(super) fn new(
        queues: &ReadyQueues,
        consumers: &'r [Vec<InstanceId>],
        expected: &'r [f64],
        left: Vec<InstanceId>,
    ) -> Option<ListSchedule<'r>> {
        // At each end of an instance every queue may be looked at.
        let cost = expected.len().max(1) * (START_COST + queues.count());
        let lists = (MAX_COST / cost).min(MAX_LISTS);
        let mut on_gpus = left.iter().filter(|id| queues.wants_gpus(**id)).map(|id| expected[id.index()]);
        let first = on_gpus.next()?;
        if lists < 3 || on_gpus.all(|other| other == first) {
            return None;
        }
        let mut producers = vec![1; expected.len()];
        left.iter().for_each(|id| producers[id.index()] = 0);
        for consumer in left.iter().flat_map(|id| &consumers[id.index()]) {
            producers[consumer.index()] += 1;
        }
        let mut queues = queues.clone();
        queues.clear();
        Some(ListSchedule { queues, consumers, expected, left, producers, lists })
    }

    /// Best order that was found, as the urgency of each instance.
    pub(super) fn search(mut self) -> Option<Vec<f64>> {
        let rank = critical_path(self.expected, self.consumers, &self.left);
        let good = self.shortest_possible(&rank) * NEAR_ENOUGH;
        let by_path = self.sorted(|_, id| rank[id.index()]);
        let by_area =
            self.sorted(|queues, id| rank[id.index()] * queues.shares(id).iter().copied().fold(0.0, f64::max));
        let mut best = (f64::INFINITY, self.left.clone());
        let mut random = SplitMix64::new(1);
        let reach = MOVE.0 + MOVE.1 * self.left.len() as f64;
        let mut rules = [by_path, by_area].into_iter();
        for _ in 0..self.lists {
            let list = rules.next().unwrap_or_else(|| perturbed(&best.1, reach, &mut random));
            let end = self.simulate(&list);
            if end <= best.0 {
                best = (end, list);
            }
            if best.0 <= good {
                break;
            }
        }
        best.0.is_finite().then(|| self.urgency(&best.1))
    }

    /// Lower bound of the end: the longest chain, and the total work on each resource.
    fn shortest_possible(&self, rank: &[f64]) -> f64 {
        let mut work = [0.0; SHARES];
        for id in &self.left {
            for (sum, share) in work.iter_mut().zip(self.queues.shares(*id)) {
                *sum += share * self.expected[id.index()];
            }
        }
        rank.iter().chain(&work).copied().fold(0.0, f64::max)
    }

    /// Instances that are left, largest keys first.
    fn sorted(&self, key: impl Fn(&ReadyQueues, InstanceId) -> f64) -> Vec<InstanceId> {
        let mut list = self.left.clone();
        list.sort_by(|a, b| key(&self.queues, *b).total_cmp(&key(&self.queues, *a)).then(a.cmp(b)));
        list
    }

    /// Urgencies that make this order.
    fn urgency(&self, list: &[InstanceId]) -> Vec<f64> {
        let mut urgency = vec![0.0; self.expected.len()];
        for (place, id) in list.iter().rev().enumerate() {
            urgency[id.index()] = place as f64;
        }
        urgency
    }

    /// Simulated time at which the last instance ends.
    fn simulate(&mut self, list: &[InstanceId]) -> f64 {
        self.queues.set_urgency(self.urgency(list));
        let mut producers = self.producers.clone();
        self.left.iter().filter(|id| producers[id.index()] == 0).for_each(|id| self.queues.insert(*id));
        let mut given: Vec<Option<Allocation>> = vec![None; producers.len()];
        let mut running = BinaryHeap::new();
        let mut now = 0.0_f64;
        loop {
            while let Some((id, allocation)) = self.queues.start_next() {
                let end = now + self.expected[id.index()].max(0.0);
                // Times are not negative, so their bits are in their order.
                running.push(Reverse((end.to_bits(), id)));
                given[id.index()] = Some(allocation);
            }
            let Some(Reverse((end, id))) = running.pop() else { break };
            now = f64::from_bits(end);
            if let Some(allocation) = given[id.index()].take() {
                self.queues.give_back(&allocation);
            }
            for consumer in &self.consumers[id.index()] {
                producers[consumer.index()] -= 1;
                if producers[consumer.index()] == 0 {
                    self.queues.insert(*consumer);
                }
            }
        }
        // Instances that can never fit would still wait.
        self.queues.clear();
        now
    }
}

/// Perturbs `list`: each instance is moved by a random distance of up to `reach` places.
fn perturbed(list: &[InstanceId], reach: f64, random: &mut SplitMix64) -> Vec<InstanceId> {
    let mut keyed: Vec<(f64, InstanceId)> =
        list.iter().zip(0..).map(|(id, at)| (f64::from(at) + unit(random) * reach, *id)).collect();
    keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
    keyed.into_iter().map(|(_, id)| id).collect()
}

/// Next number in [0, 1).
fn unit(random: &mut SplitMix64) -> f64 {
    (random.bits() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::GpuShare;
    use crate::plan::Resources;
    use crate::run::engine::task::Task;
    use crate::run::executor::resources::{Capacity, GpuDevice, GpuId};

    fn ids(count: u32) -> Vec<InstanceId> {
        (0..count).map(InstanceId).collect()
    }

    fn queues(gpus: &[f64]) -> ReadyQueues {
        let task = |gpus: &f64| {
            let resources = Resources { gpus: GpuShare::from_number(*gpus).unwrap(), ..Resources::default() };
            Task { producers: Vec::new(), resources, wanted: true }
        };
        let devices = (0..2).map(|index| GpuDevice { id: GpuId::Index(index), memory: None, is_busy: false }).collect();
        let capacity = Capacity { cpus: 9, memory: 9, gpus: devices, cpu_fallback: false };
        ReadyQueues::new(&gpus.iter().map(task).collect::<Vec<_>>(), &capacity)
    }

    #[test]
    fn an_order_is_found_that_no_rule_gives() {
        let queues = queues(&[1.0, 1.0, 1.0, 0.5, 1.0]);
        let (expected, consumers) = ([11.0, 5.0, 10.0, 9.0, 6.0], vec![Vec::new(); 5]);
        let list_schedule = || ListSchedule::new(&queues, &consumers, &expected, ids(5)).unwrap();
        let longest_first = [0, 2, 3, 4, 1].map(InstanceId);
        assert_eq!(list_schedule().simulate(&longest_first), 22.0);
        let urgency = list_schedule().search().unwrap();
        assert_eq!(urgency, list_schedule().search().unwrap());
        let mut found = ids(5);
        found.sort_by(|a, b| urgency[b.index()].total_cmp(&urgency[a.index()]));
        assert_eq!(list_schedule().simulate(&found), 21.0);
    }

    #[test]
    fn what_is_not_left_is_not_rehearsed() {
        // 0 is done, 2 reads from it and from 1, 3 was skipped although 1 is left.
        let queues = queues(&[1.0; 4]);
        let id = |id| vec![InstanceId(id)];
        let consumers = [id(2), vec![InstanceId(2), InstanceId(3)], vec![], vec![]];
        let expected = [100.0, 2.0, 3.0, 100.0];
        let mut list_schedule =
            ListSchedule::new(&queues, &consumers, &expected, [1, 2].map(InstanceId).into()).unwrap();
        assert_eq!(list_schedule.simulate(&[1, 2].map(InstanceId)), 5.0);
    }

    #[test]
    fn there_is_none_where_nothing_is_to_be_gained() {
        let none = |gpus: &[f64], expected: &[f64]| {
            let consumers = vec![Vec::new(); gpus.len()];
            ListSchedule::new(&queues(gpus), &consumers, expected, ids(3)).is_none()
        };
        assert!(none(&[0.0, 0.0, 0.0], &[1.0, 2.0, 3.0]));
        assert!(none(&[1.0, 0.5, 0.0], &[2.0, 2.0, 3.0]), "all that take a GPU take as long");
        assert!(!none(&[1.0, 0.5, 0.0], &[2.0, 3.0, 3.0]));
        let many = 20_000;
        assert!(none(&vec![1.0; many], &(0..20_000).map(f64::from).collect::<Vec<_>>()));
    }
}
