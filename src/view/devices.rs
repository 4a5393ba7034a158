//! Resources that a run would use, as text.

use athanor_stages::nn::devices::cuda::Cuda;

use crate::escape::escape;
use crate::run::executor::machine::Source;
use crate::run::executor::machine::gpus::probe::GpuSupport;
use crate::run::executor::machine::gpus::{self, GpuDevice, GpuInfo, GpuList};
use crate::run::executor::resources::Capacity;
use crate::view::text::{bytes, count, table};

/// Facts about the machine.
pub(crate) struct Found<'f> {
    /// Origin of the number of CPUs.
    pub(crate) cpus: &'f Source,
    /// Origin of the amount of memory.
    pub(crate) memory: &'f Source,
    /// GPUs that the driver lists, or the reason why it does not.
    pub(crate) gpus: &'f Result<GpuList, String>,
    /// Value of `CUDA_VISIBLE_DEVICES`, if it is set.
    pub(crate) visible: Option<&'f str>,
}

/// CPUs, memory and GPUs that a run may give to stages, and whether this program can train on such GPUs itself.
/// `support` is what the program finds when it looks by itself.
pub(crate) fn describe(capacity: &Capacity, found: &Found<'_>, support: &GpuSupport) -> String {
    let mut text = format!("CPUs      {}{}\n", capacity.cpus, origin(found.cpus));
    text += &format!("memory    {}{}\n", bytes(capacity.memory), origin(found.memory));
    let list = found.gpus.as_ref().ok();
    let rows: Vec<Vec<String>> = capacity.gpus.iter().map(|gpu| row(gpu, list)).collect();
    match (found.gpus, rows.is_empty()) {
        (Err(reason), true) => text += &format!("GPUs      none: {reason}\n"),
        (Ok(list), true) => text += &format!("GPUs      none{}\n", hidden(list, found.visible)),
        (_, false) => {}
    }
    text += &match (support, support.refusal()) {
        (_, Some(reason)) => format!("training  on the CPU: {reason}\n"),
        (GpuSupport::Cuda(Ok(Cuda { driver, compiler, .. })), _) if !rows.is_empty() => {
            format!(
                "training  on a stage's GPUs (CUDA: driver {driver}, compiler {compiler}); without any, on the CPU\n"
            )
        }
        (GpuSupport::Vulkan(_), _) => "training  on a stage's GPUs (Vulkan); without any, on the CPU\n".to_owned(),
        _ => "training  on the CPU, as no GPU is given to the run\n".to_owned(),
    };
    if !rows.is_empty() {
        text += &format!("\n{}", table(&["GPU", "MEMORY", "NAME", "UUID", "COMPUTE CAPABILITY"], &rows));
    }
    text
}

fn row(gpu: &GpuDevice, list: Option<&GpuList>) -> Vec<String> {
    let memory = gpu.memory.map_or("unknown".to_owned(), bytes);
    let info = list.and_then(|list| info(gpu, list));
    let Some(info) = info else {
        return vec![gpu.id.to_string(), memory, "as given by --gpus".to_owned(), String::new(), String::new()];
    };
    let capability = info.compute_capability.map_or(String::new(), |(major, minor)| format!("{major}.{minor}"));
    vec![gpu.id.to_string(), memory, escape(&info.name).into_owned(), escape(&info.uuid).into_owned(), capability]
}

fn info<'l>(gpu: &GpuDevice, list: &'l GpuList) -> Option<&'l GpuInfo> {
    list.gpus.iter().find(|info| info.is_called(&gpu.id))
}

/// Why a run has none of the GPUs that are there.
fn hidden(list: &GpuList, variable: Option<&str>) -> String {
    match variable {
        Some(variable) if !list.gpus.is_empty() && gpus::visible(list, Some(variable)).is_empty() => {
            let gpus = count(list.gpus.len(), "GPU");
            format!(": {}=`{}` hides {gpus}", gpus::VISIBLE_DEVICES, escape(variable))
        }
        _ => String::new(),
    }
}

/// Warnings of GPUs that other processes compute on.
pub(crate) fn busy(gpus: &[GpuDevice], list: &GpuList) -> Vec<String> {
    let warning = |gpu: &GpuDevice| {
        let info = info(gpu, list).filter(|info| !info.processes.is_empty())?;
        let users: Vec<String> = info.processes.iter().map(|process| in_words(*process)).collect();
        let (id, name, users) = (&gpu.id, escape(&info.name), users.join(", "));
        Some(format!(
            "warning: the GPU {id} ({name}) is in use by {users}: stages share its memory and time with that; `--gpus` names others"
        ))
    };
    gpus.iter().filter_map(warning).collect()
}

/// A process and the program it runs, where that is known.
fn in_words(process: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    match name.trim() {
        "" => format!("process {process}"),
        name => format!("process {process} ({})", escape(name)),
    }
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
    use athanor_stages::nn::devices::GpuApi;
    use athanor_stages::nn::devices::cuda::{NoCuda, Version};
    use athanor_stages::nn::devices::vulkan::{NoVulkan, Vulkan};

    use super::*;
    use crate::gpu::GpuId;

    fn list() -> GpuList {
        let gpu = GpuInfo {
            api: GpuApi::Cuda,
            index: 0,
            uuid: "GPU-5cb1".to_owned(),
            slice: None,
            name: "NVIDIA H100".to_owned(),
            memory: Some(80 << 30),
            compute_capability: Some((9, 0)),
            processes: vec![u32::MAX],
        };
        GpuList { gpus: vec![gpu], driver: None }
    }

    fn device() -> GpuDevice {
        GpuDevice { id: GpuId::Index(0), memory: Some(80 << 30), is_busy: true }
    }

    fn described(gpus: Vec<GpuDevice>, visible: Option<&str>, cuda: Result<Cuda, NoCuda>) -> String {
        let capacity = Capacity { cpus: 16, memory: 128 << 30, gpus, cpu_fallback: false };
        let gpus = Ok(list());
        let found = Found { cpus: &Source::Machine, memory: &Source::Machine, gpus: &gpus, visible };
        describe(&capacity, &found, &GpuSupport::Cuda(cuda))
    }

    #[test]
    fn a_busy_gpu_is_warned_of() {
        assert_eq!(
            busy(&[device()], &list()),
            [
                "warning: the GPU 0 (NVIDIA H100) is in use by process 4294967295: stages share its memory and time with that; \
              `--gpus` names others"
            ]
        );
        assert_eq!(busy(&[], &list()), [""; 0]);
    }

    #[test]
    fn it_is_said_who_set_a_limit() {
        let capacity = Capacity { cpus: 4, memory: 512 << 20, gpus: Vec::new(), cpu_fallback: false };
        let (cpus, memory) = (Source::Slurm("SLURM_CPUS_PER_TASK"), Source::ControlGroup("/sys/fs/cgroup/job".into()));
        let found = Found { cpus: &cpus, memory: &memory, gpus: &Ok(GpuList::default()), visible: None };
        insta::assert_snapshot!(describe(&capacity, &found, &GpuSupport::Cuda(Err(NoCuda::NotBuilt))), @r"
        CPUs      4 (given by Slurm, SLURM_CPUS_PER_TASK)
        memory    512.0 MiB (limit of the control group `/sys/fs/cgroup/job`)
        GPUs      none
        training  on the CPU: this program was built without CUDA; build it with `cargo install --path . --features cuda`
        ");
    }

    #[test]
    fn gpus_of_vulkan_are_shown_with_their_drivers() {
        let gpu = GpuInfo {
            api: GpuApi::Vulkan,
            name: "Arc A770, Mesa 24.1.1".to_owned(),
            uuid: String::new(),
            compute_capability: None,
            ..list().gpus.remove(0)
        };
        let device = GpuDevice { id: gpu.id(), memory: Some(16 << 30), is_busy: false };
        let capacity = Capacity { cpus: 16, memory: 128 << 30, gpus: vec![device], cpu_fallback: false };
        let gpus = Ok(GpuList { gpus: vec![gpu], driver: None });
        let found = Found { cpus: &Source::Machine, memory: &Source::Machine, gpus: &gpus, visible: None };
        let support = GpuSupport::Vulkan(Ok(Vulkan { gpus: Vec::new() }));
        insta::assert_snapshot!(describe(&capacity, &found, &support), @r"
        CPUs      16
        memory    128.0 GiB
        training  on a stage's GPUs (Vulkan); without any, on the CPU

        GPU      MEMORY    NAME                   UUID  COMPUTE CAPABILITY
        vulkan0  16.0 GiB  Arc A770, Mesa 24.1.1
        ");
        let lacks = NoVulkan::Lacks { gpu: "Arc A770".to_owned(), driver: "Mesa 18.0".to_owned() };
        let text = describe(&capacity, &found, &GpuSupport::Vulkan(Err(lacks)));
        assert!(text.contains("training  on the CPU: the driver of the GPU Arc A770 (Mesa 18.0) lacks"), "{text}");
    }

    #[test]
    fn gpus_are_shown_with_what_training_makes_of_them() {
        let version = Version { major: 13, minor: 0 };
        let cuda = Cuda { gpus: 1, driver: version, compiler: version };
        insta::assert_snapshot!(described(vec![device()], None, Ok(cuda)), @r"
        CPUs      16
        memory    128.0 GiB
        training  on a stage's GPUs (CUDA: driver 13.0, compiler 13.0); without any, on the CPU

        GPU  MEMORY    NAME         UUID      COMPUTE CAPABILITY
        0    80.0 GiB  NVIDIA H100  GPU-5cb1  9.0
        ");
        insta::assert_snapshot!(described(vec![device()], None, Err(NoCuda::NotBuilt)), @r"
        CPUs      16
        memory    128.0 GiB
        training  on the CPU: this program was built without CUDA; build it with `cargo install --path . --features cuda`

        GPU  MEMORY    NAME         UUID      COMPUTE CAPABILITY
        0    80.0 GiB  NVIDIA H100  GPU-5cb1  9.0
        ");
        insta::assert_snapshot!(described(Vec::new(), Some(""), Ok(cuda)), @r"
        CPUs      16
        memory    128.0 GiB
        GPUs      none: CUDA_VISIBLE_DEVICES=`` hides 1 GPU
        training  on the CPU, as no GPU is given to the run
        ");
    }
}
