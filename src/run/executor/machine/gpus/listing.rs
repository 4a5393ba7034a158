//! All GPUs of the machine, whether or not this process may see them.

use athanor_stages::nn::devices::GpuApi;

use super::GpuId;
use crate::gpu::VulkanNumber;

/// A GPU, or a MIG slice of one, as NVIDIA's driver describes it, or a GPU as Vulkan does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GpuInfo {
    /// Interface that lists it.
    pub api: GpuApi,
    /// Index of the GPU in the order of the PCI bus, or in that of Vulkan; of a slice, that of the GPU it belongs to.
    pub index: u32,
    /// UUID, such as `GPU-5cb1c9d3-…` or `MIG-…`; empty where the driver does not say.
    pub uuid: String,
    /// Number of the slice within its GPU.
    pub slice: Option<Slice>,
    /// Model.
    pub name: String,
    /// Memory in bytes; `None` when unknown.
    pub memory: Option<u64>,
    /// CUDA compute capability, such as (9, 0).
    pub compute_capability: Option<(i32, i32)>,
    /// Ids of the processes that compute on it.
    pub processes: Vec<u32>,
}

/// Number of a MIG slice within its GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slice(pub u32);

impl GpuInfo {
    /// The name under which it is found: an index, and of a slice its UUID, since slices have no index.
    pub(crate) fn id(&self) -> GpuId {
        match self.api {
            GpuApi::Vulkan => GpuId::Vulkan(VulkanNumber(self.index)),
            GpuApi::Cuda if self.slice.is_some() => GpuId::Uuid(self.uuid.as_str().into()),
            GpuApi::Cuda => GpuId::Index(self.index),
        }
    }

    /// Whether processes compute on it.
    pub(crate) fn is_busy(&self) -> bool {
        !self.processes.is_empty()
    }

    /// Whether a name is one of this GPU; UUIDs may be shortened.
    pub(crate) fn is_called(&self, id: &GpuId) -> bool {
        let is_of_vulkan = self.api == GpuApi::Vulkan;
        match id {
            GpuId::Vulkan(VulkanNumber(number)) => is_of_vulkan && *number == self.index,
            _ if is_of_vulkan => false,
            GpuId::Index(index) => *index == self.index && self.slice.is_none_or(|slice| slice == Slice(0)),
            GpuId::Uuid(uuid) => !self.uuid.is_empty() && self.uuid.starts_with(&**uuid),
        }
    }
}

/// The GPUs of a machine. Of a GPU that is cut into slices only the slices are listed, as nothing else can be computed on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GpuList {
    /// By index and slice.
    pub gpus: Vec<GpuInfo>,
    /// Version of the driver, such as `580.65.06`.
    pub driver: Option<String>,
}
