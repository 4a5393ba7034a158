//! Devices as the Vulkan loader lists them, opened so that their kernels are corrected first (`spirv`).
//!
//! Burn would open devices by itself, through a Vulkan instance of its own. Here the instance is a copy of one of wgpu's whose
//! `vkGetDeviceProcAddr` is ours: of the functions of a device, `vkCreateShaderModule` is replaced, and all others are the driver's. A Vulkan
//! layer could do the same, but would be a library to install.

use std::ffi::{CStr, c_char};
use std::sync::OnceLock;

use ash::vk;
use burn::prelude::Device;
use cubecl::wgpu::wgpu::{self, hal};
use cubecl::wgpu::{WgpuSetup, vulkan};

use super::{NoVulkan, Vulkan, VulkanGpu, spirv};

/// The driver's own function.
static REAL_PROC_ADDR: OnceLock<vk::PFN_vkGetDeviceProcAddr> = OnceLock::new();

/// The devices that this process has opened.
static OPENED: OnceLock<Vec<(Device, VulkanGpu)>> = OnceLock::new();

/// All devices of the machine.
pub(super) fn all() -> Result<Vec<VulkanGpu>, NoVulkan> {
    Ok(adapters()?.iter().zip(0..).map(|(adapter, index)| describe(adapter, index)).collect())
}

/// Opens a device and closes it.
pub(super) fn try_out(gpu: &VulkanGpu) -> Result<(), NoVulkan> {
    open(gpu).map(|_| ())
}

/// The visible devices, which are opened by the first call; none if one of them cannot be used.
pub(super) fn opened(find: impl FnOnce() -> Result<Vulkan, NoVulkan>) -> &'static [(Device, VulkanGpu)] {
    OPENED.get_or_init(|| {
        let register = |gpu: VulkanGpu| {
            let device = Device::wgpu_options().setup(open(&gpu).ok()?).init().ok()?;
            Some((device, gpu))
        };
        let gpus = find().map_or(Vec::new(), |found| found.gpus);
        gpus.into_iter().map(register).collect::<Option<Vec<_>>>().unwrap_or_default()
    })
}

/// The GPU behind a device that this process has opened.
pub(super) fn gpu_of(device: &Device) -> Option<VulkanGpu> {
    let opened = OPENED.get()?;
    opened.iter().find(|(known, _)| known == device).map(|(_, gpu)| gpu.clone())
}

fn describe(adapter: &wgpu::Adapter, index: u32) -> VulkanGpu {
    let wgpu::AdapterInfo { name, driver, driver_info, device_type, .. } = adapter.get_info();
    let driver = format!("{driver} {driver_info}").trim().to_owned();
    VulkanGpu { index, name, driver, memory: memory(adapter), is_software: device_type == wgpu::DeviceType::Cpu }
}

/// Bytes of the largest of a device's own heaps.
fn memory(adapter: &wgpu::Adapter) -> u64 {
    // SAFETY: The device is asked about and not changed.
    let Some(adapter) = (unsafe { adapter.as_hal::<hal::api::Vulkan>() }) else { return 0 };
    let instance = adapter.shared_instance().raw_instance();
    // SAFETY: The device is one of this instance.
    let properties = unsafe { instance.get_physical_device_memory_properties(adapter.raw_physical_device()) };
    let own = |heap: &&vk::MemoryHeap| heap.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL);
    properties.memory_heaps_as_slice().iter().filter(own).map(|heap| heap.size).max().unwrap_or_default()
}

fn open(gpu: &VulkanGpu) -> Result<WgpuSetup, NoVulkan> {
    let lacks = || NoVulkan::Lacks { gpu: gpu.name.clone(), driver: gpu.driver.clone() };
    let adapter = adapters()?.into_iter().nth(gpu.index as usize).ok_or_else(lacks)?;
    let opened = cubecl::future::block_on(vulkan::try_request_vulkan_device(&adapter));
    let (device, queue) = opened.map_err(|error| NoVulkan::Loader(error.to_string()))?.ok_or_else(lacks)?;
    Ok(WgpuSetup { instance: instance()?.clone(), adapter, device, queue, backend: wgpu::Backend::Vulkan })
}

fn adapters() -> Result<Vec<wgpu::Adapter>, NoVulkan> {
    Ok(cubecl::future::block_on(instance()?.enumerate_adapters(wgpu::Backends::VULKAN)))
}

/// The process's one instance: loaders have crashed where instances came and went in several threads.
fn instance() -> Result<&'static wgpu::Instance, NoVulkan> {
    static INSTANCE: OnceLock<Result<wgpu::Instance, NoVulkan>> = OnceLock::new();
    INSTANCE.get_or_init(make_instance).as_ref().map_err(Clone::clone)
}

fn make_instance() -> Result<wgpu::Instance, NoVulkan> {
    // SAFETY: The loader is a library that is made to be opened by programs; it stays open below.
    let _loader = unsafe { ash::Entry::load() }.map_err(|_| NoVulkan::NoLoader)?;
    let flags = wgpu::InstanceFlags::empty();
    let memory_budget_thresholds = wgpu::MemoryBudgetThresholds::default();
    let descriptor = hal::InstanceDescriptor {
        name: "athanor",
        flags,
        memory_budget_thresholds,
        backend_options: wgpu::BackendOptions::default(),
        telemetry: None,
        display: None,
    };
    let refused = |error: hal::InstanceError| NoVulkan::Loader(error.to_string());
    // SAFETY: The description is as wgpu makes it.
    let original = unsafe { <hal::vulkan::Instance as hal::Instance>::init(&descriptor) }.map_err(refused)?;
    let shared = original.shared_instance();
    let raw = shared.raw_instance();
    let mut functions = raw.fp_v1_0().clone();
    REAL_PROC_ADDR.get_or_init(|| functions.get_device_proc_addr);
    functions.get_device_proc_addr = device_proc_addr;
    let ours = ash::Instance::from_parts_1_3(raw.handle(), functions, raw.fp_v1_1().clone(), raw.fp_v1_3().clone());
    let (entry, version, extensions) =
        (shared.entry().clone(), shared.instance_api_version(), shared.extensions().to_vec());
    let keep_alive: hal::DropCallback = Box::new(move || drop(original));
    // SAFETY: All is of the instance that wgpu has made, which lives until the copy is dropped.
    unsafe {
        let copy = hal::vulkan::Instance::from_raw(
            entry,
            ours,
            version,
            0,
            None,
            extensions,
            flags,
            memory_budget_thresholds,
            false,
            Some(keep_alive),
        )
        .map_err(refused)?;
        Ok(wgpu::Instance::from_hal::<hal::api::Vulkan>(copy))
    }
}

/// Vulkan's `vkGetDeviceProcAddr`, with `vkCreateShaderModule` replaced.
unsafe extern "system" fn device_proc_addr(device: vk::Device, name: *const c_char) -> vk::PFN_vkVoidFunction {
    let real = REAL_PROC_ADDR.get()?;
    // SAFETY: The caller passes on what Vulkan demands: a live device and a name that ends.
    unsafe {
        let found = real(device, name)?;
        if CStr::from_ptr(name) != c"vkCreateShaderModule" {
            return Some(found);
        }
        let own: vk::PFN_vkCreateShaderModule = create_shader_module;
        Some(std::mem::transmute::<vk::PFN_vkCreateShaderModule, unsafe extern "system" fn()>(own))
    }
}

/// Vulkan's `vkCreateShaderModule`, of a corrected copy of the code.
unsafe extern "system" fn create_shader_module(
    device: vk::Device,
    info: *const vk::ShaderModuleCreateInfo<'_>,
    allocator: *const vk::AllocationCallbacks<'_>,
    module: *mut vk::ShaderModule,
) -> vk::Result {
    let Some(real) = REAL_PROC_ADDR.get() else { return vk::Result::ERROR_INITIALIZATION_FAILED };
    // SAFETY: The caller passes on what Vulkan demands: a live device and a description whose code is as long as it says. The
    // function of that name has this type.
    unsafe {
        let Some(real) = real(device, c"vkCreateShaderModule".as_ptr()) else {
            return vk::Result::ERROR_INITIALIZATION_FAILED;
        };
        let real = std::mem::transmute::<unsafe extern "system" fn(), vk::PFN_vkCreateShaderModule>(real);
        let mut info = *info;
        let mut words = std::slice::from_raw_parts(info.p_code, info.code_size / size_of::<u32>()).to_vec();
        spirv::mend(&mut words);
        info.p_code = words.as_ptr();
        real(device, &raw const info, allocator, module)
    }
}
