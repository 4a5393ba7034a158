//! Whether this program can use GPUs, found out in a process of its own: that sees what a stage would see, a run does not
//! load the driver, and if the driver or the compiler crashes, that is an answer, too.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use athanor_stages::nn::devices::cuda::{self, Cuda, NoCuda};
use athanor_stages::nn::devices::vulkan::{self, NoVulkan, Vulkan};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{GpuId, environment};

/// Command of this program that looks for CUDA.
const FIND_CUDA: &str = "find-cuda";
/// Command of this program that looks for GPUs through Vulkan.
const FIND_VULKAN: &str = "find-vulkan";

/// Answer of the drivers behind some GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GpuSupport {
    /// CUDA's.
    Cuda(Result<Cuda, NoCuda>),
    /// Vulkan's.
    Vulkan(Result<Vulkan, NoVulkan>),
}

impl GpuSupport {
    /// The answer for stages that are given some of `gpus`.
    pub(crate) fn of(program: &Path, gpus: &[GpuId]) -> GpuSupport {
        if gpus.iter().any(|gpu| matches!(gpu, GpuId::Vulkan(_))) {
            GpuSupport::Vulkan(find_vulkan(program, gpus))
        } else {
            GpuSupport::Cuda(find_cuda(program, gpus))
        }
    }

    /// Reason why this program cannot compute on the GPUs.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            GpuSupport::Cuda(found) => found.as_ref().err().map(ToString::to_string),
            GpuSupport::Vulkan(found) => found.as_ref().err().map(ToString::to_string),
        }
    }
}

/// The CUDA environment for stages that are given some of `gpus`, or for whatever is visible if there are none.
pub(crate) fn find_cuda(program: &Path, gpus: &[GpuId]) -> Result<Cuda, NoCuda> {
    if !cuda::IS_BUILT {
        return Err(NoCuda::NotBuilt);
    }
    ask(program, FIND_CUDA, gpus).unwrap_or_else(|crash| Err(NoCuda::Crashed(crash)))
}

/// The GPUs that Vulkan shows to stages that are given some of `gpus`, or whatever is visible if there are none.
pub(crate) fn find_vulkan(program: &Path, gpus: &[GpuId]) -> Result<Vulkan, NoVulkan> {
    if !vulkan::IS_BUILT {
        return Err(NoVulkan::NotBuilt);
    }
    ask(program, FIND_VULKAN, gpus).unwrap_or_else(|crash| Err(NoVulkan::Crashed(crash)))
}

/// The answer of a process; fails with its last words.
fn ask<T: DeserializeOwned>(program: &Path, question: &str, gpus: &[GpuId]) -> Result<T, String> {
    let mut command = Command::new(program);
    command.arg(question).stdin(Stdio::null());
    if !gpus.is_empty() {
        command.envs(environment(gpus));
    }
    read(&command.output().map_err(|error| error.to_string())?)
}

fn read<T: DeserializeOwned>(output: &Output) -> Result<T, String> {
    serde_json::from_slice(&output.stdout).map_err(|_| {
        // Vulkan drivers complain of having no screen, which nobody needs here.
        let is_beside_the_point =
            |line: &str| line.is_empty() || line.starts_with("thread ") || line.contains("XDG_RUNTIME_DIR");
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).find(|line| !is_beside_the_point(line));
        said.map_or_else(|| output.status.to_string(), str::to_owned)
    })
}

/// Looks for CUDA in this process and prints the answer; returns the process's exit code.
pub(crate) fn cuda_main() -> u8 {
    answer(&cuda::try_out())
}

/// Looks for GPUs through Vulkan in this process and prints the answer; returns the process's exit code.
pub(crate) fn vulkan_main() -> u8 {
    answer(&vulkan::try_out())
}

fn answer(found: &impl Serialize) -> u8 {
    let answer = serde_json::to_vec(found).unwrap_or_default();
    u8::from(std::io::stdout().write_all(&answer).is_err())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn output(status: i32, stdout: &str, stderr: &str) -> Output {
        Output { status: ExitStatus::from_raw(status), stdout: stdout.into(), stderr: stderr.into() }
    }

    fn read_cuda(output: &Output) -> Result<Result<Cuda, NoCuda>, String> {
        read(output)
    }

    #[test]
    fn an_answer_is_read_and_a_crash_is_one() {
        let answer = serde_json::to_string(&Err::<Cuda, _>(NoCuda::NoDriver)).unwrap();
        assert_eq!(read_cuda(&output(0, &answer, "")), Ok(Err(NoCuda::NoDriver)));
        let panic = "error: XDG_RUNTIME_DIR is invalid\n\nthread 'main' panicked at cudarc/src/driver/sys/mod.rs:12:\nMissing symbol cuInit\n";
        assert_eq!(read_cuda(&output(101 << 8, "", panic)), Err("Missing symbol cuInit".to_owned()));
        let killed = NoCuda::Crashed(read_cuda(&output(11, "", "")).unwrap_err()).to_string();
        assert!(killed.contains("crashed when it was tried: signal: 11"), "{killed}");
    }
}
