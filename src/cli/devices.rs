//! `athanor devices`.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use athanor_stages::bench::{Bench, Workload};
use athanor_stages::kinds::train_classifier::Loss;

use crate::bench::warm_apart;
use crate::cli::arguments::DevicesCommand;
use crate::cli::{Exit, UP_TO_DATE, machine_use, print};
use crate::run::executor::machine::gpus::probe::GpuSupport;
use crate::run::executor::machine::gpus::{GpuId, GpuList};
use crate::run::executor::resources::Capacity;
use crate::view::devices::{Found, describe};

pub(super) fn devices(command: &DevicesCommand) -> Result<u8, Exit> {
    let use_ = &command.use_;
    let gpus = machine_use::look(use_)?;
    let (cpus, memory) = (machine_use::cpus(use_), machine_use::memory(use_));
    let chosen = machine_use::chosen(use_, &gpus)?;
    let capacity = Capacity { cpus: cpus.amount, memory: memory.amount, gpus: chosen, cpu_fallback: false };
    let found = Found { cpus: &cpus.source, memory: &memory.source, gpus: &gpus.list, visible: gpus.shown.as_deref() };
    let program = std::env::current_exe().map_err(Exit::failed)?;
    let ids: Vec<GpuId> = capacity.gpus.iter().map(|gpu| gpu.id.clone()).collect();
    let support = GpuSupport::of(&program, &ids);
    if command.warm.is_empty() {
        return print(&describe(&capacity, &found, &support));
    }
    if let Some(reason) = support.refusal() {
        return Err(Exit::failed(format!("this program can use no GPU: {reason}")));
    }
    if ids.is_empty() {
        return Err(Exit::failed("no GPU is given to the run, and only GPUs have kernels that are compiled"));
    }
    for gpu in one_of_each_model(&ids, gpus.list.as_ref().ok()) {
        warm(command, &program, gpu, cpus.amount as usize)?;
    }
    Ok(UP_TO_DATE)
}

/// Compiles and tunes kernels for a GPU, one network after the other: one thread of a process compiles, and networks share kernels.
fn warm(command: &DevicesCommand, program: &Path, gpu: &GpuId, threads: usize) -> Result<(), Exit> {
    let DevicesCommand { size, batch, precision, .. } = *command;
    for arch in &command.warm {
        for (work, name) in [(Workload::Train, "training"), (Workload::Predict, "prediction")] {
            let since = Instant::now();
            let bench = Bench { work, arch: *arch, size, batch, precision, loss: Loss::default(), threads, steps: 1 };
            warm_apart(program, &bench, gpu).map_err(Exit::failed)?;
            let (precision, seconds) = (precision.name(), since.elapsed().as_secs_f64());
            let line = format!("GPU {gpu}: {name} of {arch} at {size} px, batch {batch}, {precision}: {seconds:.1} s");
            // Kernels are kept whether somebody reads of it or not.
            let _ = writeln!(std::io::stdout(), "{line}");
        }
    }
    Ok(())
}

/// The first GPU of each model, as kernels are kept for models; each GPU where models are not known.
fn one_of_each_model<'i>(ids: &'i [GpuId], list: Option<&GpuList>) -> Vec<&'i GpuId> {
    let mut models = Vec::new();
    let mut chosen = Vec::new();
    for id in ids {
        let info = list.and_then(|list| list.gpus.iter().find(|info| info.is_called(id)));
        let model = info.map(|info| (&info.name, info.memory));
        if model.is_none() || !models.contains(&model) {
            chosen.push(id);
        }
        models.push(model);
    }
    chosen
}
