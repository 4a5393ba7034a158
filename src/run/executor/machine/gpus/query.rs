//! The question to drivers which GPUs there are.

use std::path::Path;

use athanor_stages::nn::devices::vulkan::{Vulkan, VulkanGpu};
use athanor_stages::nn::devices::{GPU_API_VARIABLE, GpuApi, cuda, gpu_api, vulkan};

use super::probe::find_vulkan;
use super::{GpuChoice, GpuId, GpuInfo, GpuList, VISIBLE_DEVICES, nvml, smi, visible};

/// GPUs of the machine that one interface lists.
#[derive(Debug)]
pub(crate) struct MachineGpus {
    /// The list, or the reason why there is none.
    pub list: Result<GpuList, String>,
    /// Value of the variable that shows some of the list alone, if it is set; a list of Vulkan is one of what is shown.
    pub shown: Option<String>,
}

/// Asks for the GPUs that a run of `program` may use: through the interface that the variable names, or else that of those that the
/// user names; else through CUDA, and where that shows none, through Vulkan. A program that was built for Vulkan alone asks that first.
pub(crate) fn look(program: &Path, named: Option<&[GpuChoice]>) -> MachineGpus {
    let wanted = std::env::var(GPU_API_VARIABLE).ok().and_then(|name| gpu_api::parse(&name).ok());
    let ask = |api: GpuApi| if api == GpuApi::Cuda { of_cuda() } else { of_vulkan(program) };
    if let Some(api) = wanted.or_else(|| of_names(named?)) {
        return ask(api);
    }
    if !vulkan::IS_BUILT {
        return of_cuda();
    }
    let (preferred, other) =
        if cuda::IS_BUILT { (GpuApi::Cuda, GpuApi::Vulkan) } else { (GpuApi::Vulkan, GpuApi::Cuda) };
    let first = ask(preferred);
    if first.shows_any() {
        return first;
    }
    let second = ask(other);
    match (&first.list, &second.list) {
        _ if second.shows_any() => second,
        (Err(reason), Err(another)) => MachineGpus { list: Err(format!("{reason}; {another}")), ..first },
        _ => first,
    }
}

impl MachineGpus {
    fn shows_any(&self) -> bool {
        self.list.as_ref().is_ok_and(|list| !visible(list, self.shown.as_deref()).is_empty())
    }
}

/// Interface of the GPUs that the user names.
fn of_names(named: &[GpuChoice]) -> Option<GpuApi> {
    let of = |choice: &GpuChoice| if matches!(choice.id, GpuId::Vulkan(_)) { GpuApi::Vulkan } else { GpuApi::Cuda };
    named.first().map(of)
}

fn of_cuda() -> MachineGpus {
    MachineGpus { list: list(), shown: std::env::var(VISIBLE_DEVICES).ok() }
}

fn of_vulkan(program: &Path) -> MachineGpus {
    let list = find_vulkan(program, &[]).map(|found| as_list(&found)).map_err(|reason| reason.to_string());
    MachineGpus { list, shown: None }
}

/// Asks NVIDIA's driver, by NVML or, where that cannot be loaded, by `nvidia-smi`.
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

fn as_list(Vulkan { gpus }: &Vulkan) -> GpuList {
    let info = |gpu: &VulkanGpu| GpuInfo {
        api: GpuApi::Vulkan,
        index: gpu.index,
        uuid: String::new(),
        slice: None,
        name: format!("{}, {}", gpu.name, gpu.driver),
        memory: (gpu.memory > 0).then_some(gpu.memory),
        compute_capability: None,
        processes: Vec::new(),
    };
    GpuList { gpus: gpus.iter().map(info).collect(), driver: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_vulkan_shows_is_listed_under_its_own_names() {
        let gpu = |index| VulkanGpu {
            index,
            name: "Arc A770".to_owned(),
            driver: "Mesa 24.1.1".to_owned(),
            memory: 16 << 30,
            is_software: false,
        };
        let found = MachineGpus { list: Ok(as_list(&Vulkan { gpus: vec![gpu(0), gpu(2)] })), shown: None };
        assert!(found.shows_any());
        let list = found.list.unwrap();
        let names: Vec<String> = list.gpus.iter().map(|gpu| format!("{} {}", gpu.id(), gpu.name)).collect();
        assert_eq!(names, ["vulkan0 Arc A770, Mesa 24.1.1", "vulkan2 Arc A770, Mesa 24.1.1"]);
    }

    #[test]
    fn names_say_which_interface_is_asked() {
        let named = |name: &str| [GpuChoice { id: GpuId::parse(name).unwrap(), memory: None }];
        assert_eq!(of_names(&named("vulkan1")), Some(GpuApi::Vulkan));
        assert_eq!(of_names(&named("1")), Some(GpuApi::Cuda));
        assert_eq!(of_names(&[]), None);
    }
}
