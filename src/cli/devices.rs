//! `athanor devices`.

use crate::cli::arguments::MachineUse;
use crate::cli::{Exit, machine_use, print};
use crate::run::executor::machine::gpus::GpuId;
use crate::run::executor::machine::gpus::probe::GpuSupport;
use crate::run::executor::resources::Capacity;
use crate::view::devices::{Found, describe};

pub(super) fn devices(use_: &MachineUse) -> Result<u8, Exit> {
    let gpus = machine_use::look(use_)?;
    let (cpus, memory) = (machine_use::cpus(use_), machine_use::memory(use_));
    let chosen = machine_use::chosen(use_, &gpus)?;
    let capacity = Capacity { cpus: cpus.amount, memory: memory.amount, gpus: chosen, cpu_fallback: false };
    let found = Found { cpus: &cpus.source, memory: &memory.source, gpus: &gpus.list, visible: gpus.shown.as_deref() };
    let program = std::env::current_exe().map_err(Exit::failed)?;
    let ids: Vec<GpuId> = capacity.gpus.iter().map(|gpu| gpu.id.clone()).collect();
    print(&describe(&capacity, &found, &GpuSupport::of(&program, &ids)))
}
