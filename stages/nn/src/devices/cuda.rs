//! NVIDIA GPUs: whether this program can use them, and why not.

use std::path::PathBuf;

#[cfg(feature = "cuda")]
use with_cuda::is_driver_present;
#[cfg(feature = "cuda")]
pub(super) use with_cuda::platform;
#[cfg(feature = "cuda")]
pub use with_cuda::{architecture, find, gpus};
#[cfg(not(feature = "cuda"))]
use without_cuda::is_driver_present;
#[cfg(not(feature = "cuda"))]
pub use without_cuda::{architecture, find, gpus};

/// The CUDA environment of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cuda {
    /// GPUs that are visible.
    pub gpus: usize,
    /// The version of CUDA that the driver is made for.
    pub driver: Version,
    /// The version of the compiler of kernels, NVRTC.
    pub compiler: Version,
}

/// Model of a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuModel {
    /// Name, as the driver gives it; that of a MIG slice has its profile in it.
    pub name: String,
    /// Compute capability: before the dot and after it.
    pub capability: (i32, i32),
}

/// GPUs of a process, and the software that makes and runs their kernels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuPlatform {
    /// The GPUs, in the order in which the process sees them.
    pub gpus: Vec<GpuModel>,
    /// The version of CUDA that the driver is made for.
    pub driver: Version,
    /// The version of the compiler of kernels.
    pub compiler: Version,
}

/// Reasons why this program can use no NVIDIA GPU, with advice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCuda {
    /// The feature is off.
    #[error("this program was built without CUDA; build it with `cargo install --path . --features cuda`")]
    NotBuilt,
    /// There is no libcuda.
    #[error(
        "the driver's library (libcuda.so.1) was not found; install NVIDIA's driver, or put the library's folder into LD_LIBRARY_PATH"
    )]
    NoDriver,
    /// The driver does not start.
    #[error("NVIDIA's driver does not start: {0}; `nvidia-smi` may say more")]
    Driver(String),
    /// There is a driver, and no GPU.
    #[error("NVIDIA's driver is there, but shows no GPU{}", if_hidden(.hidden.as_deref()))]
    NoDevice {
        /// Value of CUDA_VISIBLE_DEVICES, if it is set.
        hidden: Option<String>,
    },
    /// There is no NVRTC.
    #[error(
        "the compiler of kernels (libnvrtc.so) was not found; install the CUDA toolkit, or put its library folder into LD_LIBRARY_PATH, as in `LD_LIBRARY_PATH=/usr/local/cuda/lib64`"
    )]
    NoCompiler,
    /// The driver is older than the compiler.
    #[error(
        "the driver is for CUDA {driver}, too old for the compiler of kernels, which is of CUDA {compiler}; install a newer driver, or an older toolkit"
    )]
    DriverTooOld {
        /// The driver's version of CUDA.
        driver: Version,
        /// NVRTC's.
        compiler: Version,
    },
    /// The toolkit's headers are missing.
    #[error("{}", no_headers(.looked_in.as_ref()))]
    NoHeaders {
        /// The folder in which they should be; none if no toolkit was found.
        looked_in: Option<PathBuf>,
    },
}

fn if_hidden(variable: Option<&str>) -> String {
    variable.map_or_else(String::new, |value| format!("; CUDA_VISIBLE_DEVICES is `{value}`, which may hide it"))
}

fn no_headers(looked_in: Option<&PathBuf>) -> String {
    let what = match looked_in {
        Some(folder) => format!("the CUDA toolkit's headers (cuda_runtime.h) are not in {}", folder.display()),
        None => "the CUDA toolkit was not found, whose headers are needed to compile kernels".to_owned(),
    };
    format!("{what}; install it, or set CUDA_PATH to its folder, as in `CUDA_PATH=/usr/local/cuda`")
}

/// Why this program can use no GPU, as far as that can be told without starting the driver.
pub fn missing_library() -> Option<NoCuda> {
    if !cfg!(feature = "cuda") {
        return Some(NoCuda::NotBuilt);
    }
    (!is_driver_present()).then_some(NoCuda::NoDriver)
}

/// A version of CUDA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Before the dot.
    pub major: i32,
    /// After it.
    pub minor: i32,
}

impl Version {
    /// From the number by which CUDA calls it: 12040 for 12.4.
    pub fn of_number(number: i32) -> Version {
        Version { major: number / 1000, minor: number % 1000 / 10 }
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// Fails if a driver cannot run what a compiler makes.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "asked only where there is CUDA"))]
fn require_match(driver: Version, compiler: Version) -> Result<(), NoCuda> {
    if driver < compiler { Err(NoCuda::DriverTooOld { driver, compiler }) } else { Ok(()) }
}

#[cfg(not(feature = "cuda"))]
mod without_cuda {
    use burn::prelude::Device;

    use super::{Cuda, NoCuda};

    /// The CUDA environment.
    pub fn find() -> Result<Cuda, NoCuda> {
        Err(NoCuda::NotBuilt)
    }

    /// The GPUs that are visible.
    pub fn gpus() -> Vec<Device> {
        Vec::new()
    }

    /// Whether the driver's library is there.
    pub(super) fn is_driver_present() -> bool {
        false
    }

    /// The architecture of the first visible GPU, such as `sm_90`.
    pub fn architecture() -> Option<String> {
        None
    }
}

#[cfg(feature = "cuda")]
mod with_cuda {
    use burn::prelude::Device;
    use burn::tensor::DeviceType;
    use cubecl::cuda::install;
    use cudarc::driver::{result, sys};

    use super::{Cuda, GpuModel, GpuPlatform, NoCuda, Version, require_match};

    /// The CUDA environment, or the first thing that is missing.
    pub fn find() -> Result<Cuda, NoCuda> {
        if !is_driver_present() {
            return Err(NoCuda::NoDriver);
        }
        let hidden = std::env::var("CUDA_VISIBLE_DEVICES").ok();
        let said = |error: result::DriverError| match error.0 {
            sys::CUresult::CUDA_ERROR_NO_DEVICE => NoCuda::NoDevice { hidden: hidden.clone() },
            other => NoCuda::Driver(format!("{other:?}")),
        };
        result::init().map_err(said)?;
        let gpus = usize::try_from(result::device::get_count().map_err(said)?).unwrap_or_default();
        if gpus == 0 {
            return Err(NoCuda::NoDevice { hidden });
        }
        let mut number = 0;
        // SAFETY: The number is written by the call and outlives it.
        unsafe { sys::cuDriverGetVersion(&raw mut number) }.result().map_err(said)?;
        let driver = Version::of_number(number);
        let compiler = compiler()?;
        require_match(driver, compiler)?;
        let headers = install::cuda_path().map(|folder| folder.join("include"));
        match headers {
            Some(folder) if folder.join("cuda_runtime.h").exists() => Ok(Cuda { gpus, driver, compiler }),
            looked_in => Err(NoCuda::NoHeaders { looked_in }),
        }
    }

    /// Whether the driver's library is there.
    pub(super) fn is_driver_present() -> bool {
        // SAFETY: It only tries to load a library of that name.
        unsafe { sys::is_culib_present() }
    }

    /// The version of NVRTC.
    fn compiler() -> Result<Version, NoCuda> {
        // SAFETY: It only tries to load a library of that name.
        if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
            return Err(NoCuda::NoCompiler);
        }
        let (mut major, mut minor) = (0, 0);
        // SAFETY: The library is there; the numbers are written by the call and outlive it.
        let answered = unsafe { cudarc::nvrtc::sys::nvrtcVersion(&raw mut major, &raw mut minor) };
        match answered {
            cudarc::nvrtc::sys::nvrtcResult::NVRTC_SUCCESS => Ok(Version { major, minor }),
            _ => Err(NoCuda::NoCompiler),
        }
    }

    /// The GPUs that are visible.
    pub fn gpus() -> Vec<Device> {
        Device::enumerate(DeviceType::Cuda).into_vec()
    }

    /// The architecture of the first visible GPU, such as `sm_90`.
    pub fn architecture() -> Option<String> {
        result::init().ok()?;
        let (major, minor) = capability(result::device::get(0).ok()?)?;
        Some(format!("sm_{major}{minor}"))
    }

    fn capability(device: sys::CUdevice) -> Option<(i32, i32)> {
        // SAFETY: The device is there.
        let attribute = |name| unsafe { result::device::get_attribute(device, name) }.ok();
        let major = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        Some((major, minor))
    }

    /// The GPUs that are visible, with their driver and compiler; `None` where any of these is missing.
    pub(in crate::devices) fn platform() -> Option<GpuPlatform> {
        let Cuda { driver, compiler, gpus } = find().ok()?;
        let model = |number: usize| {
            let device = result::device::get(i32::try_from(number).ok()?).ok()?;
            Some(GpuModel { name: result::device::get_name(device).ok()?, capability: capability(device)? })
        };
        Some(GpuPlatform { gpus: (0..gpus).map(model).collect::<Option<_>>()?, driver, compiler })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_must_not_be_older_than_the_compiler() {
        let [old, new] = [12_040, 13_000].map(Version::of_number);
        assert_eq!(old, Version { major: 12, minor: 4 });
        assert_eq!([require_match(new, old), require_match(new, new)], [Ok(()), Ok(())]);
        let told = require_match(old, new).unwrap_err().to_string();
        assert!(told.starts_with("the driver is for CUDA 12.4, too old for"), "{told}");
    }

    #[test]
    fn reasons_say_what_to_do() {
        let hidden = NoCuda::NoDevice { hidden: Some(String::new()) }.to_string();
        assert_eq!(hidden, "NVIDIA's driver is there, but shows no GPU; CUDA_VISIBLE_DEVICES is ``, which may hide it");
        let told = NoCuda::NoHeaders { looked_in: Some("/usr/local/cuda/include".into()) }.to_string();
        assert!(told.contains("not in /usr/local/cuda/include; install it, or set CUDA_PATH"), "{told}");
    }
}
