//! The loop of epochs and steps.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use athanor_cache::Digest;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams, ModuleOptimizer};
use burn::prelude::*;

use super::lesson::{Learned, Lesson};
use super::numbering::number_parameters;
use super::plan::Plan;
use super::replica::{Job, Parameters, Replica};
use super::state::{Best, Epoch, Saved, Standing, StateFolder};
use crate::context::StageContext;
use crate::error::StageError;
use crate::learn::data::loader::Loader;
use crate::learn::data::sampling::epoch_order;
use crate::learn::data::view::View;
use crate::learn::data::{Batch, Batches, ImagePool, Normalisation, Use, random};
use athanor_nn::devices::{Crew, Devices, with_crew};
use athanor_nn::forward_context::Statistics;
use athanor_nn::models::Model;
use athanor_nn::optim::{adam, clip_gradient_norm};
use athanor_nn::weights::{load_state_dict, state_dict};
use athanor_random::Random;

/// The losses of so many steps are read from the device at once, so that it need not be waited for at every step.
const LOSSES_READ_AT_ONCE: usize = 16;

/// A loss above this grows without end.
const LARGEST_LOSS: f64 = 1e6;

const DIVERGED_HELP: &str = "Choose smaller rates in `schedule`, or a smaller `clip_norm`.";

/// What is learned, and from what.
pub trait Task: Sync {
    /// What learns.
    type Model: Model;

    /// The images.
    fn pool(&self) -> &ImagePool;
    /// How their bytes become numbers.
    fn normalisation(&self) -> &Normalisation;
    /// For each example to learn from, how often an epoch shows it.
    fn repeats(&self) -> &[usize];
    /// The image of an example, and what an epoch shows of it.
    fn see(&self, example: usize, random: &mut Random) -> (usize, View);
    /// A network before training.
    fn fresh(&self, device: &Device) -> Result<Self::Model, StageError>;
    /// The loss `[1]` of these examples, whose images are `[batch, channel, side, side]`.
    fn loss(&self, model: &Self::Model, images: Tensor<4>, examples: &[usize]) -> Tensor<1>;
    /// Figures of a network, by name, and what it is judged by; smaller is better.
    fn validate(
        &self,
        model: &Self::Model,
        device: &Device,
        context: &StageContext<'_>,
    ) -> Result<Validated, StageError>;
    /// Writes a checkpoint.
    fn save(&self, model: &Self::Model, path: &Path) -> Result<(), StageError>;
}

/// How well a network does.
pub struct Validated {
    /// What it is judged by; smaller is better.
    pub judged: f64,
    /// Figures by name.
    pub figures: Vec<(String, f64)>,
}

/// What comes of training.
pub struct Trained<M> {
    /// The network after the last epoch, to be used and not trained.
    pub model: M,
    /// The epoch it was best after.
    pub best: u32,
    /// All epochs.
    pub history: Vec<Epoch>,
}

/// Trains; goes on from the state in `folder` if there is one, and keeps the best network's checkpoint there.
///
/// The batches of a step are shared out over `devices`; what comes of them is put together in their order, so that the
/// number of devices changes nothing.
///
/// # Errors
/// Those of the task; more devices than a step has batches; a loss that is no number, or grows without end; the wish to
/// stop.
pub fn train<T: Task>(
    task: &T,
    plan: &Plan,
    folder: &mut StateFolder,
    devices: &Devices,
    context: &StageContext<'_>,
) -> Result<Trained<T::Model>, StageError> {
    plan.require_work_for(devices.len())?;
    let devices = devices.clone().map(|device| plan.learning(device));
    let device = devices.first().clone();
    let Begun { mut model, optimiser, standing } = begin(task, folder, &device, context)?;
    let replicas = devices.others().iter().map(|device| Replica::new(task, device)).collect::<Result<Vec<_>, _>>()?;
    with_crew(
        replicas,
        |replica, job| replica.learn(job, task, plan),
        |crew| {
            let saved_at = Instant::now();
            let unread = Vec::new();
            let mut training =
                Training { task, plan, folder, devices, crew, context, optimiser, standing, unread, saved_at };
            training.standing.history.iter().for_each(|epoch| training.report(epoch));
            while !training.is_over() {
                model = training.epoch(model)?;
            }
            let Standing { best, history, .. } = training.standing;
            let best = best.map_or(0, |best| best.epoch);
            Ok(Trained { model: model.valid(), best, history })
        },
    )
}

/// A training that has begun, or goes on.
struct Begun<M> {
    model: M,
    optimiser: ModuleOptimizer,
    standing: Standing,
}

/// A network as it was left, or else a fresh one.
fn begin<T: Task>(
    task: &T,
    folder: &mut StateFolder,
    device: &Device,
    context: &StageContext<'_>,
) -> Result<Begun<T::Model>, StageError> {
    device.seed(random(context.seed, Use::Weights, 0).bits());
    let (model, optimiser) = (number_parameters(task.fresh(device)?), adam());
    let Some(Saved { weights, optimiser: left, standing }) = folder.restore() else {
        return Ok(Begun { model, optimiser, standing: Standing::new() });
    };
    context.log(format!("goes on in epoch {} after step {}", standing.epoch, standing.step));
    let architecture = model.architecture();
    let unlike = |message: String| StageError::mismatch(format!("the state of an earlier try {message}"));
    let model = load_state_dict(model, architecture, weights).map_err(|error| unlike(error.to_string()))?;
    let optimiser = optimiser.from_bytes(left).map_err(|error| unlike(error.to_string()))?;
    Ok(Begun { model, optimiser, standing })
}

struct Training<'a, T: Task> {
    task: &'a T,
    plan: &'a Plan,
    folder: &'a mut StateFolder,
    devices: Devices,
    crew: &'a mut Crew<Job, Learned>,
    context: &'a StageContext<'a>,
    optimiser: ModuleOptimizer,
    standing: Standing,
    /// Losses of steps that are still on the device.
    unread: Vec<Tensor<1>>,
    saved_at: Instant,
}

impl<T: Task> Training<'_, T> {
    /// Whether there is nothing left to do.
    fn is_over(&self) -> bool {
        let Standing { epoch, best, .. } = &self.standing;
        let since_best = best.as_ref().map_or(0, |best| epoch - 1 - best.epoch);
        *epoch > self.plan.epochs || self.plan.early_stopping.is_some_and(|patience| since_best >= patience)
    }

    /// The rest of the current epoch, and the judgement after it.
    fn epoch(&mut self, model: T::Model) -> Result<T::Model, StageError> {
        let Plan { side, batch, accumulation, .. } = *self.plan;
        let (task, seed, number) = (self.task, self.context.seed, self.standing.epoch);
        let order = epoch_order(seed, number, task.repeats(), batch * accumulation);
        let views = random(seed, Use::Views, number);
        let see = |position: usize| task.see(order[position], &mut views.split(position as u64));
        let begun = self.standing.step * batch * accumulation;
        let batches = Batches { pool: task.pool(), side, size: batch, threads: self.context.threads };
        let model = self.plan.thawed(model, number);
        let since = Instant::now();
        let model = batches.load(begun..order.len(), see, |loader| {
            let model = self.steps(model, &order, loader)?;
            let share = loader.waited().as_secs_f64() / since.elapsed().as_secs_f64();
            self.context.metric_at("share_waiting_for_data", share, u64::from(number));
            Ok::<_, StageError>(model)
        })?;
        match self.judge(&model) {
            Err(StageError::Interrupted) => self.save(&model).and(Err(StageError::Interrupted)),
            judged => judged,
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
        let per_step = self.plan.batch * self.plan.accumulation;
        let (rate, per_epoch) = (self.plan.schedule.rate(self.standing.epoch), (order.len() / per_step) as u64);
        let total = u64::from(self.plan.epochs) * per_epoch;
        loop {
            let done = u64::from(self.standing.epoch - 1) * per_epoch + self.standing.step as u64;
            self.context.progress(done, total, "steps");
            let lessons: Vec<Lesson> =
                loader.take(self.plan.accumulation).map(|batch| self.lesson(order, batch)).collect();
            if lessons.is_empty() {
                self.read_losses()?;
                return Ok(model);
            }
            let (mut gradients, statistics) = self.learn(&model, lessons);
            clip_gradient_norm(&model, &mut gradients, self.plan.clip_norm);
            model = self.optimiser.step(rate, model, gradients);
            model = statistics.into_iter().fold(model, |model, statistics| statistics.remember_in(model));
            self.standing.step += 1;
            if self.unread.len() >= LOSSES_READ_AT_ONCE {
                self.read_losses()?;
            }
            if let ControlFlow::Break(()) = self.save_if_due(&model)? {
                return Err(StageError::Interrupted);
            }
        }
    }

    fn lesson(&self, order: &[usize], batch: Batch) -> Lesson {
        let random = random(self.context.seed, Use::Dropout, self.standing.epoch);
        let random = random.split(batch.positions.start as u64);
        Lesson { bytes: batch.bytes, examples: order[batch.positions].to_vec(), random }
    }

    /// The gradients of a step, and what its batches' statistics were.
    fn learn(&mut self, model: &T::Model, lessons: Vec<Lesson>) -> (GradientsParams, Vec<Statistics>) {
        let (task, plan, device, epoch) = (self.task, self.plan, self.devices.first(), self.standing.epoch);
        let (mut accumulator, mut statistics) = (GradientsAccumulator::new(), Vec::new());
        let mut lessons = lessons.into_iter();
        let mut moved = true;
        self.devices.simulate(plan.batch);
        while lessons.len() > 0 {
            let places = std::iter::once(device).chain(self.devices.others()).enumerate();
            let jobs = places.zip(lessons.by_ref()).map(|((place, device), lesson)| {
                let parameters = (moved && place > 0).then(|| Parameters::on(model, device));
                Job { lesson, epoch, parameters }
            });
            let round = self.crew.share(jobs, |job| job.lesson.learn(task, plan, model, device));
            for learned in round {
                let learned = learned.on(device, model);
                accumulator.accumulate(model, learned.gradients);
                self.unread.push(learned.loss);
                statistics.push(learned.statistics);
            }
            moved = false;
        }
        (accumulator.grads(), statistics)
    }

    /// Adds up the losses that are still on the device.
    fn read_losses(&mut self) -> Result<(), StageError> {
        if self.unread.is_empty() {
            return Ok(());
        }
        let losses = Tensor::cat(std::mem::take(&mut self.unread), 0).into_data();
        let share = 1.0 / self.plan.accumulation as f64;
        for loss in losses.iter::<f64>() {
            if !loss.is_finite() || loss > LARGEST_LOSS * share {
                let Standing { epoch, step, .. } = self.standing;
                let what =
                    if loss.is_nan() { "is not a number any more".to_owned() } else { format!("grew to {loss}") };
                let message = format!("the loss {what} in epoch {epoch}, not later than step {step}");
                return Err(StageError::mismatch(message).with_help(DIVERGED_HELP));
            }
            self.standing.loss_sum += loss;
        }
        Ok(())
    }

    /// Saves the state if it is time to; breaks, after saving, if the stage should stop.
    fn save_if_due(&mut self, model: &T::Model) -> Result<ControlFlow<()>, StageError> {
        let stop = self.context.should_stop();
        if stop || self.saved_at.elapsed().as_secs_f64() >= self.plan.save_every {
            self.save(model)?;
        }
        Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn save(&mut self, model: &T::Model) -> Result<(), StageError> {
        self.read_losses()?;
        let weights = state_dict(model, model.architecture());
        let optimiser = self.optimiser.into_bytes();
        let optimiser = optimiser.map_err(|error| StageError::mismatch(format!("the optimiser's state: {error}")))?;
        self.folder.save(&Saved { weights, optimiser, standing: self.standing.clone() })?;
        self.saved_at = Instant::now();
        Ok(())
    }

    /// Ends the epoch: judges the network, and keeps its checkpoint if it is the best.
    fn judge(&mut self, model: &T::Model) -> Result<(), StageError> {
        let Standing { epoch: number, step, loss_sum, .. } = self.standing;
        let model = model.valid();
        let Validated { judged, figures } =
            self.task.validate(&model, &self.devices.first().clone().inner(), self.context)?;
        if !judged.is_finite() {
            let message = format!("after epoch {number} the network's answers are not numbers any more");
            return Err(StageError::mismatch(message).with_help(DIVERGED_HELP));
        }
        let (rate, loss) = (self.plan.schedule.rate(number), loss_sum / step as f64);
        let epoch = Epoch { number, rate, loss, judged, figures };
        self.report(&epoch);
        if self.standing.best.as_ref().is_none_or(|best| judged < best.judged) {
            let path = self.folder.best(number);
            self.task.save(&model, &path)?;
            let digest = Digest::of(&std::fs::read(&path).map_err(StageError::io(&path))?);
            self.standing.best = Some(Best { epoch: number, judged, digest });
        }
        self.standing.history.push(epoch);
        self.standing = Standing { epoch: number + 1, step: 0, loss_sum: 0.0, ..self.standing.clone() };
        Ok(())
    }

    fn report(&self, epoch: &Epoch) {
        let step = u64::from(epoch.number);
        self.context.metric_at("rate", epoch.rate, step);
        self.context.metric_at("loss", epoch.loss, step);
        epoch.figures.iter().for_each(|(name, value)| self.context.metric_at(name, *value, step));
    }
}
