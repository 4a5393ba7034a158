//! GPUs as NVML, the library under `nvidia-smi`, lists them, and how busy they are.

use athanor_stages::nn::devices::GpuApi;
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

/// A GPU, or a slice of one, with what is computed on it at a moment, by whomever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GpuLoad {
    /// The GPU; processes and compute capability are not asked for.
    pub gpu: GpuInfo,
    /// Memory that is in use, in bytes; `None` when unknown.
    pub used: Option<u64>,
    /// Share of the time in which it computed, in percent; `None` for slices, of which the driver does not tell.
    pub utilisation: Option<u32>,
}

/// A device in the list: its index, its slice, and the GPU that it is a slice of.
struct Listed<'d> {
    index: u32,
    slice: Option<Slice>,
    whole: &'d Device<'d>,
}

/// All GPUs.
pub(crate) fn list() -> Result<GpuList, Unavailable> {
    let nvml = Nvml::init().map_err(|error| match error {
        NvmlError::LibloadingError(_) => Unavailable::NoLibrary,
        other => refused(&other),
    })?;
    let gpus = each(&nvml, |device, listed| GpuInfo {
        compute_capability: capability(listed.whole),
        processes: device.running_compute_processes().unwrap_or_default().iter().map(|process| process.pid).collect(),
        ..describe(device, listed)
    });
    Ok(GpuList { gpus: gpus.map_err(|error| refused(&error))?, driver: nvml.sys_driver_version().ok() })
}

/// Meter of what is computed on the GPUs.
pub(crate) struct GpuMeter(Nvml);

impl GpuMeter {
    /// The meter of this machine; `None` where NVML cannot be loaded.
    pub(crate) fn open() -> Option<GpuMeter> {
        Nvml::init().ok().map(GpuMeter)
    }

    /// Loads of all GPUs at this moment; none if the driver does not answer.
    pub(crate) fn read(&self) -> Vec<GpuLoad> {
        let loads = each(&self.0, |device, listed| GpuLoad {
            gpu: describe(device, listed),
            used: device.memory_info().ok().map(|memory| memory.used),
            utilisation: device.utilization_rates().ok().map(|rates| rates.gpu),
        });
        loads.unwrap_or_default()
    }
}

fn refused(error: &NvmlError) -> Unavailable {
    Unavailable::Refused(format!("NVIDIA's driver does not answer (NVML): {error}"))
}

/// Answers of `ask` about each GPU, or about its slices in the place of one in MIG mode.
fn each<T>(nvml: &Nvml, ask: impl Fn(&Device<'_>, &Listed<'_>) -> T) -> Result<Vec<T>, NvmlError> {
    let mut all = Vec::new();
    for index in 0..nvml.device_count()? {
        let whole = nvml.device_by_index(index)?;
        // GPUs that cannot be cut refuse the question.
        let is_cut = whole.mig_mode().is_ok_and(|mode| mode.current == 1);
        let most = if is_cut { whole.mig_device_count().unwrap_or_default() } else { 0 };
        let slices = (0..most).filter_map(|number| whole.mig_device_by_index(number).ok());
        let before = all.len();
        for (number, slice) in (0..).zip(slices) {
            all.push(ask(&slice, &Listed { index, slice: Some(Slice(number)), whole: &whole }));
        }
        if all.len() == before {
            all.push(ask(&whole, &Listed { index, slice: None, whole: &whole }));
        }
    }
    Ok(all)
}

fn describe(device: &Device<'_>, listed: &Listed<'_>) -> GpuInfo {
    GpuInfo {
        api: GpuApi::Cuda,
        index: listed.index,
        uuid: device.uuid().unwrap_or_default(),
        slice: listed.slice,
        name: device.name().unwrap_or_else(|_| "unknown".to_owned()),
        memory: device.memory_info().ok().map(|memory| memory.total),
        compute_capability: None,
        processes: Vec::new(),
    }
}

fn capability(device: &Device<'_>) -> Option<(i32, i32)> {
    device.cuda_compute_capability().ok().map(|capability| (capability.major, capability.minor))
}
