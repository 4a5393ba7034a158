//! What this machine has: CPUs, memory, GPUs.

use std::process::Command;

use crate::run::resources::GpuDevice;

/// A GPU as the driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its index and memory.
    pub device: GpuDevice,
    /// Its model.
    pub name: String,
}

/// CPUs that this process may use.
pub fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// Bytes of main memory; half of a tebibyte where the system does not tell, so that nothing is refused for it.
pub fn memory() -> u64 {
    const UNKNOWN: u64 = 1 << 39;
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok());
    kibibytes.map_or(UNKNOWN, |kibibytes| kibibytes * 1024)
}

/// The GPUs that the NVIDIA driver reports, or why there are none.
pub fn gpus() -> Result<Vec<GpuInfo>, String> {
    let mut command = Command::new("nvidia-smi");
    command.args(["--query-gpu=index,memory.total,name", "--format=csv,noheader,nounits"]);
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "no NVIDIA driver was found (`nvidia-smi` is not installed)".to_owned(),
        _ => format!("`nvidia-smi` cannot be started: {error}"),
    })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stdout);
        return Err(format!("`nvidia-smi` failed: {}", text.lines().next().unwrap_or("it said nothing")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(parse_gpu).collect())
}

/// Reads a line such as `0, 81559, NVIDIA H100 80GB HBM3`; the memory is in MiB.
fn parse_gpu(line: &str) -> Option<GpuInfo> {
    let mut fields = line.splitn(3, ',').map(str::trim);
    let index = fields.next()?.parse().ok()?;
    let memory = fields.next()?.parse::<u64>().ok().map(|mebibytes| mebibytes << 20);
    Some(GpuInfo { device: GpuDevice { index, memory }, name: fields.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_driver_is_read() {
        let gpu = parse_gpu("0, 81559, NVIDIA H100 80GB HBM3").unwrap();
        assert_eq!(gpu.device, GpuDevice { index: 0, memory: Some(81_559 << 20) });
        assert_eq!(gpu.name, "NVIDIA H100 80GB HBM3");
        assert_eq!(parse_gpu("0, [N/A], A, B").unwrap().device.memory, None);
        assert_eq!(parse_gpu("No devices were found"), None);
    }
}
