//! Learning against PyTorch and torchvision (see `tests/golden/learn.py`).

#![recursion_limit = "256"]

mod gathered;
mod losses;
mod mixed_norm;
mod models;
mod operations;
mod optim;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use athanor_nn::devices::{Devices, KernelCache, KernelSession};
use burn::prelude::Device;

/// A file beside the script that wrote it.
fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

/// Variable that names the device which is held against golden values: `cpu`, or `gpu` for the first one that is visible.
const TEST_DEVICE: &str = "ATHANOR_TEST_DEVICE";

/// The device that is held against golden values.
fn device() -> Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    let find = || match std::env::var(TEST_DEVICE).as_deref() {
        Err(_) | Ok("cpu") => Device::flex(),
        Ok("gpu") => gpu(),
        Ok(other) => panic!("{TEST_DEVICE} is `{other}`; it may be `cpu` or `gpu`"),
    };
    DEVICE.get_or_init(find).clone()
}

/// The first GPU, whose kernels are kept for the next time.
fn gpu() -> Device {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels");
    let _ = KernelSession::begin(&KernelCache { kept, ..KernelCache::default() });
    let devices = Devices::visible();
    assert!(devices.are_gpus(), "no GPU is visible");
    devices.first().clone()
}

/// Whether the device is a GPU, whose rounding is its own.
fn is_gpu() -> bool {
    device() != Device::flex()
}
