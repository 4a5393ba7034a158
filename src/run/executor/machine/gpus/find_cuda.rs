//! Whether this program can use GPUs, found out in a process of its own: that sees what a stage would see, a run does not
//! load the driver, and if the driver or the compiler crashes, that is an answer, too.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use athanor_stages::nn::devices::cuda::{self, Cuda, NoCuda};

use super::{GpuId, environment};

/// The command of this program that looks for CUDA.
pub(crate) const COMMAND: &str = "find-cuda";

/// The CUDA environment for stages that are given some of `gpus`, or for whatever is visible if there are none.
pub(crate) fn find_cuda(program: &Path, gpus: &[GpuId]) -> Result<Cuda, NoCuda> {
    if !cuda::IS_BUILT {
        return Err(NoCuda::NotBuilt);
    }
    let mut command = Command::new(program);
    command.arg(COMMAND).stdin(Stdio::null());
    if !gpus.is_empty() {
        command.envs(environment(gpus));
    }
    match command.output() {
        Ok(output) => read(&output),
        Err(error) => Err(NoCuda::Crashed(error.to_string())),
    }
}

fn read(output: &Output) -> Result<Cuda, NoCuda> {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| {
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("thread "));
        Err(NoCuda::Crashed(said.map_or_else(|| output.status.to_string(), str::to_owned)))
    })
}

/// Looks for CUDA in this process and prints the answer; returns the process's exit code.
pub(crate) fn main() -> u8 {
    let answer = serde_json::to_vec(&cuda::try_out()).unwrap_or_default();
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

    #[test]
    fn an_answer_is_read_and_a_crash_is_one() {
        let answer = serde_json::to_string(&Err::<Cuda, _>(NoCuda::NoDriver)).unwrap();
        assert_eq!(read(&output(0, &answer, "")), Err(NoCuda::NoDriver));
        let panic = "\nthread 'main' panicked at cudarc/src/driver/sys/mod.rs:12:\nMissing symbol cuInit\n";
        assert_eq!(read(&output(101 << 8, "", panic)), Err(NoCuda::Crashed("Missing symbol cuInit".to_owned())));
        let killed = read(&output(11, "", "")).unwrap_err().to_string();
        assert!(killed.contains("crashed when it was tried: signal: 11"), "{killed}");
    }
}
