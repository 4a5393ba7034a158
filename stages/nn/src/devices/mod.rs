//! The devices that a stage computes on.

pub mod cuda;
#[cfg(feature = "cuda")]
mod cuda_features;
mod flush;
pub mod gpu_api;
mod instructions;
mod kernel_cache;
mod no_cuda;
mod out_of_memory;
mod packages;
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "asked only where there is CUDA"))]
mod requirements;
mod tuning;
mod version;
pub mod vulkan;
mod workers;

use athanor_kernels::InstructionSet;
use burn::backend::DispatchDevice;
use burn::prelude::*;
use burn::tensor::FloatDType;

pub use flush::flush;
pub use gpu_api::{GPU_API_VARIABLE, GpuApi};
pub use instructions::{INSTRUCTION_SET_VARIABLE, UnknownInstructionSet, check_instruction_set, instruction_set};
pub(crate) use kernel_cache::kernels_folder;
pub use kernel_cache::{KernelCache, KernelSession};
pub use out_of_memory::OutOfMemory;
pub use tuning::{Stopped, Tuning, TuningFolder};
pub use workers::{DeviceWorkers, STACK_BYTES, StartError, with_workers};

/// The devices of a stage, of one type: at least one. Results do not depend on their number.
#[derive(Debug, Clone)]
pub struct Devices {
    all: Vec<Device>,
    /// Interface to them, if they are GPUs.
    api: Option<GpuApi>,
    /// Images at once for which a simulated device has room.
    capacity: Option<usize>,
}

impl Devices {
    /// All GPUs that are visible, where this program can use any: those of CUDA, or else those of Vulkan, unless
    /// [`GPU_API_VARIABLE`] rules them out. Else the CPU.
    pub fn visible() -> Devices {
        let gpus = |api: GpuApi| -> Vec<Device> {
            match api {
                _ if !api.is_allowed() => Vec::new(),
                GpuApi::Cuda => cuda::gpus(),
                GpuApi::Vulkan => vulkan::gpus(),
            }
        };
        let mut found = [GpuApi::Cuda, GpuApi::Vulkan].into_iter().map(|api| (gpus(api), Some(api)));
        let (all, api) = found.find(|(all, _)| !all.is_empty()).unwrap_or_else(|| (vec![Device::flex()], None));
        Devices { all, api, capacity: None }
    }

    /// Devices that take the place of those that the process sees; with `capacity` each runs out of memory, as a GPU
    /// does, when it is to compute with more images at once.
    ///
    /// # Panics
    /// Without any device.
    pub fn simulated(all: Vec<Device>, capacity: Option<usize>) -> Devices {
        assert!(!all.is_empty(), "there is always a device");
        Devices { all, api: None, capacity }
    }

    /// The first: what only one device does, it does.
    pub fn first(&self) -> &Device {
        &self.all[0]
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Device> {
        self.all.iter()
    }

    /// Those that help the first.
    pub fn others(&self) -> &[Device] {
        &self.all[1..]
    }

    /// Number of devices.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether they are GPUs.
    pub fn are_gpus(&self) -> bool {
        self.api.is_some()
    }

    /// Instruction set that they compute with: of the CPU that of the kernels, or `generic` where there are none and Burn
    /// chooses; of GPUs their architecture, or, where Vulkan hides it, model and driver.
    pub fn instruction_set(&self) -> String {
        match self.api {
            None => instruction_set().map_or("generic", InstructionSet::name).to_owned(),
            Some(GpuApi::Cuda) => cuda::architecture().unwrap_or_else(|| "CUDA".to_owned()),
            Some(GpuApi::Vulkan) => vulkan::gpu_of(self.first())
                .map_or_else(|| "SPIR-V".to_owned(), |gpu| format!("{} with {}", gpu.name, gpu.driver)),
        }
    }

    /// Has products of float32 computed as such: on tensor cores their factors would be rounded to TF32. To be called before anything
    /// computes on the devices; it is so until the process ends.
    pub fn leave_out_tf32(&self) {
        if self.api == Some(GpuApi::Cuda) {
            cuda::leave_out_tf32(self.len());
        }
    }

    /// Each of them, changed.
    #[must_use]
    pub fn map(self, change: impl FnMut(Device) -> Device) -> Devices {
        Devices { all: self.all.into_iter().map(change).collect(), ..self }
    }
}

/// Whether a device is the CPU, whether it differentiates or not.
pub fn is_cpu(device: &Device) -> bool {
    matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// Whether a device computes in float64 as it should. Through Vulkan none is taken to: products of matrices and logarithms of
/// float64 were wrong where it says that it has the type.
pub fn computes_in_float64(device: &Device) -> bool {
    device.supports_dtype(FloatDType::F64) && vulkan::gpu_of(&device.clone().without_autodiff()).is_none()
}

impl std::fmt::Display for Devices {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = self.api.map_or("CPU".to_owned(), |api| format!("{} GPU", api.name()));
        match self.len() {
            1 => out.write_str(&kind),
            count => write!(out, "{count} {kind}s"),
        }
    }
}

/// Sets up a process that computes, on GPUs if their kernels are to be in `cache`: without a usable GPU the CPU is the default
/// device, and there is no session. A process that uses no GPU does not load the driver's library.
///
/// Burn puts what it reads of an optimiser on its default device, which in a program with CUDA or Vulkan is a GPU even where
/// there is none, and with Vulkan is none of those that are opened here.
///
/// # Safety
/// Nothing else may run in this process yet: it writes to the environment.
pub unsafe fn set_up(cache: Option<&KernelCache>) -> Option<KernelSession> {
    let session = cache.and_then(KernelSession::begin);
    let has_cuda = session.as_ref().is_some_and(|session| session.api() == GpuApi::Cuda);
    if (cuda::IS_BUILT || vulkan::IS_BUILT) && !has_cuda {
        // SAFETY: The caller's promise.
        unsafe { std::env::set_var("BURN_DEVICE", "flex") };
    }
    session
}
