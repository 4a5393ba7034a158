//! GPUs as NVML, the library under `nvidia-smi`, lists them.

use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use super::{GpuInfo, GpuList, Slice};

/// Why NVML lists nothing.
pub(crate) enum Unavailable {
    /// `libnvidia-ml.so.1` is not there.
    NoLibrary,
    /// It is there and refuses, for this reason.
    Refused(String),
}

/// All GPUs.
pub(crate) fn list() -> Result<GpuList, Unavailable> {
    let nvml = Nvml::init().map_err(|error| match error {
        NvmlError::LibloadingError(_) => Unavailable::NoLibrary,
        other => refused(&other),
    })?;
    let count = nvml.device_count().map_err(|error| refused(&error))?;
    let mut gpus = Vec::new();
    for index in 0..count {
        let device = nvml.device_by_index(index).map_err(|error| refused(&error))?;
        let slices = slices(&device, index);
        if slices.is_empty() { gpus.push(describe(&device, index, None)) } else { gpus.extend(slices) }
    }
    Ok(GpuList { gpus, driver: nvml.sys_driver_version().ok() })
}

fn refused(error: &NvmlError) -> Unavailable {
    Unavailable::Refused(format!("NVIDIA's driver does not answer (NVML): {error}"))
}

/// The slices of a GPU in MIG mode; empty for any other.
fn slices(device: &Device<'_>, index: u32) -> Vec<GpuInfo> {
    // GPUs that cannot be cut refuse the question.
    if !device.mig_mode().is_ok_and(|mode| mode.current == 1) {
        return Vec::new();
    }
    let most = device.mig_device_count().unwrap_or_default();
    let capability = capability(device);
    let slices = (0..most).filter_map(|number| device.mig_device_by_index(number).ok());
    let described = slices.zip(0..).map(|(slice, number)| describe(&slice, index, Some(Slice(number))));
    described.map(|slice| GpuInfo { compute_capability: capability, ..slice }).collect()
}

fn describe(device: &Device<'_>, index: u32, slice: Option<Slice>) -> GpuInfo {
    GpuInfo {
        index,
        uuid: device.uuid().unwrap_or_default(),
        slice,
        name: device.name().unwrap_or_else(|_| "unknown".to_owned()),
        memory: device.memory_info().ok().map(|memory| memory.total),
        compute_capability: capability(device),
        processes: device.running_compute_processes().unwrap_or_default().iter().map(|process| process.pid).collect(),
    }
}

fn capability(device: &Device<'_>) -> Option<(i32, i32)> {
    device.cuda_compute_capability().ok().map(|capability| (capability.major, capability.minor))
}
