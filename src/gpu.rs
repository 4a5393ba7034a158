//! Names of GPUs.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Name of a GPU in the form in which it was given to the run and is passed on to stages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GpuId {
    /// Index in the order of the PCI bus.
    Index(u32),
    /// UUID of a GPU (`GPU-…`) or name of a MIG slice (`MIG-…`), perhaps shortened.
    Uuid(Arc<str>),
}

impl GpuId {
    /// Reads a name as `CUDA_VISIBLE_DEVICES` and `--gpus` take it.
    pub(crate) fn parse(text: &str) -> Option<GpuId> {
        if text.starts_with("GPU-") || text.starts_with("MIG-") {
            return Some(GpuId::Uuid(text.into()));
        }
        text.parse().ok().map(GpuId::Index)
    }
}

impl fmt::Display for GpuId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GpuId::Index(index) => write!(out, "{index}"),
            GpuId::Uuid(uuid) => out.write_str(uuid),
        }
    }
}
