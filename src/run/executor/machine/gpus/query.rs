//! The question to the driver which GPUs there are.

use super::{GpuList, nvml, smi};

/// Asks the driver, by NVML or, where that cannot be loaded, by `nvidia-smi`.
///
/// # Errors
/// Why there is nothing to ask, or no answer.
pub(crate) fn list() -> Result<GpuList, String> {
    match nvml::list() {
        Ok(list) => Ok(list),
        Err(nvml::Unavailable::NoLibrary) => smi::list(),
        Err(nvml::Unavailable::Refused(reason)) => smi::list().map_err(|_| reason),
    }
}
