//! The gradients of an optimiser step, whose batches are shared out over devices.
//!
//! A loss that is a mean over images is computed batch by batch. Any other is computed once, of the outputs of all batches:
//! each batch's forward pass comes first, then the loss, then each batch's backward pass. Activations are kept from one to the
//! other by the last batch of each device, which are as many as fit anyway; earlier ones are computed again. The result
//! depends on neither, nor on the number of devices: results are put together in the order of batches.

use std::iter::once;

use athanor_nn::devices::{DeviceWorkers, Devices};
use athanor_nn::forward_context::BatchStatistics;
use athanor_nn::gathered::{GatheredLoss, gathered_loss};
use athanor_nn::transfer::ParameterSnapshot;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::prelude::*;

use super::config::TrainingConfig;
use super::microbatch::{Microbatch, Pass, PassContext, PassOutput};
use super::replica::ReplicaJob;
use super::task::TrainingTask;

/// An optimiser step before its gradients are known.
pub(crate) struct Step<'a, T: TrainingTask> {
    task: &'a T,
    config: &'a TrainingConfig,
    devices: &'a Devices,
    workers: &'a mut DeviceWorkers<ReplicaJob, PassOutput>,
    epoch: u32,
    model: &'a T::Model,
    /// Whether the other devices have the parameters.
    is_shared: bool,
    /// Outputs of this thread's device, with the activations that lead to them.
    kept: Option<Tensor<2>>,
}

/// Results of a step's passes.
pub(crate) struct StepOutput {
    /// The gradients.
    pub(crate) gradients: GradientsParams,
    /// Losses `[1]` that together are that of the step.
    pub(crate) losses: Vec<Tensor<1>>,
    /// Statistics of each batch.
    pub(crate) statistics: Vec<BatchStatistics>,
}

impl<'a, T: TrainingTask> Step<'a, T> {
    /// A step of `model`, which is on the first of `devices`; `workers` have the others.
    pub(crate) fn new(
        task: &'a T,
        config: &'a TrainingConfig,
        devices: &'a Devices,
        workers: &'a mut DeviceWorkers<ReplicaJob, PassOutput>,
        model: &'a T::Model,
        epoch: u32,
    ) -> Step<'a, T> {
        Step { task, config, devices, workers, epoch, model, is_shared: false, kept: None }
    }

    /// Computes the gradients of all batches together.
    pub(crate) fn run(mut self, microbatches: Vec<Microbatch>) -> StepOutput {
        self.devices.simulate_batch(self.config.batch);
        let (mut sum, mut losses, mut statistics) = (GradientsAccumulator::new(), Vec::new(), Vec::new());
        let model = self.model;
        if microbatches.len() == 1 || self.task.loss_is_mean() {
            self.passes(microbatches.into_iter().map(Pass::Whole), |output| {
                output.gradients.into_iter().for_each(|gradients| sum.accumulate(model, gradients));
                losses.extend(output.loss);
                statistics.extend(output.statistics);
            });
            return StepOutput { gradients: sum.grads(), losses, statistics };
        }
        let mut first = microbatches;
        let last = first.split_off((first.len() - 1) / self.workers.width() * self.workers.width());
        let examples: Vec<usize> = first.iter().chain(&last).flat_map(|batch| &batch.examples).copied().collect();
        let mut outputs = Vec::new();
        let forward = |keep: bool| move |microbatch| Pass::Forward { microbatch, keep };
        let passes = first.iter().cloned().map(forward(false)).chain(last.into_iter().map(forward(true)));
        self.passes(passes, |output| {
            outputs.extend(output.outputs);
            statistics.extend(output.statistics);
        });
        let GatheredLoss { loss, mut gradients } = gathered_loss(outputs, |joint| self.task.loss(joint, &examples));
        let of_last = gradients.split_off(first.len());
        let mut sum_of_last = Vec::new();
        let backward = |(again, gradient)| Pass::Backward { again, gradient };
        self.passes(of_last.into_iter().map(|gradient| backward((None, gradient))), |output| {
            sum_of_last.extend(output.gradients);
        });
        self.passes(first.into_iter().map(Some).zip(gradients).map(backward), |output| {
            output.gradients.into_iter().for_each(|gradients| sum.accumulate(model, gradients));
        });
        sum_of_last.into_iter().for_each(|gradients| sum.accumulate(model, gradients));
        StepOutput { gradients: sum.grads(), losses: vec![loss], statistics }
    }

    /// Does passes, as many at the same time as there are devices; `take` gets what each gives, in their order.
    fn passes(&mut self, passes: impl Iterator<Item = Pass>, mut take: impl FnMut(PassOutput)) {
        let Step { task, config, devices, model, .. } = *self;
        let device = devices.first();
        let context = PassContext { task, config, model, device };
        let mut passes = passes.peekable();
        while passes.peek().is_some() {
            let places = once(device).chain(devices.others()).enumerate();
            let (is_shared, epoch) = (self.is_shared, self.epoch);
            let jobs = places.zip(passes.by_ref()).map(|((place, device), pass)| {
                let parameters = (!is_shared && place > 0).then(|| ParameterSnapshot::on(model, device));
                ReplicaJob { pass, epoch, parameters }
            });
            let round = self.workers.share(jobs, |job| context.run(job.pass, &mut self.kept));
            for (place, output) in round.into_iter().enumerate() {
                take(if place == 0 { output } else { output.on(device, model) });
            }
            self.is_shared = true;
        }
    }
}
