//! A training stage: trains on the devices there are, then writes the results.

use std::path::Path;

use super::config::TrainingConfig;
use super::oom_split::Split;
use super::state::{Epoch, StateFolder};
use super::task::TrainingTask;
use super::trainer::{Trained, train};
use crate::artifact::table::TableOutput;
use crate::context::StageContext;
use crate::error::StageError;
use crate::learn::thread_pool::with_thread_pool;
use crate::words::counted;
use athanor_nn::models::Model;

/// Paths of the outputs.
pub(crate) struct OutputPaths<'a> {
    /// The network after its best epoch.
    pub checkpoint: &'a Path,
    /// The network after the last epoch.
    pub last: &'a Path,
    /// A row an epoch.
    pub metrics: &'a TableOutput,
}

/// Trains and writes the results.
pub(crate) fn run_training<T: TrainingTask>(
    task: &T,
    config: &TrainingConfig,
    results: &OutputPaths<'_>,
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    let devices = context.devices(config.precision)?;
    let folder = context.unfinished()?;
    let split = Split::load(&folder);
    let config_that_fits = split.apply(config);
    if config_that_fits.batch != config.batch {
        let TrainingConfig { batch, accumulation, .. } = config_that_fits;
        context.log(format!(
            "{} of {} a step, as larger ones did not fit into memory",
            counted(accumulation, "batch"),
            counted(batch, "image")
        ));
    }
    let trained = devices.catch_out_of_memory(|| {
        with_thread_pool(context.threads, || {
            let mut folder = StateFolder::new(folder.clone());
            let trained = train(task, &config_that_fits, &mut folder, &devices, context)?;
            context.log(format!("{} was trained on {devices}", trained.model.architecture()));
            write(task, trained, &folder, results, context)
        })
    });
    trained.unwrap_or_else(|out_of_memory| Err(config.out_of_memory_error(out_of_memory, split, &folder)))
}

fn write<T: TrainingTask>(
    task: &T,
    trained: Trained<T::Model>,
    folder: &StateFolder,
    results: &OutputPaths<'_>,
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    let Trained { model, best, history } = trained;
    let kept = folder.best(best);
    std::fs::copy(&kept, results.checkpoint).map_err(StageError::io(&kept))?;
    task.save(&model, results.last)?;
    context.metric("best_epoch", f64::from(best));
    write_history(results.metrics, &history)
}

/// A row an epoch: its number, its rate, its loss, and the task's figures.
fn write_history(output: &TableOutput, history: &[Epoch]) -> Result<(), StageError> {
    let figures = history.first().map(|epoch| epoch.figures.as_slice()).unwrap_or_default();
    let names = figures.iter().map(|(name, _)| name.as_str());
    let header: Vec<&str> = ["epoch", "rate", "loss"].into_iter().chain(names).collect();
    let rows = history.iter().map(|epoch| {
        let Epoch { number, rate, loss, figures, .. } = epoch;
        let figures = figures.iter().map(|(_, value)| value.to_string());
        [number.to_string(), rate.to_string(), loss.to_string()].into_iter().chain(figures).collect::<Vec<_>>()
    });
    output.write(&header, rows)
}
