//! What no schedule can beat.

use std::collections::BTreeMap;

use athanor::language::ByteSize;

use crate::{GPU_MEMORY, Job};

/// No schedule is shorter: neither than the longest chain nor than the work on GPUs, counted by what of them it takes most.
pub(crate) fn plain_bound(jobs: &[Job], gpus: u32) -> f64 {
    let work = work(jobs);
    let sum = |take: &dyn Fn(Take) -> f64| work.iter().map(|(of, minutes)| take(*of) * minutes).sum::<f64>();
    let share = sum(&|of| f64::from(of.share) / 1000.0);
    let memory = sum(&|of| of.memory as f64 / GPU_MEMORY as f64);
    longest_chain(jobs).max(share.max(memory) / f64::from(gpus))
}

/// At least [`plain_bound`], and more where that is out of reach. Suppose that a GPU is busy for half of the time with jobs that
/// take all of it and an eighth of its memory, and for the other half with pairs of jobs that take a quarter of it and half of its
/// memory each. These cannot run beside those, so that no time can be saved; yet all shares add up to 3/4 of the time only, and
/// memory to 9/16.
///
/// Let each job have a weight, such that no set of jobs that fits on one GPU weighs more than 1. Then at no time do the jobs that
/// run weigh more than there are GPUs, so that weights times minutes, summed over all jobs and divided by the number of GPUs, is
/// a lower bound. (Weights by share and weights by memory are such weights.) The best weights are the dual prices of packing GPUs
/// with sets of jobs, which Gilmore and Gomory ("A linear programming approach to the cutting-stock problem", 1961) get from the
/// simplex method. That they are weights of this kind is not taken from it but looked up: every set that fits is weighed.
pub(crate) fn bound(jobs: &[Job], gpus: u32) -> f64 {
    let work = work(jobs);
    let sets = sets_that_fit(&work.keys().copied().collect::<Vec<_>>());
    let minutes: Vec<f64> = work.values().copied().collect();
    let weights = prices(&sets, &minutes);
    let sum = |of: &[f64]| of.iter().zip(&weights).map(|(count, weight)| count * weight).sum::<f64>();
    let heaviest = sets.iter().map(|set| sum(set)).fold(0.0, f64::max);
    plain_bound(jobs, gpus).max(sum(&minutes) / heaviest / f64::from(gpus))
}

fn longest_chain(jobs: &[Job]) -> f64 {
    let mut ends: Vec<u64> = Vec::new();
    for job in jobs {
        let start = job.task.producers.iter().map(|producer| ends[producer.index()]).max().unwrap_or(0);
        ends.push(start + job.minutes);
    }
    ends.into_iter().max().unwrap_or(0) as f64
}

/// What a job takes of its one GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Take {
    share: u32,
    memory: u64,
}

/// Minutes of work on GPUs, by what it takes.
fn work(jobs: &[Job]) -> BTreeMap<Take, f64> {
    let mut work = BTreeMap::new();
    for job in jobs {
        let wanted = &job.task.resources;
        assert!(wanted.gpus.devices() <= 1, "jobs on several GPUs are not thought of here");
        if wanted.gpus.devices() == 1 {
            let memory = wanted.gpu_memory.map_or(0, ByteSize::bytes);
            *work.entry(Take { share: wanted.gpus.share_of_each(), memory }).or_default() += job.minutes as f64;
        }
    }
    work
}

/// How many of each fit on one GPU together, in all ways.
fn sets_that_fit(takes: &[Take]) -> Vec<Vec<f64>> {
    let mut sets = vec![(Vec::new(), 1000, GPU_MEMORY)];
    for take in takes {
        let more = |(set, share, memory): (Vec<f64>, u32, u64)| {
            let most = (share / take.share).min(memory.checked_div(take.memory).map_or(u32::MAX, |most| most as u32));
            (0..=most).map(move |count| {
                let set = set.iter().copied().chain([f64::from(count)]).collect();
                (set, share - count * take.share, memory - u64::from(count) * take.memory)
            })
        };
        sets = sets.into_iter().flat_map(more).collect();
    }
    sets.into_iter().map(|(set, _, _)| set).collect()
}

/// Weights for which `worth` weighs most while no set weighs more than 1: the simplex method with Bland's rule.
fn prices(sets: &[Vec<f64>], worth: &[f64]) -> Vec<f64> {
    const SMALL: f64 = 1e-9;
    let (kinds, width) = (worth.len(), worth.len() + sets.len() + 1);
    let mut goal: Vec<f64> = worth.iter().map(|worth| -worth).collect();
    goal.resize(width, 0.0);
    let row = |(at, set): (usize, &Vec<f64>)| {
        let mut row = set.clone();
        row.resize(width, 0.0);
        row[kinds + at] = 1.0;
        row[width - 1] = 1.0;
        row
    };
    let mut rows: Vec<Vec<f64>> = sets.iter().enumerate().map(row).collect();
    let mut basis: Vec<usize> = (kinds..width - 1).collect();
    while let Some(column) = goal[..width - 1].iter().position(|cost| *cost < -SMALL) {
        let ratios = rows.iter().zip(&basis).enumerate().filter(|(_, (row, _))| row[column] > SMALL);
        let ratios = ratios.map(|(at, (row, basic))| (row[width - 1] / row[column], *basic, at));
        let (_, _, leaving) = ratios
            .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
            .expect("every kind of job is in some set, so that no weight grows for ever");
        let pivot = rows[leaving][column];
        rows[leaving].iter_mut().for_each(|cell| *cell /= pivot);
        let by = rows[leaving].clone();
        let others = rows.iter_mut().enumerate().filter(|(at, _)| *at != leaving).map(|(_, row)| row);
        for row in others.chain([&mut goal]).filter(|row| row[column] != 0.0) {
            let factor = row[column];
            row.iter_mut().zip(&by).for_each(|(cell, by)| *cell -= factor * by);
        }
        basis[leaving] = column;
    }
    let mut weights = vec![0.0; kinds];
    for (basic, row) in basis.iter().zip(&rows).filter(|(basic, _)| **basic < kinds) {
        weights[*basic] = row[width - 1].max(0.0);
    }
    weights
}
