//! NVIDIA GPUs of the machine: their list, those that a run may use, and the names that stages are given.

pub(crate) mod find_cuda;
mod listing;
mod nvml;
mod query;
mod selection;
mod smi;

pub(crate) use crate::gpu::GpuId;
pub(crate) use listing::{GpuInfo, GpuList, Slice};
pub(crate) use nvml::{GpuLoad, GpuMeter};
pub(crate) use query::list;
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

/// Environment that shows a stage these GPUs and no others.
pub(crate) fn environment(gpus: &[GpuId]) -> [(&'static str, String); 2] {
    let names: Vec<String> = gpus.iter().map(GpuId::to_string).collect();
    [(VISIBLE_DEVICES, names.join(",")), (DEVICE_ORDER, BY_BUS.to_owned())]
}
