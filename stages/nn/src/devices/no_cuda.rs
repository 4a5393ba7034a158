//! Reasons why a program can use no NVIDIA GPU, in words that say what mends them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::packages::{Component, driver_packages};
use super::version::{Capability, Version};

/// Reasons why this program can use no NVIDIA GPU, with advice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoCuda {
    /// The feature is off.
    #[error("this program was built without CUDA; build it with `cargo install --path . --features cuda`")]
    NotBuilt,
    /// There is no libcuda.
    #[error(
        "the driver's library (libcuda.so.1) was not found; install NVIDIA's driver (packages `nvidia-driver` and `libcuda1` of Debian, `nvidia-driver-580` of Ubuntu), give a container its GPUs (`--gpus all`), or put the library's folder into LD_LIBRARY_PATH"
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
    /// The driver lacks what this program calls.
    #[error(
        "the driver is for CUDA {driver}, but this program, which was built for CUDA {built_for}, needs one for {needed} or later; install {}",
        driver_packages(*.needed)
    )]
    DriverTooOldForProgram {
        /// The driver's version of CUDA.
        driver: Version,
        /// The oldest that will do.
        needed: Version,
        /// The version of CUDA that the program was built for.
        built_for: Version,
    },
    /// There is no NVRTC.
    #[error(
        "the compiler of kernels (libnvrtc.so) was not found; install {}, and put its library folder into LD_LIBRARY_PATH, as in `LD_LIBRARY_PATH=/usr/local/cuda/lib64`",
        Component::Nvrtc.packages(*.wanted)
    )]
    NoCompiler {
        /// The version that fits the driver and the GPUs.
        wanted: Version,
    },
    /// The driver is older than the compiler.
    #[error(
        "the driver is for CUDA {driver}, too old for the compiler of kernels, which is of CUDA {compiler}; install {}, or an older compiler: {}",
        driver_packages(*.compiler),
        Component::Nvrtc.packages(*.wanted)
    )]
    DriverTooOld {
        /// The driver's version of CUDA.
        driver: Version,
        /// NVRTC's.
        compiler: Version,
        /// The version of NVRTC that fits the driver and the GPUs.
        wanted: Version,
    },
    /// The compiler knows no such GPU any more, or not yet.
    #[error("{}", unknown_gpu(.gpu, *.capability, *.compiler, *.wanted))]
    UnknownGpu {
        /// Name of the GPU.
        gpu: String,
        /// Its compute capability.
        capability: Capability,
        /// NVRTC's version.
        compiler: Version,
        /// A version of NVRTC that compiles for it; none where this program has no use for one.
        wanted: Option<Version>,
    },
    /// The toolkit's headers are missing.
    #[error("{}", no_header(.header, .looked_in.as_ref(), .packages))]
    NoHeader {
        /// The header.
        header: String,
        /// The folder in which it should be; none if no toolkit was found.
        looked_in: Option<PathBuf>,
        /// Packages that have it.
        packages: String,
    },
    /// NVRTC does not find the other half of itself.
    #[error(
        "the compiler of kernels lacks its library {library}; install {}, and put the folder of both into LD_LIBRARY_PATH",
        Component::Nvrtc.packages(*.compiler)
    )]
    NoBuiltins {
        /// Name of the library.
        library: String,
        /// NVRTC's version.
        compiler: Version,
    },
    /// The compiler refuses a kernel that does nothing.
    #[error(
        "the compiler of kernels does not work: {said}; the toolkit's headers (CUDA_PATH) should be of the version of NVRTC, {compiler}"
    )]
    Compiler {
        /// The compiler's message.
        said: String,
        /// NVRTC's version.
        compiler: Version,
    },
    /// The process that looked for CUDA died.
    #[error("the driver or the compiler of kernels crashed when it was tried: {0}")]
    Crashed(String),
}

fn if_hidden(variable: Option<&str>) -> String {
    variable.map_or_else(String::new, |value| format!("; CUDA_VISIBLE_DEVICES is `{value}`, which may hide it"))
}

fn unknown_gpu(gpu: &str, capability: Capability, compiler: Version, wanted: Option<Version>) -> String {
    let what = format!(
        "the compiler of kernels, NVRTC of CUDA {compiler}, does not compile for the GPU {gpu} of compute capability {capability}"
    );
    match wanted {
        Some(wanted) => format!("{what}; install {}", Component::Nvrtc.packages(wanted)),
        None => format!("{what}, nor does any that this program can use; leave that GPU out with `--gpus`"),
    }
}

fn no_header(header: &str, looked_in: Option<&PathBuf>, packages: &str) -> String {
    let what = match looked_in {
        Some(folder) => {
            format!(
                "the CUDA toolkit's header {header}, which kernels are compiled with, is not in {}",
                folder.display()
            )
        }
        None => format!("the CUDA toolkit was not found, whose headers ({header}) are needed to compile kernels"),
    };
    format!("{what}; install {packages}, or set CUDA_PATH to the toolkit's folder, as in `CUDA_PATH=/usr/local/cuda`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_say_what_to_do() {
        let hidden = NoCuda::NoDevice { hidden: Some(String::new()) }.to_string();
        assert_eq!(hidden, "NVIDIA's driver is there, but shows no GPU; CUDA_VISIBLE_DEVICES is ``, which may hide it");
        let new = Version::of_number(13_000);
        let header = NoCuda::NoHeader {
            header: "crt/mma.h".to_owned(),
            looked_in: Some("/usr/local/cuda/include".into()),
            packages: Component::Crt.packages(new),
        };
        assert_eq!(
            header.to_string(),
            "the CUDA toolkit's header crt/mma.h, which kernels are compiled with, is not in /usr/local/cuda/include; install \
             `cuda-crt-13-0` of NVIDIA's packages or `pip install nvidia-cuda-crt==13.0.*`, or set CUDA_PATH to the toolkit's \
             folder, as in `CUDA_PATH=/usr/local/cuda`"
        );
        let library = "libnvrtc-builtins.so.13.0".to_owned();
        let builtins = NoCuda::NoBuiltins { library, compiler: new }.to_string();
        assert!(
            builtins.contains("lacks its library libnvrtc-builtins.so.13.0; install `cuda-nvrtc-13-0`"),
            "{builtins}"
        );
    }

    #[test]
    fn a_reason_passes_between_processes() {
        let reason = NoCuda::UnknownGpu {
            gpu: "Tesla V100".to_owned(),
            capability: Capability::of_number(70),
            compiler: Version::of_number(13_000),
            wanted: Some(Version::of_number(12_090)),
        };
        let text = serde_json::to_string(&reason).unwrap();
        assert_eq!(serde_json::from_str::<NoCuda>(&text).unwrap(), reason);
    }
}
