//! GPUs as `nvidia-smi` lists them, for machines on which NVML cannot be loaded.

use std::io::ErrorKind;
use std::process::Command;

use athanor_stages::nn::devices::GpuApi;

use super::{GpuInfo, GpuList, Slice};
use crate::run::program_search::start_error;

/// Name of the program.
const NAME: &str = "nvidia-smi";

/// All GPUs.
///
/// # Errors
/// Why `nvidia-smi` tells of none.
pub(crate) fn list() -> Result<GpuList, String> {
    let gpus = ask(&["--query-gpu=index,uuid,memory.total,compute_cap,name", "--format=csv,noheader,nounits"])
        .or_else(|_| ask(&["--query-gpu=index,uuid,memory.total,name", "--format=csv,noheader,nounits"]))?;
    let gpus: Vec<GpuInfo> = gpus.lines().filter_map(parse_gpu).collect();
    // Both are left out where this version knows no such question.
    let slices = ask(&["-L"]).unwrap_or_default();
    let processes = ask(&["--query-compute-apps=gpu_uuid,pid", "--format=csv,noheader"]).unwrap_or_default();
    let driver = ask(&["--query-gpu=driver_version", "--format=csv,noheader"]).ok();
    let driver = driver.and_then(|text| text.lines().next().map(|line| line.trim().to_owned()));
    let mut gpus = with_slices(gpus, &slices);
    for (uuid, process) in processes.lines().filter_map(parse_process) {
        gpus.iter_mut().filter(|gpu| gpu.uuid == uuid).for_each(|gpu| gpu.processes.push(process));
    }
    Ok(GpuList { gpus, driver })
}

fn ask(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(NAME);
    let output = command.args(arguments).output().map_err(|error| match start_error(&command, error) {
        error if error.kind() == ErrorKind::NotFound => {
            format!("no NVIDIA driver was found (neither libnvidia-ml.so.1 nor `{NAME}` is installed)")
        }
        error => format!("`{NAME}` cannot be started: {error}"),
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    Err(format!("`{NAME}` failed: {}", text.lines().next().unwrap_or("it said nothing")))
}

/// Reads a line such as `0, GPU-5cb1c9d3, 81559, 9.0, NVIDIA H100 80GB HBM3`, with or without the compute capability; the
/// memory is in MiB.
fn parse_gpu(line: &str) -> Option<GpuInfo> {
    let mut fields = line.splitn(4, ',').map(str::trim);
    let index = fields.next()?.parse().ok()?;
    let uuid = fields.next()?.to_owned();
    let memory = fields.next()?.parse::<u64>().ok().map(|mebibytes| mebibytes << 20);
    let rest = fields.next()?;
    let capability = rest.split_once(',').and_then(|(version, name)| Some((parse_version(version)?, name.trim())));
    let (compute_capability, name) = capability.map_or((None, rest), |(version, name)| (Some(version), name));
    let name = name.to_owned();
    let (api, processes) = (GpuApi::Cuda, Vec::new());
    Some(GpuInfo { api, index, uuid, slice: None, name, memory, compute_capability, processes })
}

fn parse_version(text: &str) -> Option<(i32, i32)> {
    let (major, minor) = text.trim().split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn parse_process(line: &str) -> Option<(&str, u32)> {
    let (uuid, process) = line.split_once(',')?;
    Some((uuid.trim(), process.trim().parse().ok()?))
}

/// Puts the slices of `nvidia-smi -L` in the place of the GPUs they belong to:
///
/// ```text
/// GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5cb1c9d3)
///   MIG 1g.10gb     Device  0: (UUID: MIG-c0ffee)
/// ```
fn with_slices(gpus: Vec<GpuInfo>, listing: &str) -> Vec<GpuInfo> {
    let mut slices: Vec<(u32, Slice, GpuInfo)> = Vec::new();
    let mut parent = None;
    for line in listing.lines() {
        let line = line.trim();
        if let Some(index) = line.strip_prefix("GPU ").and_then(|rest| rest.split(':').next()?.parse::<u32>().ok()) {
            parent = gpus.iter().find(|gpu| gpu.index == index);
        } else if let (Some(parent), Some((profile, uuid))) = (parent, parse_slice(line)) {
            let number = Slice(slices.iter().filter(|(of, ..)| *of == parent.index).count().try_into().unwrap_or(0));
            let name = format!("{} MIG {profile}", parent.name);
            let slice = GpuInfo { uuid: uuid.to_owned(), slice: Some(number), name, memory: None, ..parent.clone() };
            slices.push((parent.index, number, slice));
        }
    }
    let replace = |gpu: GpuInfo| -> Vec<GpuInfo> {
        let own = slices.iter().filter(|(of, ..)| *of == gpu.index).map(|(.., slice)| slice.clone());
        let own: Vec<GpuInfo> = own.collect();
        if own.is_empty() { vec![gpu] } else { own }
    };
    gpus.into_iter().flat_map(replace).collect()
}

/// Profile and UUID of a slice.
fn parse_slice(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("MIG ")?;
    let uuid = rest.split_once("(UUID: ")?.1.strip_suffix(')')?;
    Some((rest.split_whitespace().next()?, uuid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_gpus_are_read() {
        let gpu = parse_gpu("0, GPU-5cb1c9d3, 81559, 9.0, NVIDIA H100 80GB HBM3").unwrap();
        assert_eq!((gpu.index, gpu.memory), (0, Some(81_559 << 20)));
        assert_eq!((gpu.name.as_str(), gpu.compute_capability), ("NVIDIA H100 80GB HBM3", Some((9, 0))));
        let old = parse_gpu("1, GPU-1, [N/A], A, B").unwrap();
        assert_eq!((old.memory, old.compute_capability, old.name.as_str()), (None, None, "A, B"));
        assert_eq!(parse_gpu("No devices were found"), None);
        assert_eq!(parse_process("GPU-1, 77"), Some(("GPU-1", 77)));
    }

    #[test]
    fn slices_take_the_place_of_their_gpu() {
        let gpus = ["0, GPU-a, 40960, 8.0, NVIDIA A100", "1, GPU-b, 40960, 8.0, NVIDIA A100"].map(parse_gpu);
        let listing = "GPU 0: NVIDIA A100 (UUID: GPU-a)\n  MIG 3g.20gb     Device  0: (UUID: MIG-x)\n  \
                       MIG 3g.20gb     Device  1: (UUID: MIG-y)\nGPU 1: NVIDIA A100 (UUID: GPU-b)\n";
        let all = with_slices(gpus.into_iter().flatten().collect(), listing);
        let ids: Vec<String> = all.iter().map(|gpu| gpu.id().to_string()).collect();
        assert_eq!(ids, ["MIG-x", "MIG-y", "1"]);
        assert_eq!((all[1].name.as_str(), all[1].slice), ("NVIDIA A100 MIG 3g.20gb", Some(Slice(1))));
    }
}
