//! The scheduler in simulated time: how well it fills GPUs, and that it never gives out more than there is.
//!
//! `ATHANOR_SCHEDULE_EVENTS=1000000` simulates that many events instead of a few thousand.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use athanor::language::{ByteSize, GpuShare};
use athanor::plan::{InstanceId, Resources};
use athanor::run::resources::{Allocation, Capacity, GpuDevice};
use athanor::run::schedule::{Scheduler, State, Task};

const GIB: u64 = 1 << 30;
const GPU_MEMORY: u64 = 80 * GIB;

/// Pseudo-random numbers: the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
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
    let gpus = (0..gpus).map(|index| GpuDevice { index, memory: Some(GPU_MEMORY) });
    Capacity { cpus: 64, memory: 512 * GIB, gpus: gpus.collect() }
}

fn order(count: usize) -> Vec<InstanceId> {
    (0..count).map(|id| InstanceId(u32::try_from(id).unwrap())).collect()
}

/// Every device's share and memory, counted apart from the scheduler.
#[derive(Default)]
struct Book {
    cpus: u32,
    memory: u64,
    gpus: BTreeMap<u32, (u32, u64)>,
}

impl Book {
    fn begin(&mut self, wanted: &Resources, given: &Allocation, capacity: &Capacity) {
        assert_eq!(given.gpus.len(), wanted.gpus.devices());
        self.cpus += given.cpus;
        self.memory += given.memory;
        assert!(self.cpus <= capacity.cpus && self.memory <= capacity.memory);
        for index in &given.gpus {
            let device = self.gpus.entry(*index).or_default();
            device.0 += wanted.gpus.share_of_each();
            device.1 += wanted.gpu_memory.map_or(0, ByteSize::bytes);
            let memory = capacity.gpus.iter().find(|gpu| gpu.index == *index).and_then(|gpu| gpu.memory).unwrap();
            assert!(device.0 <= 1000 && device.1 <= memory, "GPU {index} is given out twice: {device:?}");
        }
    }

    fn end(&mut self, wanted: &Resources, given: &Allocation) {
        self.cpus -= given.cpus;
        self.memory -= given.memory;
        for index in &given.gpus {
            let device = self.gpus.get_mut(index).unwrap();
            device.0 -= wanted.gpus.share_of_each();
            device.1 -= wanted.gpu_memory.map_or(0, ByteSize::bytes);
        }
    }
}

/// Runs all jobs; returns when the last one ends, and how many starts and ends there were. `fails` says which end badly.
fn simulate(jobs: &[Job], capacity: &Capacity, mut fails: impl FnMut(InstanceId) -> bool) -> (u64, usize) {
    let tasks: Vec<Task> = jobs.iter().map(|job| job.task.clone()).collect();
    let mut scheduler = Scheduler::new(&tasks, &order(jobs.len()), capacity);
    let expected: Vec<f64> = jobs.iter().map(|job| job.minutes as f64).collect();
    scheduler.expect(&expected);
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

/// No schedule is shorter: neither than the longest chain nor than the work on GPUs, counted by what of them it takes most.
fn bound(jobs: &[Job], gpus: u32) -> f64 {
    let mut ends: Vec<u64> = Vec::new();
    for job in jobs {
        let start = job.task.producers.iter().map(|producer| ends[producer.index()]).max().unwrap_or(0);
        ends.push(start + job.minutes);
    }
    let chain = ends.iter().max().copied().unwrap_or(0) as f64;
    let sum = |take: &dyn Fn(&Resources) -> f64| -> f64 {
        jobs.iter().map(|job| take(&job.task.resources) * job.minutes as f64).sum::<f64>() / f64::from(gpus)
    };
    let share = sum(&|wanted| f64::from(wanted.gpus.share_of_each()) / 1000.0 * wanted.gpus.devices() as f64);
    let memory = sum(&|wanted| wanted.gpu_memory.map_or(0, ByteSize::bytes) as f64 / GPU_MEMORY as f64);
    chain.max(share).max(memory)
}

#[test]
#[ignore = "not reached yet: the worst of 50 draws is 1.12 on 1, 2 and 4 GPUs and 1.18 on 8"]
fn folds_of_uneven_length_fill_the_gpus() {
    let mut worst = BTreeMap::new();
    for gpus in [1, 2, 4, 8] {
        for seed in 0..50 {
            let jobs = trainings(&mut Dice(seed));
            let (makespan, _) = simulate(&jobs, &machine(gpus), |_| false);
            let ratio = makespan as f64 / bound(&jobs, gpus);
            let entry = worst.entry(gpus).or_insert((0.0_f64, 0));
            if ratio > entry.0 {
                *entry = (ratio, seed);
            }
        }
    }
    println!("worst makespan over its lower bound, with its seed, by GPUs: {worst:?}");
    assert!(worst.values().all(|(ratio, _)| *ratio <= 1.1), "{worst:?}");
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
    let wanted: usize =
        std::env::var("ATHANOR_SCHEDULE_EVENTS").ok().and_then(|count| count.parse().ok()).unwrap_or(20_000);
    let (mut events, mut seed) = (0, 0);
    while events < wanted {
        let mut dice = Dice(seed);
        let capacity = machine(dice.below(9) as u32);
        let jobs = any_jobs(&mut dice, &capacity);
        events += simulate(&jobs, &capacity, |_| dice.below(10) == 0).1;
        seed += 1;
    }
    println!("{events} starts and ends in {seed} runs");
}
