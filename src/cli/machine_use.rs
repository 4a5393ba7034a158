//! Resources that a command may use: as its options say, else as they are found.

use std::io::Write;
use std::path::Path;

use crate::cli::Exit;
use crate::cli::arguments::MachineUse;
use crate::run::executor::machine::gpus::{self, GpuDevice, GpuList};
use crate::run::executor::machine::{self, Available, Source};
use crate::run::executor::resources::Capacity;
use crate::settings::OnNoGpu;
use crate::view::devices::busy;

/// Resources that a run may use. GPUs are looked for only if it `needs_gpus`: asking the driver takes longer than most runs that
/// need none.
pub(super) fn capacity(use_: &MachineUse, needs_gpus: bool, on_no_gpu: OnNoGpu) -> Result<Capacity, Exit> {
    let mut gpus = Vec::new();
    if needs_gpus {
        let list = gpus::list();
        gpus = chosen(use_, list.as_ref().ok())?;
        for warning in list.iter().flat_map(|list| busy(&gpus, list)) {
            // A terminal that is gone needs no warning.
            let _ = writeln!(std::io::stderr(), "{warning}");
        }
    }
    let cpu_fallback = on_no_gpu == OnNoGpu::Cpu;
    Ok(Capacity { cpus: cpus(use_).amount, memory: memory(use_).amount, gpus, cpu_fallback })
}

/// The GPUs that a run may use, of those that the driver lists.
pub(super) fn chosen(use_: &MachineUse, list: Option<&GpuList>) -> Result<Vec<GpuDevice>, Exit> {
    let choices = use_.gpus.as_ref().map(|gpus| gpus.0.as_slice());
    gpus::choose(list, variable(gpus::VISIBLE_DEVICES).as_deref(), choices)
        .map_err(|error| Exit::wrong(format!("error: {error}")))
}

/// The CPUs that a run may use.
pub(super) fn cpus(use_: &MachineUse) -> Available<u32> {
    let given = use_.cpus.map(|amount| Available { amount, source: Source::Option("--cpus") });
    given.unwrap_or_else(|| machine::cpus(&variable))
}

/// The bytes of memory that a run may use.
pub(super) fn memory(use_: &MachineUse) -> Available<u64> {
    let given = use_.memory.map(|size| Available { amount: size.bytes(), source: Source::Option("--memory") });
    given.unwrap_or_else(|| machine::memory(Path::new("/"), &variable))
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
