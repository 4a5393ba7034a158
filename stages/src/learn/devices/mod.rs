//! The devices that a stage computes on.

mod crew;

use burn::prelude::*;

use crate::context::StageContext;

pub use crew::{Crew, STACK_BYTES, with_crew};

/// The devices of a stage, of one type: at least one. What is computed does not depend on how many there are.
#[derive(Debug, Clone)]
pub struct Devices {
    all: Vec<Device>,
}

impl Devices {
    /// Those that the stage was given; else all GPUs that are visible, where this program can use any; else the CPU.
    pub fn of(context: &StageContext<'_>) -> Devices {
        let all = context.devices().map_or_else(gpus, <[Device]>::to_vec);
        Devices { all: if all.is_empty() { vec![Device::flex()] } else { all } }
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

    /// How many there are.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Each of them, changed.
    #[must_use]
    pub fn map(self, change: impl FnMut(Device) -> Device) -> Devices {
        Devices { all: self.all.into_iter().map(change).collect() }
    }
}

impl std::fmt::Display for Devices {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.all.as_slice() {
            [only] => write!(out, "{only:?}"),
            [first, ..] => write!(out, "{} devices like {first:?}", self.len()),
            [] => Ok(()),
        }
    }
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
