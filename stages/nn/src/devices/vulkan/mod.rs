//! GPUs of any maker through Vulkan: whether this program can use them, and why not.

#[cfg(feature = "vulkan")]
mod loader;
#[cfg(any(feature = "vulkan", test))]
mod spirv;

use burn::prelude::Device;
use serde::{Deserialize, Serialize};

/// Whether this program was built to use GPUs through Vulkan.
pub const IS_BUILT: bool = cfg!(feature = "vulkan");

/// Variable with the numbers of the GPUs that a process may see, as in `0,2`, in the order in which Vulkan lists them.
pub const VISIBLE_VARIABLE: &str = "ATHANOR_VULKAN_DEVICES";
/// Variable that, with the value `1`, has devices count as GPUs that compute on the CPU, such as Mesa's lavapipe.
pub const SOFTWARE_VARIABLE: &str = "ATHANOR_VULKAN_SOFTWARE";

/// A device that Vulkan lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VulkanGpu {
    /// Its number in Vulkan's list.
    pub index: u32,
    /// Its model, as in `AMD Radeon RX 7900 XTX (RADV NAVI31)`.
    pub name: String,
    /// Its driver and that one's version, as in `radv Mesa 24.1.1`.
    pub driver: String,
    /// Its own memory in bytes, or, where it shares the CPU's, what the driver lets it have of that.
    pub memory: u64,
    /// Whether it computes on the CPU.
    pub is_software: bool,
}

/// The Vulkan environment of this program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vulkan {
    /// GPUs that are visible: one at least.
    pub gpus: Vec<VulkanGpu>,
}

/// Reasons why this program can use no GPU through Vulkan, with advice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoVulkan {
    /// The feature is off.
    #[error("this program was built without Vulkan; build it with `cargo install --path . --features vulkan`")]
    NotBuilt,
    /// There is no libvulkan.
    #[error(
        "the Vulkan loader (libvulkan.so.1) was not found; install it (package `libvulkan1` of Debian and Ubuntu, `vulkan-loader` of Fedora)"
    )]
    NoLoader,
    /// The loader finds no driver that starts.
    #[error("the Vulkan loader is there, but does not start: {0}; {DRIVERS}, and see what `vulkaninfo --summary` says")]
    Loader(String),
    /// There is a loader, and no GPU.
    #[error("Vulkan shows no GPU{}; {DRIVERS}", if_hidden(.hidden.as_deref(), .software.as_deref()))]
    NoDevice {
        /// Value of [`VISIBLE_VARIABLE`], if it is set.
        hidden: Option<String>,
        /// Name of a device that computes on the CPU, if there is one and it does not count.
        software: Option<String>,
    },
    /// A driver that lacks what kernels need.
    #[error(
        "the driver of the GPU {gpu} ({driver}) lacks what kernels need (Vulkan's memory model and addresses of buffers); install a newer one, or leave that GPU out with `--gpus`"
    )]
    Lacks {
        /// Name of the GPU.
        gpu: String,
        /// Its driver.
        driver: String,
    },
    /// The process that looked for GPUs died.
    #[error("a Vulkan driver crashed when it was tried: {0}")]
    Crashed(String),
}

/// Advice for a machine without a driver.
const DRIVERS: &str = "install a driver (`mesa-vulkan-drivers` for AMD and Intel, NVIDIA's own), and let the user open /dev/dri/renderD* (groups `render`, `video`)";

fn if_hidden(variable: Option<&str>, software: Option<&str>) -> String {
    let hidden = variable.map(|value| format!("; {VISIBLE_VARIABLE} is `{value}`, which may hide it"));
    let software =
        software.map(|name| format!("; {name} computes on the CPU, and counts only with {SOFTWARE_VARIABLE}=1"));
    [hidden, software].into_iter().flatten().collect()
}

/// The devices of `all` that a process sees with these values of the variables: in the order of [`VISIBLE_VARIABLE`], in which what is
/// no number of a device hides all that follow, as CUDA has it.
#[cfg(any(feature = "vulkan", test))]
fn visible(all: Vec<VulkanGpu>, variable: Option<&str>, with_software: bool) -> Result<Vulkan, NoVulkan> {
    let software = all.iter().find(|gpu| gpu.is_software && !with_software).map(|gpu| gpu.name.clone());
    let counting: Vec<VulkanGpu> = all.into_iter().filter(|gpu| with_software || !gpu.is_software).collect();
    let gpus = match variable {
        None => counting,
        Some(variable) => {
            let find = |name: &str| {
                let index: u32 = name.trim().parse().ok()?;
                counting.iter().find(|gpu| gpu.index == index).cloned()
            };
            let mut shown: Vec<VulkanGpu> = Vec::new();
            for gpu in variable.split(',').map_while(find) {
                if !shown.contains(&gpu) {
                    shown.push(gpu);
                }
            }
            shown
        }
    };
    if gpus.is_empty() {
        return Err(NoVulkan::NoDevice { hidden: variable.map(str::to_owned), software });
    }
    Ok(Vulkan { gpus })
}

/// The Vulkan environment, as far as drivers tell without computing.
///
/// # Errors
/// Why there is no GPU.
#[cfg(feature = "vulkan")]
pub fn find() -> Result<Vulkan, NoVulkan> {
    let with_software = std::env::var(SOFTWARE_VARIABLE).is_ok_and(|value| value == "1");
    visible(loader::all()?, std::env::var(VISIBLE_VARIABLE).ok().as_deref(), with_software)
}

/// The Vulkan environment.
///
/// # Errors
/// Always.
#[cfg(not(feature = "vulkan"))]
pub fn find() -> Result<Vulkan, NoVulkan> {
    Err(NoVulkan::NotBuilt)
}

/// The Vulkan environment, after each of the GPUs was opened: only then is it known whether its driver has what kernels need.
///
/// # Errors
/// Why there is no GPU, or which one cannot be used.
pub fn try_out() -> Result<Vulkan, NoVulkan> {
    let found = find()?;
    #[cfg(feature = "vulkan")]
    for gpu in &found.gpus {
        loader::try_out(gpu)?;
    }
    Ok(found)
}

/// The GPUs that are visible, if this program can use all of them. They are opened once in a process.
pub fn gpus() -> Vec<Device> {
    #[cfg(feature = "vulkan")]
    let opened = loader::opened(find).iter().map(|(device, _)| device.clone()).collect();
    #[cfg(not(feature = "vulkan"))]
    let opened = Vec::new();
    opened
}

/// The GPU behind a device, if it is one of [`gpus`].
#[cfg_attr(not(feature = "vulkan"), allow(unused_variables, reason = "there are none"))]
pub fn gpu_of(device: &Device) -> Option<VulkanGpu> {
    #[cfg(feature = "vulkan")]
    return loader::gpu_of(device);
    #[cfg(not(feature = "vulkan"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpu(index: u32, is_software: bool) -> VulkanGpu {
        let (name, driver) = (format!("model {index}"), "radv Mesa 24.1.1".to_owned());
        VulkanGpu { index, name, driver, memory: 16 << 30, is_software }
    }

    fn seen(variable: Option<&str>, with_software: bool) -> Vec<u32> {
        let all = vec![gpu(0, false), gpu(1, true), gpu(2, false)];
        let found = visible(all, variable, with_software);
        found.map_or(Vec::new(), |found| found.gpus.iter().map(|gpu| gpu.index).collect())
    }

    #[test]
    fn a_cpu_counts_only_when_it_is_asked_for() {
        assert_eq!(seen(None, false), [0, 2]);
        assert_eq!(seen(None, true), [0, 1, 2]);
        assert_eq!(seen(Some("1,2"), false), [0; 0], "a name of nothing hides what follows");
        let alone = visible(vec![gpu(1, true)], None, false).unwrap_err().to_string();
        assert!(
            alone.contains("shows no GPU; model 1 computes on the CPU, and counts only with ATHANOR_VULKAN_SOFTWARE=1"),
            "{alone}"
        );
        assert!(alone.contains("`mesa-vulkan-drivers`"), "{alone}");
    }

    #[test]
    fn the_variable_shows_gpus_in_its_order() {
        assert_eq!(seen(Some("2, 0"), false), [2, 0]);
        assert_eq!(seen(Some("2,2,9,0"), false), [2]);
        for nothing in ["", "-1", "9"] {
            assert_eq!(seen(Some(nothing), true), [0; 0], "{nothing}");
        }
        let hidden = visible(vec![gpu(0, false)], Some(""), false).unwrap_err().to_string();
        assert!(hidden.contains("ATHANOR_VULKAN_DEVICES is ``, which may hide it"), "{hidden}");
    }

    #[test]
    fn a_reason_passes_between_processes() {
        let reason = NoVulkan::NoDevice { hidden: Some("3".to_owned()), software: None };
        let text = serde_json::to_string(&reason).unwrap();
        assert_eq!(serde_json::from_str::<NoVulkan>(&text).unwrap(), reason);
    }
}
