//! `athanor devices`.

use crate::cli::arguments::MachineUse;
use crate::cli::{Exit, machine_use, print};
use crate::run::executor::machine::gpus::{self, GpuId, find_cuda::find_cuda};
use crate::run::executor::resources::Capacity;
use crate::view::devices::{Found, describe};

pub(super) fn devices(use_: &MachineUse) -> Result<u8, Exit> {
    let gpus = gpus::list();
    let (cpus, memory) = (machine_use::cpus(use_), machine_use::memory(use_));
    let chosen = machine_use::chosen(use_, gpus.as_ref().ok())?;
    let capacity = Capacity { cpus: cpus.amount, memory: memory.amount, gpus: chosen, cpu_fallback: false };
    let hidden = std::env::var(gpus::VISIBLE_DEVICES).ok();
    let found = Found { cpus: &cpus.source, memory: &memory.source, gpus: &gpus, visible: hidden.as_deref() };
    let program = std::env::current_exe().map_err(Exit::failed)?;
    let ids: Vec<GpuId> = capacity.gpus.iter().map(|gpu| gpu.id.clone()).collect();
    print(&describe(&capacity, &found, &find_cuda(&program, &ids)))
}
