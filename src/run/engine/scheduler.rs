//! The scheduler: a pure state machine over integer ids, with no processes and no clock.
//!
//! The dispatcher reports the outcome of each instance; the scheduler answers which instances are to be looked up in the cache
//! and which are to be started, with which resources. A device is never given out beyond what it has (see
//! [`Pool`](crate::run::executor::resources::Pool)). The most urgent instance that fits is started whenever one fits; how urgent each is
//! follows from the chain of work behind it, or, where instances compete for GPUs, from a simulated list schedule.

use crate::plan::InstanceId;
use crate::run::executor::resources::{Allocation, Capacity};

use super::critical_path::critical_path;
use super::list_schedule::ListSchedule;
use super::ready_queue::ReadyQueues;
use super::task::Task;

/// State of an instance. Each variant says what must have happened before.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Not part of this run.
    Unwanted,
    /// Waiting for `producers` of the instances it reads from.
    Waiting {
        /// Number of producers.
        producers: usize,
    },
    /// All producers are done; its fingerprint is to be looked up.
    Ready,
    /// Not in the cache, and waiting for resources.
    Queued,
    /// Started, with resources.
    Running(Allocation),
    /// Done with its work; its resources are free again, and its outputs are being stored.
    Storing,
    /// Waiting for another process, or another instance of this run, that makes the same result.
    Elsewhere,
    /// Done; its outputs are in the cache.
    Done,
    /// Failed for good.
    Failed,
    /// Not made, because one it reads from failed for good.
    Skipped,
    /// Not made, because the run stopped.
    Stopped,
    /// Left to another pass, with all that reads from it.
    Deferred,
}

impl State {
    /// Whether nothing more will happen to the instance.
    pub fn is_settled(&self) -> bool {
        matches!(
            self,
            State::Unwanted | State::Done | State::Failed | State::Skipped | State::Stopped | State::Deferred
        )
    }
}

/// Scheduler of a pass, with the state of all instances.
pub struct Scheduler {
    consumers: Vec<Vec<InstanceId>>,
    states: Vec<State>,
    order: Vec<InstanceId>,
    ready: Vec<InstanceId>,
    queues: ReadyQueues,
    /// Expected durations, until the order is searched with them.
    expected: Option<Vec<f64>>,
    unsettled: usize,
    accepting: bool,
}

impl Scheduler {
    /// A scheduler of `tasks`, where `tasks[i]` is instance `i`; `order` is a topological order of all of them. Producers of wanted instances must
    /// be wanted too.
    pub fn new(tasks: &[Task], order: &[InstanceId], capacity: &Capacity) -> Scheduler {
        let mut consumers = vec![Vec::new(); tasks.len()];
        for id in order.iter().copied().filter(|id| tasks[id.index()].wanted) {
            for producer in &tasks[id.index()].producers {
                consumers[producer.index()].push(id);
            }
        }
        let mut queues = ReadyQueues::new(tasks, capacity);
        queues.set_urgency(critical_path(&vec![1.0; tasks.len()], &consumers, order));
        let mut ready = Vec::new();
        let mut states = vec![State::Unwanted; tasks.len()];
        for id in order.iter().copied().filter(|id| tasks[id.index()].wanted) {
            let producers = tasks[id.index()].producers.len();
            states[id.index()] = if producers == 0 { State::Ready } else { State::Waiting { producers } };
            if producers == 0 {
                ready.push(id);
            }
        }
        ready.reverse();
        let unsettled = states.iter().filter(|state| !state.is_settled()).count();
        let order = order.to_vec();
        Scheduler { consumers, states, order, ready, queues, expected: None, unsettled, accepting: true }
    }

    /// Sets the expected durations, in any unit that is the same for all. Until then all instances take the same.
    /// No instance must have been started.
    pub fn expect(&mut self, durations: &[f64]) {
        debug_assert!(!self.states.iter().any(|state| matches!(state, State::Running(_))), "expected before it runs");
        self.queues.set_urgency(critical_path(durations, &self.consumers, &self.order));
        self.expected = self.queues.any_wants_gpus().then(|| durations.to_vec());
    }

    /// Searches a better order for what is left to do than that of critical paths, where there is something to gain. Called at
    /// the first start, as only then it is known how much of the plan the cache has.
    fn simulate(&mut self, expected: &[f64]) {
        let is_left = |id: &InstanceId| !self.states[id.index()].is_settled();
        let left: Vec<InstanceId> = self.order.iter().copied().filter(is_left).collect();
        let list_schedule = ListSchedule::new(&self.queues, &self.consumers, expected, left);
        if let Some(urgency) = list_schedule.and_then(ListSchedule::search) {
            self.queues.set_urgency(urgency);
        }
    }

    /// State of an instance.
    pub fn state(&self, id: InstanceId) -> &State {
        &self.states[id.index()]
    }

    /// Whether every instance is settled.
    pub fn is_finished(&self) -> bool {
        self.unsettled == 0
    }

    /// Number of instances that are not settled.
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Next instance whose fingerprint is to be looked up. It stays [`State::Ready`] until the caller reports the outcome.
    pub fn next_ready(&mut self) -> Option<InstanceId> {
        // One that was deferred meanwhile is still on the list.
        std::iter::from_fn(|| self.ready.pop()).find(|id| self.states[id.index()] == State::Ready)
    }

    /// Next instance to start, with its resources: the most urgent one that fits now.
    pub fn next_start(&mut self) -> Option<(InstanceId, Allocation)> {
        if let Some(expected) = self.expected.take() {
            self.simulate(&expected);
        }
        let (id, allocation) = self.queues.start_next()?;
        self.states[id.index()] = State::Running(allocation.clone());
        Some((id, allocation))
    }

    /// Queues an instance that is not in the cache.
    pub fn enqueue(&mut self, id: InstanceId) {
        if !self.accepting {
            self.settle(id, State::Stopped);
            return;
        }
        self.release(id);
        self.states[id.index()] = State::Queued;
        self.queues.insert(id);
    }

    /// Gives the resources of an instance whose work is done to others, while its outputs are stored.
    pub fn worked(&mut self, id: InstanceId) {
        self.release(id);
        self.states[id.index()] = State::Storing;
    }

    /// Takes the resources of an instance back, whose result is being made elsewhere.
    pub fn made_elsewhere(&mut self, id: InstanceId) {
        self.release(id);
        self.states[id.index()] = State::Elsewhere;
    }

    /// Settles an instance whose outputs are in the cache. Instances that waited only for it become ready.
    pub fn done(&mut self, id: InstanceId) {
        self.settle(id, State::Done);
        for consumer in self.consumers[id.index()].clone() {
            if let State::Waiting { producers } = &mut self.states[consumer.index()] {
                *producers -= 1;
                if *producers == 0 {
                    self.states[consumer.index()] = State::Ready;
                    self.ready.push(consumer);
                }
            }
        }
    }

    /// Settles an instance that failed for good. Returns the instances that can now not be made, in a stable order.
    pub fn failed(&mut self, id: InstanceId) -> Vec<InstanceId> {
        self.settle(id, State::Failed);
        self.settle_consumers(id, State::Skipped)
    }

    /// Leaves an instance to another pass, with all that waits for it, which is returned.
    pub fn deferred(&mut self, id: InstanceId) -> Vec<InstanceId> {
        self.settle(id, State::Deferred);
        self.settle_consumers(id, State::Deferred)
    }

    /// Settles everything that waits for `id`, however indirectly; returns it in a stable order.
    fn settle_consumers(&mut self, id: InstanceId, state: State) -> Vec<InstanceId> {
        let mut settled = Vec::new();
        let mut front = vec![id];
        while let Some(at) = front.pop() {
            for consumer in self.consumers[at.index()].clone() {
                let is_under_way = matches!(self.states[consumer.index()], State::Running(_) | State::Storing);
                if !self.states[consumer.index()].is_settled() && !is_under_way {
                    self.settle(consumer, state.clone());
                    settled.push(consumer);
                    front.push(consumer);
                }
            }
        }
        settled.sort_unstable();
        settled
    }

    /// Settles an instance that was stopped while it ran.
    pub fn stopped(&mut self, id: InstanceId) {
        self.settle(id, State::Stopped);
    }

    /// Settles an instance that is not started, with all that waits for it.
    pub fn left(&mut self, id: InstanceId) {
        self.settle(id, State::Stopped);
        self.settle_consumers(id, State::Stopped);
    }

    /// Whether instances are still started.
    pub fn is_accepting(&self) -> bool {
        self.accepting
    }

    /// Stops starting instances: all that have not been started are settled as stopped.
    pub fn stop_accepting(&mut self) {
        self.accepting = false;
        for index in 0..self.states.len() {
            let state = &self.states[index];
            if !state.is_settled() && !matches!(state, State::Running(_) | State::Storing) {
                self.states[index] = State::Stopped;
                self.unsettled -= 1;
            }
        }
        self.queues.clear();
        self.ready.clear();
    }

    fn settle(&mut self, id: InstanceId, state: State) {
        self.release(id);
        if !self.states[id.index()].is_settled() {
            self.unsettled -= 1;
        }
        self.states[id.index()] = state;
    }

    fn release(&mut self, id: InstanceId) {
        match &self.states[id.index()] {
            State::Running(allocation) => self.queues.give_back(allocation),
            State::Queued => self.queues.remove(id),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::language::{ByteSize, GpuShare};
    use crate::plan::Resources;
    use crate::run::executor::resources::{GpuDevice, GpuId};

    fn task(producers: &[u32]) -> Task {
        let producers = producers.iter().map(|id| InstanceId(*id)).collect();
        Task { producers, resources: Resources::default(), wanted: true }
    }

    fn order(count: usize) -> Vec<InstanceId> {
        (0..count).map(|id| InstanceId(u32::try_from(id).unwrap())).collect()
    }

    fn machine(cpus: u32, gpus: u32) -> Capacity {
        let gpus =
            (0..gpus).map(|index| GpuDevice { id: GpuId::Index(index), memory: Some(10), is_busy: false }).collect();
        Capacity { cpus, memory: 100, gpus, cpu_fallback: false }
    }

    fn queue_ready(scheduler: &mut Scheduler) {
        while let Some(id) = scheduler.next_ready() {
            scheduler.enqueue(id);
        }
    }

    #[test]
    fn the_longest_chain_goes_first() {
        // 0 stands alone and is long; 1 is short, but 2, which needs it, is longer still.
        let tasks = vec![task(&[]), task(&[]), task(&[1]), task(&[])];
        let mut scheduler = Scheduler::new(&tasks, &order(4), &machine(1, 0));
        scheduler.expect(&[5.0, 1.0, 6.0, 2.0]);
        queue_ready(&mut scheduler);
        let mut started = Vec::new();
        while let Some((id, _)) = scheduler.next_start() {
            started.push(id.0);
            scheduler.done(id);
            queue_ready(&mut scheduler);
        }
        assert_eq!(started, [1, 2, 0, 3]);
        assert!(scheduler.is_finished());
    }

    fn any_tasks() -> impl Strategy<Value = Vec<Task>> {
        let one = (prop::collection::vec(any::<prop::sample::Index>(), 0..3), 0..3_u32, 0..5_usize, 0..8_u64);
        prop::collection::vec(one, 1..30).prop_map(|drafts| {
            let build = |(at, (producers, cpus, gpus, memory)): (usize, (Vec<prop::sample::Index>, _, usize, _))| {
                let mut producers: Vec<InstanceId> =
                    if at == 0 { Vec::new() } else { producers.iter().map(|pick| order(at)[pick.index(at)]).collect() };
                producers.sort_unstable();
                producers.dedup();
                let gpus = GpuShare::from_number([0.0, 0.3, 0.5, 1.0, 2.0][gpus]).unwrap();
                let gpu_memory = Some(ByteSize::new(memory));
                let cpus = (cpus > 0).then_some(cpus);
                let resources = Resources { cpus, gpus, memory: Some(ByteSize::new(memory)), gpu_memory };
                Task { producers, resources, wanted: true }
            };
            drafts.into_iter().enumerate().map(build).collect()
        })
    }

    proptest! {
        #[test]
        fn all_settle_and_nothing_is_given_out_twice(
            tasks in any_tasks(),
            expected in prop::collection::vec(0.0..9.0, 30),
            cached in prop::collection::vec(prop::bool::weighted(0.2), 30),
            fates in prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8), 200),
        ) {
            let mut scheduler = Scheduler::new(&tasks, &order(tasks.len()), &machine(3, 2));
            scheduler.expect(&expected[..tasks.len()]);
            let mut running: Vec<(InstanceId, Allocation)> = Vec::new();
            let mut failed = Vec::new();
            let mut fates = fates.into_iter().cycle();
            while !scheduler.is_finished() {
                while let Some(id) = scheduler.next_ready() {
                    if cached[id.index()] { scheduler.done(id) } else { scheduler.enqueue(id) }
                }
                while let Some(start) = scheduler.next_start() {
                    for producer in &tasks[start.0.index()].producers {
                        prop_assert_eq!(scheduler.state(*producer), &State::Done);
                    }
                    running.push(start);
                }
                let cpus: u32 = running.iter().map(|(_, given)| given.cpus).sum();
                let memory: u64 = running.iter().map(|(_, given)| given.memory).sum();
                prop_assert!(cpus <= 3 && memory <= 100);
                for device in 0..2 {
                    let on = running.iter().filter(|(_, given)| given.gpus.contains(&GpuId::Index(device)));
                    let wanted: Vec<&Resources> = on.map(|(id, _)| &tasks[id.index()].resources).collect();
                    prop_assert!(wanted.iter().map(|wanted| wanted.gpus.share_of_each()).sum::<u32>() <= 1000);
                    let memory: u64 = wanted.iter().filter_map(|wanted| wanted.gpu_memory).map(ByteSize::bytes).sum();
                    prop_assert!(memory <= 10);
                }
                if scheduler.is_finished() {
                    break;
                }
                prop_assert!(!running.is_empty(), "something that fits must run");
                let (pick, fate) = fates.next().unwrap();
                let (id, given) = running.swap_remove(pick.index(running.len()));
                prop_assert_eq!(given.gpus.len(), tasks[id.index()].resources.gpus.devices());
                if fate % 2 == 1 {
                    scheduler.worked(id);
                }
                if fate == 0 {
                    scheduler.failed(id);
                    failed.push(id);
                } else {
                    scheduler.done(id);
                }
            }
            for (id, task) in order(tasks.len()).into_iter().zip(&tasks) {
                let lost = |producer: &InstanceId| matches!(scheduler.state(*producer), State::Failed | State::Skipped);
                let expected = if failed.contains(&id) {
                    State::Failed
                } else if task.producers.iter().any(lost) {
                    State::Skipped
                } else {
                    State::Done
                };
                prop_assert_eq!(scheduler.state(id), &expected);
            }
        }
    }
}
