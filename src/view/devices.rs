//! Resources that a run would use, as text.

use athanor_stages::nn::devices::cuda::{Cuda, NoCuda};

use crate::run::executor::machine::{GpuInfo, Source};
use crate::run::executor::resources::Capacity;
use crate::view::text::{bytes, table};

/// Origins of the numbers of CPUs and bytes of memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origins<'o> {
    /// Origin of the number of CPUs.
    pub(crate) cpus: &'o Source,
    /// Origin of the amount of memory.
    pub(crate) memory: &'o Source,
}

/// CPUs, memory and GPUs that a run may give to stages, and whether this program can train on such GPUs itself.
///
/// `found` is the report of the driver's tools, `cuda` what the program finds by itself.
pub(crate) fn describe(
    capacity: &Capacity,
    origins: Origins<'_>,
    found: &Result<Vec<GpuInfo>, String>,
    cuda: &Result<Cuda, NoCuda>,
) -> String {
    let mut text = format!("CPUs      {}{}\n", capacity.cpus, origin(origins.cpus));
    text += &format!("memory    {}{}\n", bytes(capacity.memory), origin(origins.memory));
    let name = |index: u32| {
        let found = found.as_ref().ok()?;
        found.iter().find(|gpu| gpu.device.index == index).map(|gpu| gpu.name.clone())
    };
    let rows = capacity.gpus.iter().map(|gpu| {
        let memory = gpu.memory.map_or("unknown".to_owned(), bytes);
        vec![gpu.index.to_string(), memory, name(gpu.index).unwrap_or_else(|| "as given by --gpus".to_owned())]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    match (found, rows.is_empty()) {
        (Err(reason), true) => text += &format!("GPUs      none: {reason}\n"),
        (Ok(_), true) => text += "GPUs      none\n",
        (_, false) => {}
    }
    text += &match cuda {
        Ok(Cuda { driver, compiler, .. }) if !rows.is_empty() => {
            format!(
                "training  on a stage's GPUs (CUDA: driver {driver}, compiler {compiler}); without any, on the CPU\n"
            )
        }
        Ok(_) => "training  on the CPU, as no GPU is given to the run\n".to_owned(),
        Err(reason) => format!("training  on the CPU: {reason}\n"),
    };
    if !rows.is_empty() {
        text += &format!("\n{}", table(&["GPU", "MEMORY", "NAME"], &rows));
    }
    text
}

/// Origin of a number, in words; empty where it is all that the machine has.
fn origin(source: &Source) -> String {
    match source {
        Source::Machine => String::new(),
        Source::ControlGroup(folder) => format!(" (limit of the control group `{}`)", folder.display()),
        Source::Slurm(variable) => format!(" (given by Slurm, {variable})"),
        Source::Option(option) => format!(" (given by {option})"),
    }
}

#[cfg(test)]
mod tests {
    use athanor_stages::nn::devices::cuda::Version;

    use super::*;
    use crate::run::executor::resources::GpuDevice;

    fn gpu() -> GpuInfo {
        GpuInfo { device: GpuDevice { index: 0, memory: Some(80 << 30) }, name: "NVIDIA H100".to_owned() }
    }

    fn described(gpus: Vec<GpuDevice>, cuda: Result<Cuda, NoCuda>) -> String {
        let capacity = Capacity { cpus: 16, memory: 128 << 30, gpus };
        describe(&capacity, Origins { cpus: &Source::Machine, memory: &Source::Machine }, &Ok(vec![gpu()]), &cuda)
    }

    #[test]
    fn it_is_said_who_set_a_limit() {
        let capacity = Capacity { cpus: 4, memory: 512 << 20, gpus: Vec::new() };
        let cpus = &Source::Slurm("SLURM_CPUS_PER_TASK");
        let memory = &Source::ControlGroup("/sys/fs/cgroup/job".into());
        insta::assert_snapshot!(describe(&capacity, Origins { cpus, memory }, &Ok(Vec::new()), &Err(NoCuda::NotBuilt)), @r"
        CPUs      4 (given by Slurm, SLURM_CPUS_PER_TASK)
        memory    512.0 MiB (limit of the control group `/sys/fs/cgroup/job`)
        GPUs      none
        training  on the CPU: this program was built without CUDA; build it with `cargo install --path . --features cuda`
        ");
    }

    #[test]
    fn gpus_are_shown_with_what_training_makes_of_them() {
        let version = Version { major: 13, minor: 0 };
        let cuda = Cuda { gpus: 1, driver: version, compiler: version };
        insta::assert_snapshot!(described(vec![gpu().device], Ok(cuda)), @r"
        CPUs      16
        memory    128.0 GiB
        training  on a stage's GPUs (CUDA: driver 13.0, compiler 13.0); without any, on the CPU

        GPU  MEMORY    NAME
        0    80.0 GiB  NVIDIA H100
        ");
        insta::assert_snapshot!(described(vec![gpu().device], Err(NoCuda::NotBuilt)), @r"
        CPUs      16
        memory    128.0 GiB
        training  on the CPU: this program was built without CUDA; build it with `cargo install --path . --features cuda`

        GPU  MEMORY    NAME
        0    80.0 GiB  NVIDIA H100
        ");
        insta::assert_snapshot!(described(Vec::new(), Ok(cuda)), @r"
        CPUs      16
        memory    128.0 GiB
        GPUs      none
        training  on the CPU, as no GPU is given to the run
        ");
    }
}
