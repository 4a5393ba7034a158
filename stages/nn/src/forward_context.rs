//! State of a forward pass in training, for the layers that do more in it than compute.
//!
//! Two layers have side effects in such a pass: dropout draws random numbers, and a batch norm updates its running
//! statistics. Both would depend on the order of passes. So the training loop declares the
//! pass ([`training_pass`]): its random numbers are its own, and its statistics are returned, to be applied
//! after those of all passes before it ([`BatchStatistics::apply_to`]). Passes may then run concurrently.

use std::cell::RefCell;
use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::prelude::*;

use athanor_random::Random;

use crate::transfer::together;

/// Momentum of the running statistics: the weight of a batch's.
const MOMENTUM: f64 = 0.1;

thread_local! {
    /// The pass that this thread is in.
    static CURRENT: RefCell<Option<Pass>> = const { RefCell::new(None) };
}

struct Pass {
    random: Random,
    /// Number of layers that have drawn random numbers.
    draws: u64,
    statistics: BatchStatistics,
}

/// Statistics of one batch by the batch norms of a network.
#[derive(Debug, Default)]
pub struct BatchStatistics {
    /// Mean and unbiased variance, each `[channel]`, by the number of the batch norm's `weight`, and in its order: devices hear
    /// of tensors that are moved or no longer needed, and what they are told in a step may not differ from process to process.
    by_weight: BTreeMap<ParamId, MeanVariance>,
}

#[derive(Debug)]
struct MeanVariance {
    mean: Tensor<1>,
    variance: Tensor<1>,
}

/// Computes `forward` as a training pass, in which layers draw from `random`; returns with it the statistics of batch
/// norms. A pass within a pass is independent.
pub fn training_pass<R>(random: Random, forward: impl FnOnce() -> R) -> (R, BatchStatistics) {
    /// Restores the outer pass, also when `forward` panics.
    struct Outer(Option<Pass>);
    impl Drop for Outer {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let pass = Pass { random, draws: 0, statistics: BatchStatistics::default() };
    let _outer = Outer(CURRENT.replace(Some(pass)));
    let result = forward();
    let statistics = CURRENT.take().map(|pass| pass.statistics).unwrap_or_default();
    (result, statistics)
}

/// The random numbers of the next layer that draws any; `None` outside of training passes.
pub(crate) fn next_layer_random() -> Option<Random> {
    CURRENT.with_borrow_mut(|current| {
        let pass = current.as_mut()?;
        pass.draws += 1;
        Some(pass.random.split(pass.draws))
    })
}

/// Records a batch's mean and unbiased variance for the batch norm whose weight is `weight`; returns them outside of
/// training passes.
pub(crate) fn record_statistics(weight: ParamId, mean: Tensor<1>, variance: Tensor<1>) -> Option<[Tensor<1>; 2]> {
    CURRENT.with_borrow_mut(|current| match current {
        Some(pass) => {
            pass.statistics.by_weight.insert(weight, MeanVariance { mean, variance });
            None
        }
        None => Some([mean, variance]),
    })
}

impl BatchStatistics {
    /// The same on another device.
    #[must_use]
    pub fn on(self, device: &Device) -> BatchStatistics {
        let (weights, both): (Vec<_>, Vec<_>) = self.by_weight.into_iter().unzip();
        let mut moved =
            together(both.into_iter().flat_map(|both| [both.mean, both.variance]).collect(), device).into_iter();
        let pairs = std::iter::from_fn(|| Some(MeanVariance { mean: moved.next()?, variance: moved.next()? }));
        BatchStatistics { by_weight: weights.into_iter().zip(pairs).collect() }
    }

    /// Moves the running statistics of a network towards these.
    pub fn apply_to<M: Module>(self, network: M) -> M {
        network.map(&mut UpdateRunningStatistics { statistics: self, path: Vec::new(), weight: None })
    }
}

/// The name of the parameter that identifies a batch norm.
const WEIGHT: &str = "weight";

struct UpdateRunningStatistics {
    statistics: BatchStatistics,
    path: Vec<String>,
    /// The last parameter of that name; a batch norm's own comes before its running statistics.
    weight: Option<ParamId>,
}

impl ModuleMapper for UpdateRunningStatistics {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let by_weight = self.weight.and_then(|weight| self.statistics.by_weight.get(&weight));
        let of_batch = match (self.path.last().map(String::as_str), by_weight) {
            (Some(WEIGHT), _) => {
                self.weight = Some(parameter.id);
                None
            }
            (Some("running_mean"), Some(by_weight)) => Some(by_weight.mean.clone()),
            (Some("running_var"), Some(by_weight)) => Some(by_weight.variance.clone()),
            _ => None,
        };
        match of_batch {
            Some(of_batch) => parameter.map(|old| {
                let of_batch = of_batch.to_device(&old.device()).reshape(old.shape());
                exponential_average(old, of_batch)
            }),
            None => parameter,
        }
    }
}

/// A running statistic updated by a batch.
pub(crate) fn exponential_average<const D: usize>(old: Tensor<D>, of_batch: Tensor<D>) -> Tensor<D> {
    old * (1.0 - MOMENTUM) + of_batch * MOMENTUM
}
