//! The loop of epochs and steps.

use std::ops::ControlFlow;
use std::time::Instant;

use athanor_cache::Digest;
use athanor_nn::devices::{DeviceWorkers, Devices, Tuning, flush, with_workers};
use athanor_nn::models::Model;
use athanor_nn::optim::{adam, clip_gradient_norm};
use athanor_nn::weights::{load_state_dict, state_dict};
use burn::module::Module;
use burn::optim::ModuleOptimizer;
use burn::prelude::*;

use super::config::TrainingConfig;
use super::microbatch::{Microbatch, PassOutput};
use super::numbering::number_parameters;
use super::replica::{Replica, ReplicaJob};
use super::state::{Best, Epoch, Progress, Saved, StateFolder};
use super::step::{Step, StepOutput};
use super::task::{TrainingTask, Validation};
use crate::context::StageContext;
use crate::error::StageError;
use crate::learn::data::loader::Loader;
use crate::learn::data::sampling::epoch_order;
use crate::learn::data::{Batch, Batches, RandomUse, random_stream};

/// Number of steps whose losses are read from the device at once, so that not every step waits for it.
const LOSSES_READ_AT_ONCE: usize = 16;

/// A loss above this counts as divergence.
const LARGEST_LOSS: f64 = 1e6;

const DIVERGED_HELP: &str = "Choose smaller rates in `schedule`, or a smaller `clip_norm`.";

/// Result of a training.
pub(crate) struct Trained<M> {
    /// The network after the last epoch, without automatic differentiation.
    pub model: M,
    /// The best epoch.
    pub best: u32,
    /// All epochs.
    pub history: Vec<Epoch>,
}

/// Trains; continues from the state in `folder` if there is one, and keeps the best network's checkpoint there.
///
/// The batches of a step are shared out over `devices` (see [`Step`]), whose number changes nothing.
///
/// # Errors
/// Those of the task; more devices than a step has batches; a loss that is NaN, or diverges; the wish to
/// stop.
pub(crate) fn train<T: TrainingTask>(
    task: &T,
    config: &TrainingConfig,
    folder: &mut StateFolder,
    devices: &Devices,
    context: &StageContext<'_>,
) -> Result<Trained<T::Model>, StageError> {
    config.require_batches_for(devices.len())?;
    let devices = devices.clone().map(|device| config.autodiff_device(device));
    let device = devices.first().clone();
    let StartingPoint { mut model, optimiser, progress } = begin(task, folder, &device, context)?;
    let replicas = devices.others().iter().map(|device| Replica::new(task, device)).collect::<Result<Vec<_>, _>>()?;
    with_workers(
        replicas,
        |replica, job| replica.run(job, task, config),
        |workers| {
            let saved_at = Instant::now();
            let mut training = Training {
                task,
                config,
                folder,
                devices,
                workers,
                context,
                optimiser,
                progress,
                unread: Vec::new(),
                saved_at,
                has_stepped: false,
                has_validated: false,
            };
            training.progress.history.iter().for_each(|epoch| training.report(epoch));
            while !training.is_over() {
                model = training.epoch(model)?;
            }
            training.say_why_it_stops();
            let Progress { best, history, .. } = training.progress;
            let best = best.map_or(0, |best| best.epoch);
            Ok(Trained { model: model.valid(), best, history })
        },
    )
}

/// The start of a training, or of its continuation.
struct StartingPoint<M> {
    model: M,
    optimiser: ModuleOptimizer,
    progress: Progress,
}

/// The restored network, or else a new one.
fn begin<T: TrainingTask>(
    task: &T,
    folder: &mut StateFolder,
    device: &Device,
    context: &StageContext<'_>,
) -> Result<StartingPoint<T::Model>, StageError> {
    device.seed(random_stream(context.seed, RandomUse::Weights, 0).bits());
    let (model, optimiser) = (number_parameters(task.init_model(device, |text| context.log(text))?), adam(device));
    let Some(Saved { weights, optimiser: left, progress }) = folder.restore() else {
        return Ok(StartingPoint { model, optimiser, progress: Progress::new() });
    };
    context.log(format!("continues in epoch {} after step {}", progress.epoch, progress.step));
    let architecture = model.architecture();
    let unlike = |message: String| StageError::mismatch(format!("the state of an earlier attempt {message}"));
    let model = load_state_dict(model, architecture, weights).map_err(|error| unlike(error.to_string()))?;
    let optimiser = optimiser.from_bytes(left).map_err(|error| unlike(error.to_string()))?;
    Ok(StartingPoint { model, optimiser, progress })
}

struct Training<'a, T: TrainingTask> {
    task: &'a T,
    config: &'a TrainingConfig,
    folder: &'a mut StateFolder,
    devices: Devices,
    workers: &'a mut DeviceWorkers<ReplicaJob, PassOutput>,
    context: &'a StageContext<'a>,
    optimiser: ModuleOptimizer,
    progress: Progress,
    /// Losses of steps that are still on the device.
    unread: Vec<Tensor<1>>,
    saved_at: Instant,
    /// Whether this process has taken a step.
    has_stepped: bool,
    /// Whether this process has validated.
    has_validated: bool,
}

impl<T: TrainingTask> Training<'_, T> {
    /// Whether there is nothing left to do.
    fn is_over(&self) -> bool {
        let Progress { epoch, best, .. } = &self.progress;
        let since_best = best.as_ref().map_or(0, |best| epoch - 1 - best.epoch);
        *epoch > self.config.epochs || self.config.early_stopping.is_some_and(|patience| since_best >= patience)
    }

    /// The rest of the current epoch, and the validation after it.
    fn epoch(&mut self, model: T::Model) -> Result<T::Model, StageError> {
        let TrainingConfig { side, batch, accumulation, .. } = *self.config;
        let (task, seed, number) = (self.task, self.context.seed, self.progress.epoch);
        let order = epoch_order(seed, number, &task.data().repeats, batch * accumulation);
        let views = random_stream(seed, RandomUse::Views, number);
        let view_of = |position: usize| task.view(order[position], &mut views.split(position as u64));
        let first_position = self.progress.step * batch * accumulation;
        let batches = Batches { pool: &task.data().pool, side, size: batch, threads: self.context.threads };
        let model = self.config.with_freezing(model, number);
        let since = Instant::now();
        let model = batches.load(first_position..order.len(), view_of, |loader| {
            let model = self.steps(model, &order, loader)?;
            let share = loader.waited().as_secs_f64() / since.elapsed().as_secs_f64();
            self.context.metric_at("share_waiting_for_data", share, u64::from(number));
            Ok::<_, StageError>(model)
        })?;
        match self.end_epoch(&model) {
            Err(StageError::Interrupted) => self.save(&model).and(Err(StageError::Interrupted)),
            ended => ended,
        }?;
        self.save(&model)?;
        Ok(model)
    }

    fn steps(
        &mut self,
        mut model: T::Model,
        order: &[usize],
        loader: &mut Loader<'_, Batch>,
    ) -> Result<T::Model, StageError> {
        let per_step = self.config.batch * self.config.accumulation;
        let (rate, per_epoch) = (self.config.schedule.rate(self.progress.epoch), (order.len() / per_step) as u64);
        let total = u64::from(self.config.epochs) * per_epoch;
        loop {
            let done = u64::from(self.progress.epoch - 1) * per_epoch + self.progress.step as u64;
            self.context.progress(done, total, "steps");
            let microbatches: Vec<Microbatch> =
                loader.take(self.config.accumulation).map(|batch| self.microbatch(order, batch)).collect();
            if microbatches.is_empty() {
                self.read_losses()?;
                return Ok(model);
            }
            let is_first = !std::mem::replace(&mut self.has_stepped, true);
            let first = if is_first { self.tuning("train", &model)? } else { None };
            let epoch = self.progress.epoch;
            let step = Step::new(self.task, self.config, &self.devices, self.workers, &model, epoch);
            let StepOutput { mut gradients, losses, statistics } = step.run(microbatches);
            self.unread.extend(losses);
            // Gradients may have come from other devices.
            flush(self.devices.first());
            clip_gradient_norm(&model, &mut gradients, self.config.clip_norm);
            model = self.optimiser.step(rate, model, gradients);
            model = statistics.into_iter().fold(model, |model, statistics| statistics.apply_to(model));
            flush(self.devices.first());
            self.progress.step += 1;
            if first.is_some() || self.unread.len() >= LOSSES_READ_AT_ONCE {
                self.read_losses()?;
            }
            // All its kernels have been there, as the losses could be read.
            first.into_iter().for_each(Tuning::finish);
            if let ControlFlow::Break(()) = self.save_if_due(&model)? {
                return Err(StageError::Interrupted);
            }
        }
    }

    /// The first steps of this network in this phase.
    fn tuning(&self, phase: &str, model: &T::Model) -> Result<Option<Tuning>, StageError> {
        let TrainingConfig { side, batch, precision, .. } = self.config;
        self.context.tuning(&format!("{phase} {} {side} {batch} {}", model.architecture(), precision.name()))
    }

    fn microbatch(&self, order: &[usize], batch: Batch) -> Microbatch {
        let random = random_stream(self.context.seed, RandomUse::Dropout, self.progress.epoch);
        let random = random.split(batch.positions.start as u64);
        Microbatch { bytes: batch.bytes, examples: order[batch.positions].to_vec(), random }
    }

    /// Adds up the losses that are still on the device.
    fn read_losses(&mut self) -> Result<(), StageError> {
        if self.unread.is_empty() {
            return Ok(());
        }
        let losses = Tensor::cat(std::mem::take(&mut self.unread), 0).into_data();
        let parts = if self.task.loss_is_mean() { self.config.accumulation } else { 1 };
        let share = 1.0 / parts as f64;
        for loss in losses.iter::<f64>() {
            if !loss.is_finite() || loss > LARGEST_LOSS * share {
                let Progress { epoch, step, .. } = self.progress;
                let what =
                    if loss.is_nan() { "is not a number any more".to_owned() } else { format!("grew to {loss}") };
                let message = format!("the loss {what} in epoch {epoch}, not later than step {step}");
                return Err(StageError::mismatch(message).with_help(DIVERGED_HELP));
            }
            self.progress.loss_sum += loss;
        }
        Ok(())
    }

    /// Saves the state if it is time to; breaks, after saving, if the stage should stop.
    fn save_if_due(&mut self, model: &T::Model) -> Result<ControlFlow<()>, StageError> {
        let stop = self.context.should_stop();
        if stop || self.saved_at.elapsed().as_secs_f64() >= self.config.save_every {
            self.save(model)?;
        }
        Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn save(&mut self, model: &T::Model) -> Result<(), StageError> {
        self.read_losses()?;
        let weights = state_dict(model, model.architecture());
        let optimiser = self.optimiser.into_bytes();
        let optimiser = optimiser.map_err(|error| StageError::mismatch(format!("the optimiser's state: {error}")))?;
        self.folder.save(&Saved { weights, optimiser, progress: self.progress.clone() })?;
        self.saved_at = Instant::now();
        Ok(())
    }

    /// Ends the epoch: validates the network, and keeps its checkpoint if it is the best.
    fn end_epoch(&mut self, model: &T::Model) -> Result<(), StageError> {
        let Progress { epoch: number, step, loss_sum, .. } = self.progress;
        let model = model.valid();
        let is_first = !std::mem::replace(&mut self.has_validated, true);
        let first = if is_first { self.tuning("validate", &model)? } else { None };
        let Validation { monitored, figures } =
            self.task.validate(&model, &self.devices.first().clone().inner(), self.context)?;
        first.into_iter().for_each(Tuning::finish);
        if !monitored.is_finite() {
            let message = format!("after epoch {number} the network's answers are not numbers any more");
            return Err(StageError::mismatch(message).with_help(DIVERGED_HELP));
        }
        let (rate, loss) = (self.config.schedule.rate(number), loss_sum / step as f64);
        let epoch = Epoch { number, rate, loss, monitored, figures };
        self.report(&epoch);
        self.context.log(self.line(&epoch));
        if self.progress.best.as_ref().is_none_or(|best| monitored < best.monitored) {
            let path = self.folder.best(number);
            self.task.save(&model, &path)?;
            let digest = Digest::of(&std::fs::read(&path).map_err(StageError::io(&path))?);
            self.progress.best = Some(Best { epoch: number, monitored, digest });
        }
        self.progress.history.push(epoch);
        self.progress = Progress { epoch: number + 1, step: 0, loss_sum: 0.0, ..self.progress.clone() };
        Ok(())
    }

    /// Line of the log about an epoch.
    fn line(&self, epoch: &Epoch) -> String {
        let figures = epoch.figures.iter().map(|(name, value)| format!(", {name} {value:.4}"));
        let (number, of, loss) = (epoch.number, self.config.epochs, epoch.loss);
        format!("epoch {number} of {of}: loss {loss:.4}{}", figures.collect::<String>())
    }

    /// Says in the log why a training ended before its last epoch.
    fn say_why_it_stops(&self) {
        let (Some(best), Some(patience)) = (&self.progress.best, self.config.early_stopping) else { return };
        if self.progress.epoch <= self.config.epochs {
            let (last, best) = (self.progress.epoch - 1, best.epoch);
            self.context.log(format!(
                "stopped after epoch {last}: none of the last {patience} epochs was better than epoch {best} (`early_stopping`)"
            ));
        }
    }

    fn report(&self, epoch: &Epoch) {
        let step = u64::from(epoch.number);
        self.context.metric_at("rate", epoch.rate, step);
        self.context.metric_at("loss", epoch.loss, step);
        epoch.figures.iter().for_each(|(name, value)| self.context.metric_at(name, *value, step));
    }
}
