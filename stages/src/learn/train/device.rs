//! The device that a stage computes on.

use burn::prelude::*;

/// The first GPU that is visible, where this program can use any; else the CPU.
pub fn pick() -> Device {
    gpus().into_iter().next().unwrap_or_else(Device::flex)
}

#[cfg(feature = "cuda")]
fn gpus() -> Vec<Device> {
    Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec()
}

#[cfg(not(feature = "cuda"))]
fn gpus() -> Vec<Device> {
    Vec::new()
}

/// Makes the CPU the default device of a process that sees no GPU.
///
/// Burn puts what it reads of an optimiser on its default device, which in a program with CUDA is a GPU even where there is
/// none.
///
/// # Safety
/// Nothing else may run in this process yet: it writes to the environment.
pub unsafe fn settle_default() {
    if cfg!(feature = "cuda") && gpus().is_empty() {
        // SAFETY: The caller's promise.
        unsafe { std::env::set_var("BURN_DEVICE", "flex") };
    }
}
