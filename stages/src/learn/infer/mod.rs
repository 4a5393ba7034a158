//! What trained networks say of images: in batches, shared out over devices, and kept as it comes.

mod kept;

use std::time::Instant;

use athanor_nn::devices::{Devices, with_crew};
use burn::module::Module;
use burn::prelude::*;

use super::data::view::View;
use super::data::{Batch, Batches, ImagePool};
use super::preparation::Preparation;
use super::train::Precision;
use crate::context::StageContext;
use crate::error::StageError;
use kept::Kept;

/// What is asked of a network.
pub struct Questions<'a> {
    /// Where the images are.
    pub pool: &'a ImagePool,
    /// How they are prepared.
    pub preparation: &'a Preparation,
    /// How many are asked about.
    pub count: usize,
    /// Images in a batch.
    pub batch: usize,
    /// What the network computes in.
    pub precision: Precision,
    /// Numbers in the answer for an image.
    pub width: usize,
}

impl Questions<'_> {
    /// The answers `[image, width]`, image by image: `see` says which image stands at a position and what is seen of it,
    /// `answer` what a network says of images `[batch, channel, side, side]`.
    ///
    /// Each batch goes to one of `models`, which are the same network on each of `devices`. Answers of an earlier try of the
    /// same work are not asked for again.
    ///
    /// # Errors
    /// The wish to stop; answers that cannot be kept; a device without room for a batch.
    pub fn ask<M: Module>(
        &self,
        models: Vec<M>,
        devices: &Devices,
        see: impl Fn(usize) -> (usize, View) + Sync,
        answer: impl Fn(&M, Tensor<4>) -> Vec<f32> + Sync,
        context: &StageContext<'_>,
    ) -> Result<Vec<f32>, StageError> {
        devices.watch(|| self.ask_all(models, devices, see, answer, context)).unwrap_or_else(|out_of_memory| {
            let side = self.preparation.side;
            let what = format!("batches of {} images of {side} x {side} pixels", self.batch);
            let smaller = (self.batch / 2).max(1);
            Err(StageError::DeviceMemory {
                message: out_of_memory.describe(&what),
                help: format!("Choose a smaller `batch`, such as {smaller}."),
                again: false,
            })
        })
    }

    fn ask_all<M: Module>(
        &self,
        models: Vec<M>,
        devices: &Devices,
        see: impl Fn(usize) -> (usize, View) + Sync,
        answer: impl Fn(&M, Tensor<4>) -> Vec<f32> + Sync,
        context: &StageContext<'_>,
    ) -> Result<Vec<f32>, StageError> {
        let mut kept = Kept::open(&context.unfinished()?, self.width)?;
        if kept.rows() > 0 {
            context.log(format!("goes on after {} of {} images", kept.rows(), self.count));
        }
        let side = self.preparation.side;
        let batches = Batches { pool: self.pool, side, size: self.batch, threads: context.threads };
        let say = |(model, device): &mut (M, Device), batch: Batch| {
            let images = self.preparation.normalisation.images(batch.bytes, batch.positions.len(), side, device);
            answer(model, self.precision.of(images))
        };
        let mut pairs = models.into_iter().zip(devices.iter().cloned());
        let Some(mut own) = pairs.next() else { return Ok(Vec::new()) };
        with_crew(pairs.collect(), say, |crew| {
            batches.load(kept.rows()..self.count, see, |loader| {
                let since = Instant::now();
                loop {
                    context.progress(kept.rows() as u64, self.count as u64, "images");
                    if context.should_stop() {
                        return Err(StageError::Interrupted);
                    }
                    devices.simulate(self.batch.min(self.count - kept.rows()));
                    let answers = crew.share(loader.take(crew.width()), |batch| say(&mut own, batch));
                    if answers.is_empty() {
                        let share = loader.waited().as_secs_f64() / since.elapsed().as_secs_f64();
                        context.metric("share_waiting_for_data", share);
                        return Ok(());
                    }
                    answers.iter().try_for_each(|answers| kept.add(answers))?;
                }
            })
        })?;
        Ok(kept.into_values())
    }
}
