//! Numbers of CUDA: its versions, and what GPUs can compute.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A version of CUDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version {
    /// Before the dot.
    pub major: i32,
    /// After it.
    pub minor: i32,
}

impl Version {
    /// From the number by which CUDA calls it: 12040 for 12.4.
    pub const fn of_number(number: i32) -> Version {
        Version { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// Compute capability of a GPU, which names its instruction set: 9.0 is `sm_90`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Capability {
    /// Before the dot.
    pub major: i32,
    /// After it.
    pub minor: i32,
}

impl Capability {
    /// From the number by which NVRTC calls it: 90 for 9.0.
    pub const fn of_number(number: i32) -> Capability {
        Capability { major: number / 10, minor: number % 10 }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}
