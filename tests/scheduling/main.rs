//! The scheduler in simulated time: how well it fills GPUs, and that it never gives out more than there is.
//!
//! `ATHANOR_SCHEDULE_EVENTS=1000000` simulates that many events instead of a few thousand, `ATHANOR_SCHEDULE_DRAWS=2000` fills GPUs
//! with that many draws instead of 50.

mod bound;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use athanor::language::{ByteSize, GpuShare};
use athanor::plan::{InstanceId, Resources};
use athanor::run::engine::scheduler::{Scheduler, State};
use athanor::run::engine::task::Task;
use athanor::run::executor::resources::{Allocation, Capacity, GpuDevice, GpuId};

use athanor_random::SplitMix64;
use bound::{bound, plain_bound};

const GIB: u64 = 1 << 30;
const GPU_MEMORY: u64 = 80 * GIB;

/// Pseudo-random numbers: the same on every machine.
struct Dice(SplitMix64);

impl Dice {
    fn new(seed: u64) -> Dice {
        Dice(SplitMix64::new(seed))
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0.bits() % end
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// A task and how long it takes, in minutes.
struct Job {
    task: Task,
    minutes: u64,
}

fn machine(gpus: u32) -> Capacity {
    let gpus = (0..gpus).map(|index| GpuDevice { id: GpuId::Index(index), memory: Some(GPU_MEMORY), is_busy: false });
    Capacity { cpus: 64, memory: 512 * GIB, gpus: gpus.collect(), cpu_fallback: false }
}

fn order(count: usize) -> Vec<InstanceId> {
    (0..count).map(|id| InstanceId(u32::try_from(id).unwrap())).collect()
}

/// Every device's share and memory, counted apart from the scheduler.
#[derive(Default)]
struct Book {
    cpus: u32,
    memory: u64,
    gpus: BTreeMap<GpuId, (u32, u64)>,
}

impl Book {
    fn begin(&mut self, wanted: &Resources, given: &Allocation, capacity: &Capacity) {
        assert_eq!(given.gpus.len(), wanted.gpus.devices());
        self.cpus += given.cpus;
        self.memory += given.memory;
        assert!(self.cpus <= capacity.cpus && self.memory <= capacity.memory);
        for id in &given.gpus {
            let device = self.gpus.entry(id.clone()).or_default();
            device.0 += wanted.gpus.share_of_each();
            device.1 += wanted.gpu_memory.map_or(0, ByteSize::bytes);
            let memory = capacity.gpus.iter().find(|gpu| gpu.id == *id).and_then(|gpu| gpu.memory).unwrap();
            assert!(device.0 <= 1000 && device.1 <= memory, "GPU {id} is given out twice: {device:?}");
        }
    }

    fn end(&mut self, wanted: &Resources, given: &Allocation) {
        self.cpus -= given.cpus;
        self.memory -= given.memory;
        for id in &given.gpus {
            let device = self.gpus.get_mut(id).unwrap();
            device.0 -= wanted.gpus.share_of_each();
            device.1 -= wanted.gpu_memory.map_or(0, ByteSize::bytes);
        }
    }
}

/// How long jobs take, as one that knows them would expect.
fn minutes(jobs: &[Job]) -> Vec<f64> {
    jobs.iter().map(|job| job.minutes as f64).collect()
}

/// Runs all jobs; returns when the last one ends, and how many starts and ends there were. `fails` says which end badly.
fn simulate(
    jobs: &[Job],
    expected: &[f64],
    capacity: &Capacity,
    mut fails: impl FnMut(InstanceId) -> bool,
) -> (u64, usize) {
    let tasks: Vec<Task> = jobs.iter().map(|job| job.task.clone()).collect();
    let mut scheduler = Scheduler::new(&tasks, &order(jobs.len()), capacity);
    scheduler.expect(expected);
    let (mut book, mut now, mut events) = (Book::default(), 0, 0);
    let mut running: BinaryHeap<Reverse<(u64, InstanceId)>> = BinaryHeap::new();
    let mut given: BTreeMap<InstanceId, Allocation> = BTreeMap::new();
    while !scheduler.is_finished() {
        while let Some(id) = scheduler.next_ready() {
            scheduler.enqueue(id);
        }
        while let Some((id, allocation)) = scheduler.next_start() {
            let job = &jobs[id.index()];
            assert!(job.task.producers.iter().all(|producer| *scheduler.state(*producer) == State::Done));
            book.begin(&job.task.resources, &allocation, capacity);
            running.push(Reverse((now + job.minutes, id)));
            given.insert(id, allocation);
            events += 1;
        }
        let Reverse((time, id)) = running.pop().expect("something that fits must run");
        now = time;
        events += 1;
        book.end(&jobs[id.index()].task.resources, &given.remove(&id).unwrap());
        if fails(id) {
            scheduler.failed(id);
        } else {
            scheduler.done(id);
        }
    }
    (now, events)
}

fn job(producers: Vec<InstanceId>, gpus: f64, gpu_memory: u64, minutes: u64) -> Job {
    let resources = Resources {
        cpus: Some(1),
        gpus: GpuShare::from_number(gpus).unwrap(),
        memory: Some(ByteSize::new(2 * GIB)),
        gpu_memory: (gpu_memory > 0).then(|| ByteSize::new(gpu_memory)),
    };
    Job { task: Task { producers, resources, wanted: true }, minutes }
}

/// 20 trainings with 5 folds each, every fold followed by a prediction, every training by an ensemble on the CPU.
fn trainings(dice: &mut Dice) -> Vec<Job> {
    let mut jobs = Vec::new();
    let id = |jobs: &Vec<Job>| InstanceId(u32::try_from(jobs.len()).unwrap());
    for _ in 0..20 {
        let gpus = dice.pick(&[0.25, 0.5, 1.0]);
        // As much memory as its share, or less, or, for small ones, more: then memory is what limits.
        let memory = dice.pick(&[GPU_MEMORY / 8, GPU_MEMORY / 4, GPU_MEMORY / 2]);
        let base = 60 + dice.below(540);
        let mut predictions = Vec::new();
        for _ in 0..5 {
            let train = id(&jobs);
            jobs.push(job(Vec::new(), gpus, memory, base + dice.below(base / 2)));
            predictions.push(id(&jobs));
            jobs.push(job(vec![train], gpus, memory, 1 + base / 20));
        }
        jobs.push(job(predictions, 0.0, 0, 2));
    }
    jobs
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}

/// How long all draws take, over what no schedule can beat.
#[derive(Debug, Default)]
struct Ratios {
    worst: f64,
    seed: u64,
    mean: f64,
    /// Over the bound that counts shares and memory apart.
    worst_over_plain: f64,
}

/// Simulates draws on 1, 2, 4 and 8 GPUs; `expect` says how long jobs are thought to take.
fn fill_gpus(expect: impl Fn(&mut Dice, &[Job]) -> Vec<f64>) -> BTreeMap<u32, Ratios> {
    let draws = setting("ATHANOR_SCHEDULE_DRAWS").unwrap_or(50);
    let mut all: BTreeMap<u32, Ratios> = BTreeMap::new();
    for (gpus, seed) in [1, 2, 4, 8].into_iter().flat_map(|gpus| (0..draws).map(move |seed| (gpus, seed))) {
        let mut dice = Dice::new(seed);
        let jobs = trainings(&mut dice);
        let expected = expect(&mut dice, &jobs);
        let (makespan, _) = simulate(&jobs, &expected, &machine(gpus), |_| false);
        let ratio = makespan as f64 / bound(&jobs, gpus);
        let ratios = all.entry(gpus).or_default();
        ratios.mean += ratio / draws as f64;
        ratios.worst_over_plain = ratios.worst_over_plain.max(makespan as f64 / plain_bound(&jobs, gpus));
        if ratio > ratios.worst {
            (ratios.worst, ratios.seed) = (ratio, seed);
        }
    }
    println!("makespan over its lower bound, by GPUs: {all:#.3?}");
    all
}

#[test]
fn folds_of_uneven_length_fill_the_gpus() {
    let ratios = fill_gpus(|_, jobs| minutes(jobs));
    assert!(ratios.values().all(|ratios| ratios.worst <= 1.1), "{ratios:?}");
}

/// Between half and twice as long as they take.
#[test]
fn wrong_expectations_cost_little() {
    let ratios = fill_gpus(|dice, jobs| {
        let factor = |dice: &mut Dice| 2.0_f64.powf(dice.below(2001) as f64 / 1000.0 - 1.0);
        minutes(jobs).into_iter().map(|minutes| minutes * factor(dice)).collect()
    });
    assert!(ratios.values().all(|ratios| ratios.worst <= 1.25 && ratios.mean <= 1.05), "{ratios:?}");
}

/// As in a first run.
#[test]
fn without_expectations_gpus_are_still_filled() {
    let ratios = fill_gpus(|_, jobs| vec![1.0; jobs.len()]);
    assert!(ratios.values().all(|ratios| ratios.worst <= 1.3 && ratios.mean <= 1.1), "{ratios:?}");
}

#[test]
fn there_are_draws_that_no_schedule_fits_into_the_plain_bound() {
    let jobs = trainings(&mut Dice::new(16));
    assert!(bound(&jobs, 1) > 1.1 * plain_bound(&jobs, 1));
}

/// A random graph on a random machine.
fn any_jobs(dice: &mut Dice, capacity: &Capacity) -> Vec<Job> {
    let count = 1 + dice.below(400) as usize;
    let mut jobs: Vec<Job> = Vec::new();
    for at in 0..count {
        let mut producers: Vec<InstanceId> = Vec::new();
        for _ in 0..dice.below(3).min(at as u64) {
            producers.push(InstanceId(dice.below(at as u64) as u32));
        }
        producers.sort_unstable();
        producers.dedup();
        let most = capacity.gpus.len() as f64;
        let gpus = dice.pick(&[0.0_f64, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0, 2.0, 3.0]).min(most);
        let memory = if gpus > 0.0 { dice.below(GPU_MEMORY + 1) } else { 0 };
        let mut job = job(producers, gpus, memory, dice.below(100));
        job.task.resources.cpus = dice.pick(&[None, Some(1), Some(1), Some(2), Some(16)]);
        job.task.resources.memory = Some(ByteSize::new(dice.below(capacity.memory)));
        jobs.push(job);
    }
    jobs
}

#[test]
fn nothing_is_given_out_twice() {
    let wanted = setting("ATHANOR_SCHEDULE_EVENTS").unwrap_or(20_000);
    let (mut events, mut seed) = (0, 0);
    while events < wanted {
        let mut dice = Dice::new(seed);
        let capacity = machine(dice.below(9) as u32);
        let jobs = any_jobs(&mut dice, &capacity);
        // Rehearsing takes far longer than what it is for, and all that it decides is the order.
        let expected = if seed.is_multiple_of(8) { minutes(&jobs) } else { vec![1.0; jobs.len()] };
        events += simulate(&jobs, &expected, &capacity, |_| dice.below(10) == 0).1 as u64;
        seed += 1;
    }
    println!("{events} starts and ends in {seed} runs");
}
