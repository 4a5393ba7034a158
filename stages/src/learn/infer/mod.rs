//! Inference: outputs of trained networks, in batches, shared out over devices, stored as they are made.

mod partial_outputs;

use std::time::Instant;

use athanor_nn::devices::{Devices, Tuning, flush, with_workers};
use athanor_nn::models::Architecture;
use burn::module::Module;
use burn::prelude::*;

use super::data::view::View;
use super::data::{Batch, Batches, ImagePool};
use super::precision::Precision;
use super::preprocessing::Preprocessing;
use crate::context::StageContext;
use crate::error::StageError;
use crate::words::counted;
use partial_outputs::PartialOutputs;

/// Inference of a network on images of a pool.
pub(crate) struct InferenceJob<'a> {
    /// The images.
    pub pool: &'a ImagePool,
    /// Architecture of the network.
    pub architecture: Architecture,
    /// Preprocessing of the images.
    pub preprocessing: &'a Preprocessing,
    /// Number of images.
    pub count: usize,
    /// Images in a batch.
    pub batch: usize,
    /// Numeric precision of the network.
    pub precision: Precision,
    /// Number of outputs for an image.
    pub width: usize,
}

impl InferenceJob<'_> {
    /// The outputs `[image, width]`, image by image: `view_of` gives the image at a position and the view of it,
    /// `infer` the outputs of a network for images `[batch, channel, side, side]`, of which the first has that position.
    ///
    /// Each batch goes to one of `models`, which are the same network on each of `devices`. Outputs of an earlier
    /// attempt at the same work are not computed again.
    ///
    /// # Errors
    /// The wish to stop; outputs that cannot be stored; a device without memory for a batch.
    pub(crate) fn run<M: Module>(
        &self,
        models: Vec<M>,
        devices: &Devices,
        view_of: impl Fn(usize) -> (usize, View) + Sync,
        infer: impl Fn(&M, Tensor<4>, usize) -> Vec<f32> + Sync,
        context: &StageContext<'_>,
    ) -> Result<Vec<f32>, StageError> {
        devices.catch_out_of_memory(|| self.run_batches(models, devices, view_of, infer, context)).unwrap_or_else(
            |out_of_memory| {
                let side = self.preprocessing.side;
                let what = format!("batches of {} of {side} x {side} pixels", counted(self.batch, "image"));
                let smaller = (self.batch / 2).max(1);
                Err(StageError::DeviceMemory {
                    message: out_of_memory.describe(&what),
                    help: format!("Choose a smaller `batch`, such as {smaller}."),
                    retry: false,
                })
            },
        )
    }

    fn run_batches<M: Module>(
        &self,
        models: Vec<M>,
        devices: &Devices,
        view_of: impl Fn(usize) -> (usize, View) + Sync,
        infer: impl Fn(&M, Tensor<4>, usize) -> Vec<f32> + Sync,
        context: &StageContext<'_>,
    ) -> Result<Vec<f32>, StageError> {
        let mut partial = PartialOutputs::open(&context.unfinished()?, self.width)?;
        if partial.rows() > 0 {
            context.log(format!("continues after {} of {}", partial.rows(), counted(self.count, "image")));
        }
        let side = self.preprocessing.side;
        let batches = Batches { pool: self.pool, side, size: self.batch, threads: context.threads };
        // Networks were just loaded, in this thread.
        devices.iter().for_each(flush);
        let say = |(model, device): &mut (M, Device), batch: Batch| {
            flush(device);
            let images = self.preprocessing.normalisation.images(batch.bytes, batch.positions.len(), side, device);
            infer(model, self.precision.cast(images), batch.positions.start)
        };
        let work =
            format!("infer {} {side} {} {} {}", self.architecture, self.batch, self.precision.name(), self.width);
        let mut first = context.tuning(&work)?;
        let mut pairs = models.into_iter().zip(devices.iter().cloned());
        let Some(mut own) = pairs.next() else { return Ok(Vec::new()) };
        with_workers(pairs.collect(), say, |workers| {
            batches.load(partial.rows()..self.count, view_of, |loader| {
                let since = Instant::now();
                loop {
                    context.progress(partial.rows() as u64, self.count as u64, "images");
                    if context.should_stop() {
                        return Err(StageError::Interrupted);
                    }
                    devices.simulate_batch(self.batch.min(self.count - partial.rows()));
                    let outputs = workers.share(loader.take(workers.width()), |batch| say(&mut own, batch));
                    if outputs.is_empty() {
                        let share = loader.waited().as_secs_f64() / since.elapsed().as_secs_f64();
                        context.metric("share_waiting_for_data", share);
                        return Ok(());
                    }
                    outputs.iter().try_for_each(|outputs| partial.add(outputs))?;
                    first.take().into_iter().for_each(Tuning::finish);
                }
            })
        })?;
        Ok(partial.into_values())
    }
}
