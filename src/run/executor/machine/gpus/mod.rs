//! GPUs of the machine: their list, those that a run may use, and the names that stages are given.

mod listing;
mod nvml;
pub(crate) mod probe;
mod query;
mod selection;
mod smi;

use athanor_stages::nn::devices::vulkan;

pub(crate) use crate::gpu::GpuId;
use crate::gpu::VulkanNumber;
pub(crate) use listing::{GpuInfo, GpuList, Slice};
pub(crate) use nvml::{GpuLoad, GpuMeter};
pub(crate) use query::{MachineGpus, list, look};
pub(crate) use selection::{GpuChoice, choose, visible};

/// The variable that tells CUDA which GPUs a process may see.
pub(crate) const VISIBLE_DEVICES: &str = "CUDA_VISIBLE_DEVICES";
/// The variable that tells CUDA how GPUs are numbered …
pub(crate) const DEVICE_ORDER: &str = "CUDA_DEVICE_ORDER";
/// … namely as `nvidia-smi` and NVML number them, and not the fastest first.
pub(crate) const BY_BUS: &str = "PCI_BUS_ID";

/// A GPU that a run may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuDevice {
    /// Its name.
    pub id: GpuId,
    /// Its memory in bytes; `None` when unknown, and then not booked.
    pub memory: Option<u64>,
    /// Whether processes of others compute on it.
    pub is_busy: bool,
}

/// Environment that shows a stage these GPUs and no others: those of Vulkan in a variable of their own, in a program that was built for
/// it.
pub(crate) fn environment(gpus: &[GpuId]) -> Vec<(&'static str, String)> {
    let (mut of_cuda, mut of_vulkan): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for gpu in gpus {
        match gpu {
            GpuId::Vulkan(VulkanNumber(number)) => of_vulkan.push(number.to_string()),
            GpuId::Index(_) | GpuId::Uuid(_) => of_cuda.push(gpu.to_string()),
        }
    }
    let mut variables = vec![(VISIBLE_DEVICES, of_cuda.join(",")), (DEVICE_ORDER, BY_BUS.to_owned())];
    if vulkan::IS_BUILT {
        variables.push((vulkan::VISIBLE_VARIABLE, of_vulkan.join(",")));
    }
    variables
}
