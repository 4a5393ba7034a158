//! What layers need to know of a forward pass that is learned from, and what they leave behind.
//!
//! Two layers do more in such a pass than compute: dropout draws what it drops, and a batch norm remembers what its batch
//! was like. Both would depend on which pass came before which if they went about it alone. So whoever learns says which
//! pass this is ([`learn_from`]): its random numbers are its own, and its statistics are handed back, to be remembered
//! when all passes before it have been ([`Statistics::remember_in`]). Passes may then be made side by side.

use std::cell::RefCell;
use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::prelude::*;

use athanor_random::Random;

/// How much of a batch's statistics goes into the running ones.
const MOMENTUM: f64 = 0.1;

thread_local! {
    /// The pass that this thread is in.
    static CURRENT: RefCell<Option<Pass>> = const { RefCell::new(None) };
}

struct Pass {
    random: Random,
    /// Layers that have drawn random numbers.
    drawn: u64,
    statistics: Statistics,
}

/// What the batch norms of a network have seen of one batch.
#[derive(Debug, Default)]
pub struct Statistics {
    /// Mean and unbiased variance, each `[channel]`, by the number of the batch norm's `weight`.
    seen: HashMap<ParamId, OfBatch>,
}

#[derive(Debug)]
struct OfBatch {
    mean: Tensor<1>,
    variance: Tensor<1>,
}

/// Computes `forward` as a pass that is learned from, in which layers draw from `random`; returns with it what batch norms
/// have seen. A pass within a pass is one of its own.
pub fn learn_from<R>(random: Random, forward: impl FnOnce() -> R) -> (R, Statistics) {
    /// Puts the outer pass back, also when `forward` panics.
    struct Outer(Option<Pass>);
    impl Drop for Outer {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let pass = Pass { random, drawn: 0, statistics: Statistics::default() };
    let _outer = Outer(CURRENT.replace(Some(pass)));
    let result = forward();
    let statistics = CURRENT.take().map(|pass| pass.statistics).unwrap_or_default();
    (result, statistics)
}

/// The random numbers of the next layer that draws any; `None` outside of passes that are learned from.
pub(crate) fn random_of_layer() -> Option<Random> {
    CURRENT.with_borrow_mut(|current| {
        let pass = current.as_mut()?;
        pass.drawn += 1;
        Some(pass.random.split(pass.drawn))
    })
}

/// Leaves a batch's mean and unbiased variance for the batch norm whose weight is `weight`; gives them back outside of
/// passes that are learned from.
pub(crate) fn leave(weight: ParamId, mean: Tensor<1>, variance: Tensor<1>) -> Option<[Tensor<1>; 2]> {
    CURRENT.with_borrow_mut(|current| match current {
        Some(pass) => {
            pass.statistics.seen.insert(weight, OfBatch { mean, variance });
            None
        }
        None => Some([mean, variance]),
    })
}

impl Statistics {
    /// Moves the running statistics of a network towards these.
    pub fn remember_in<M: Module>(self, network: M) -> M {
        network.map(&mut Remember { statistics: self, path: Vec::new(), weight: None })
    }
}

/// The name of a batch norm's parameter by which its statistics are known.
const WEIGHT: &str = "weight";

struct Remember {
    statistics: Statistics,
    path: Vec<String>,
    /// The last parameter of that name; a batch norm's own comes before its running statistics.
    weight: Option<ParamId>,
}

impl ModuleMapper for Remember {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, parameter: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let seen = self.weight.and_then(|weight| self.statistics.seen.get(&weight));
        let of_batch = match (self.path.last().map(String::as_str), seen) {
            (Some(WEIGHT), _) => {
                self.weight = Some(parameter.id);
                None
            }
            (Some("running_mean"), Some(seen)) => Some(seen.mean.clone()),
            (Some("running_var"), Some(seen)) => Some(seen.variance.clone()),
            _ => None,
        };
        match of_batch {
            Some(of_batch) => parameter.map(|old| {
                let of_batch = of_batch.to_device(&old.device()).reshape(old.shape());
                moved_towards(old, of_batch)
            }),
            None => parameter,
        }
    }
}

/// A running statistic after a batch.
pub(crate) fn moved_towards<const D: usize>(old: Tensor<D>, of_batch: Tensor<D>) -> Tensor<D> {
    old * (1.0 - MOMENTUM) + of_batch * MOMENTUM
}
