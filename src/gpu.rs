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
    /// Number in Vulkan's list.
    Vulkan(VulkanNumber),
    /// UUID of a GPU (`GPU-…`) or name of a MIG slice (`MIG-…`), perhaps shortened.
    Uuid(Arc<str>),
}

/// Number of a GPU in Vulkan's list, written `vulkan0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VulkanNumber(pub u32);

/// A text that is no name of a GPU in Vulkan's list.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no GPU of Vulkan's")]
pub struct NotVulkan(String);

impl TryFrom<String> for VulkanNumber {
    type Error = NotVulkan;

    fn try_from(text: String) -> Result<VulkanNumber, NotVulkan> {
        let number = text.strip_prefix("vulkan").and_then(|number| number.parse().ok());
        number.map(VulkanNumber).ok_or(NotVulkan(text))
    }
}

impl From<VulkanNumber> for String {
    fn from(VulkanNumber(number): VulkanNumber) -> String {
        format!("vulkan{number}")
    }
}

impl GpuId {
    /// Reads a name as `CUDA_VISIBLE_DEVICES` and `--gpus` take it.
    pub(crate) fn parse(text: &str) -> Option<GpuId> {
        if let Ok(number) = VulkanNumber::try_from(text.to_owned()) {
            return Some(GpuId::Vulkan(number));
        }
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
            GpuId::Vulkan(VulkanNumber(number)) => write!(out, "vulkan{number}"),
            GpuId::Uuid(uuid) => out.write_str(uuid),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_pass_between_processes() {
        for (name, id) in [
            ("3", GpuId::Index(3)),
            ("vulkan12", GpuId::Vulkan(VulkanNumber(12))),
            ("GPU-5cb1", GpuId::Uuid("GPU-5cb1".into())),
        ] {
            assert_eq!(GpuId::parse(name).as_ref(), Some(&id));
            assert_eq!(id.to_string(), name);
            let text = serde_json::to_string(&id).unwrap();
            assert_eq!(serde_json::from_str::<GpuId>(&text).unwrap(), id);
        }
        assert_eq!(GpuId::parse("vulkan"), None);
    }
}
