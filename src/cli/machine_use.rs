//! Resources that a command may use: as its options say, else as they are found.

use std::io::Write;
use std::path::Path;

use crate::cli::Exit;
use crate::cli::arguments::MachineUse;
use crate::run::executor::machine::gpus::{self, GpuChoice, GpuDevice, MachineGpus};
use crate::run::executor::machine::{self, Available, Source};
use crate::run::executor::resources::Capacity;
use crate::settings::OnNoGpu;
use crate::view::devices::busy;

/// Resources that a run may use. GPUs are looked for only if it `needs_gpus`: asking the driver takes longer than most runs that
/// need none.
pub(super) fn capacity(use_: &MachineUse, needs_gpus: bool, on_no_gpu: OnNoGpu) -> Result<Capacity, Exit> {
    let mut gpus = Vec::new();
    if needs_gpus {
        let found = look(use_)?;
        gpus = chosen(use_, &found)?;
        for warning in found.list.iter().flat_map(|list| busy(&gpus, list)) {
            // A terminal that is gone needs no warning.
            let _ = writeln!(std::io::stderr(), "{warning}");
        }
    }
    let cpu_fallback = on_no_gpu == OnNoGpu::Cpu;
    Ok(Capacity { cpus: cpus(use_).amount, memory: memory(use_).amount, gpus, cpu_fallback })
}

/// The GPUs of the machine.
pub(super) fn look(use_: &MachineUse) -> Result<MachineGpus, Exit> {
    let program = std::env::current_exe().map_err(Exit::failed)?;
    Ok(gpus::look(&program, choices(use_)))
}

/// The GPUs that a run may use, of those that were found.
pub(super) fn chosen(use_: &MachineUse, found: &MachineGpus) -> Result<Vec<GpuDevice>, Exit> {
    gpus::choose(found.list.as_ref().ok(), found.shown.as_deref(), choices(use_))
        .map_err(|error| Exit::wrong(format!("error: {error}")))
}

fn choices(use_: &MachineUse) -> Option<&[GpuChoice]> {
    use_.gpus.as_ref().map(|gpus| gpus.0.as_slice())
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
