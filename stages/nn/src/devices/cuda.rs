//! NVIDIA GPUs: whether this program can use them, and why not.

use serde::{Deserialize, Serialize};

pub use super::no_cuda::NoCuda;
pub use super::version::{Capability, Version};
#[cfg(feature = "cuda")]
pub(super) use with_cuda::usable;
#[cfg(feature = "cuda")]
pub use with_cuda::{architecture, find, gpus, leave_out_tf32, try_out};
#[cfg(not(feature = "cuda"))]
pub use without_cuda::{architecture, find, gpus, leave_out_tf32, try_out};

/// Whether this program was built to use GPUs.
pub const IS_BUILT: bool = cfg!(feature = "cuda");

/// The CUDA environment of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cuda {
    /// GPUs that are visible.
    pub gpus: usize,
    /// The version of CUDA that the driver is made for.
    pub driver: Version,
    /// The version of the compiler of kernels, NVRTC.
    pub compiler: Version,
}

#[cfg(not(feature = "cuda"))]
mod without_cuda {
    use burn::prelude::Device;

    use super::{Cuda, NoCuda};

    /// The CUDA environment.
    pub fn find() -> Result<Cuda, NoCuda> {
        Err(NoCuda::NotBuilt)
    }

    /// The CUDA environment, after a trial of the compiler.
    pub fn try_out() -> Result<Cuda, NoCuda> {
        find()
    }

    /// The GPUs that are visible.
    pub fn gpus() -> Vec<Device> {
        Vec::new()
    }

    /// Leaves out TF32, for which there is no GPU.
    pub fn leave_out_tf32(_: usize) {}

    /// The architecture of the first visible GPU, such as `sm_90`.
    pub fn architecture() -> Option<String> {
        None
    }
}

#[cfg(feature = "cuda")]
mod with_cuda {
    use std::collections::HashSet;
    use std::ffi::CString;
    use std::path::Path;

    use burn::prelude::Device;
    use burn::tensor::DeviceType;
    use cubecl::cuda::install;
    use cudarc::driver::{result, sys};
    use cudarc::nvrtc::{result as programs, sys as nvrtc};

    use super::{Capability, Cuda, NoCuda, Version};
    use crate::devices::cuda_features;
    use crate::devices::requirements::{Compiler, Facts, Gpu, HEADERS, check, include_folders, of_trial};

    /// The CUDA environment, or the first thing that is missing, as far as versions and files tell.
    pub fn find() -> Result<Cuda, NoCuda> {
        environment(&facts()?)
    }

    /// The same, after a kernel that does nothing was compiled for each of the GPUs with all headers: only that tells
    /// whether the compiler finds its own parts and whether headers are of its version.
    pub fn try_out() -> Result<Cuda, NoCuda> {
        let facts = facts()?;
        let cuda = environment(&facts)?;
        let toolkit = facts.toolkit.as_deref();
        let capabilities: HashSet<Capability> = facts.gpus.iter().map(|gpu| gpu.capability).collect();
        for capability in capabilities {
            compile(capability, toolkit).map_err(|log| of_trial(&log, toolkit, cuda.compiler))?;
        }
        Ok(cuda)
    }

    /// Facts about the GPUs that are visible, if this program can use them.
    pub(in crate::devices) fn usable() -> Option<Facts> {
        facts().ok().filter(|facts| environment(facts).is_ok())
    }

    fn environment(facts: &Facts) -> Result<Cuda, NoCuda> {
        let compiler = check(facts)?;
        Ok(Cuda { gpus: facts.gpus.len(), driver: facts.driver, compiler })
    }

    fn facts() -> Result<Facts, NoCuda> {
        // SAFETY: It only tries to load a library of that name.
        if !unsafe { sys::is_culib_present() } {
            return Err(NoCuda::NoDriver);
        }
        let hidden = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let said = |error: result::DriverError| match error.0 {
            sys::CUresult::CUDA_ERROR_NO_DEVICE => NoCuda::NoDevice { hidden: hidden.clone() },
            other => NoCuda::Driver(format!("{other:?}")),
        };
        result::init().map_err(said)?;
        let count = result::device::get_count().map_err(said)?;
        if count < 1 {
            return Err(NoCuda::NoDevice { hidden });
        }
        let mut number = 0;
        // SAFETY: The number is written by the call and outlives it.
        unsafe { sys::cuDriverGetVersion(&raw mut number) }.result().map_err(said)?;
        Ok(Facts {
            driver: Version::of_number(number),
            built_for: Version::of_number(i32::try_from(sys::CUDA_VERSION).unwrap_or_default()),
            gpus: (0..count).map(gpu).collect::<Result<_, _>>().map_err(said)?,
            compiler: compiler(),
            toolkit: install::cuda_path(),
        })
    }

    /// The GPU of an index.
    fn gpu(index: i32) -> Result<Gpu, result::DriverError> {
        let device = result::device::get(index)?;
        // SAFETY: The device is there.
        let attribute = |name| unsafe { result::device::get_attribute(device, name) };
        let major = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        Ok(Gpu { name: result::device::get_name(device)?, capability: Capability { major, minor } })
    }

    /// NVRTC, if it is there and answers.
    fn compiler() -> Option<Compiler> {
        // SAFETY: It only tries to load a library of that name.
        if !unsafe { nvrtc::is_culib_present() } {
            return None;
        }
        let (mut major, mut minor, mut count) = (0, 0, 0);
        // SAFETY: The library is there; the numbers are written by the calls and outlive them.
        let answers = unsafe {
            [nvrtc::nvrtcVersion(&raw mut major, &raw mut minor), nvrtc::nvrtcGetNumSupportedArchs(&raw mut count)]
        };
        let mut numbers = vec![0; usize::try_from(count).unwrap_or_default()];
        // SAFETY: There is room for as many numbers as were announced.
        let listed = unsafe { nvrtc::nvrtcGetSupportedArchs(numbers.as_mut_ptr()) };
        let is_fine = |answer: &nvrtc::nvrtcResult| *answer == nvrtc::nvrtcResult::NVRTC_SUCCESS;
        let capabilities = numbers.into_iter().map(Capability::of_number).collect();
        let all_fine = answers.iter().chain([&listed]).all(is_fine);
        all_fine.then_some(Compiler { version: Version { major, minor }, capabilities })
    }

    /// Compiles a kernel that includes all headers and does nothing; fails with the compiler's messages.
    fn compile(capability: Capability, toolkit: Option<&Path>) -> Result<(), String> {
        let includes: String = HEADERS.iter().map(|(header, _)| format!("#include <{header}>\n")).collect();
        let source = format!("{includes}extern \"C\" __global__ void trial() {{}}\n");
        let source = CString::new(source).map_err(|error| error.to_string())?;
        let Capability { major, minor } = capability;
        // CubeCL asks for the instructions of just this architecture, too.
        let suffix = if major >= 9 { "a" } else { "" };
        let folders = toolkit.map(include_folders).into_iter().flatten();
        let mut options: Vec<String> = folders.map(|folder| format!("--include-path={}", folder.display())).collect();
        options.push(format!("--gpu-architecture=sm_{major}{minor}{suffix}"));
        let program = programs::create_program(&source, None).map_err(|error| error.to_string())?;
        // SAFETY: The program was just made, its source outlives it, and it is freed once, here.
        unsafe {
            let compiled = programs::compile_program(program, &options);
            let log = programs::get_program_log(program).unwrap_or_default();
            // A program that is not freed costs memory of a process that ends soon.
            let _ = programs::destroy_program(program);
            let log: Vec<u8> = log.into_iter().map(|letter| letter as u8).take_while(|letter| *letter != 0).collect();
            let log = String::from_utf8_lossy(&log);
            compiled.map_err(|error| if log.trim().is_empty() { error.to_string() } else { log.into_owned() })
        }
    }

    /// The GPUs that are visible, if this program can use them. They are opened.
    pub fn gpus() -> Vec<Device> {
        let gpus = if find().is_ok() { Device::enumerate(DeviceType::Cuda).into_vec() } else { Vec::new() };
        cuda_features::leave_out_tensor_maps(gpus.len());
        gpus
    }

    /// Leaves out TF32 on the first `count` GPUs, before anything computes on them.
    pub fn leave_out_tf32(count: usize) {
        cuda_features::leave_out_tf32(count);
    }

    /// The architecture of the first visible GPU, such as `sm_90`.
    pub fn architecture() -> Option<String> {
        result::init().ok()?;
        let Capability { major, minor } = gpu(0).ok()?.capability;
        Some(format!("sm_{major}{minor}"))
    }
}
