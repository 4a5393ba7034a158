//! Resources of this machine, and how much of them this process may use: CPUs, memory, GPUs.

pub(crate) mod control_group;
pub(crate) mod gpus;
pub(crate) mod slurm;

use std::path::{Path, PathBuf};

use control_group::MemoryGroup;
use slurm::Environment;

/// Available amount of a resource, and the source of the limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Available<T> {
    /// Amount.
    pub amount: T,
    /// Source of the limit.
    pub source: Source,
}

/// Source of a limit on a run's resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The machine itself, or what the system lets this process use of it.
    Machine,
    /// A limit of the control group with this folder.
    ControlGroup(PathBuf),
    /// Slurm, by this variable.
    Slurm(&'static str),
    /// The user, by this option.
    Option(&'static str),
}

/// CPUs that this process may use: affinity and quotas of control groups count, and what Slurm gave the job.
pub(crate) fn cpus(environment: Environment<'_>) -> Available<u32> {
    let machine = std::thread::available_parallelism();
    let machine = machine.map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX));
    match slurm::cpus(environment) {
        Some((amount, variable)) if amount < machine => Available { amount, source: Source::Slurm(variable) },
        _ => Available { amount: machine, source: Source::Machine },
    }
}

/// Bytes of main memory that this process may use: the smallest of what the machine has, what control groups allow and what
/// Slurm gave the job. If all are unknown, half a tebibyte, so that nothing is refused for it. The system's files are
/// read below `root`.
pub(crate) fn memory(root: &Path, environment: Environment<'_>) -> Available<u64> {
    const UNKNOWN: u64 = 1 << 39;
    let machine = read_total(&root.join("proc/meminfo")).unwrap_or(UNKNOWN);
    let groups = MemoryGroup::find_all(root).into_iter().filter_map(|group| group.limit());
    let groups = groups.map(|limit| (limit.bytes, Source::ControlGroup(limit.group)));
    let slurm = slurm::memory(environment, cpus(environment).amount);
    let slurm = slurm.map(|(bytes, variable)| (bytes, Source::Slurm(variable)));
    let all = std::iter::once((machine, Source::Machine)).chain(groups).chain(slurm);
    let smallest = all.min_by_key(|(bytes, _)| *bytes);
    smallest
        .map_or(Available { amount: machine, source: Source::Machine }, |(amount, source)| Available { amount, source })
}

fn read_total(meminfo: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(meminfo).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_amount_of_memory_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let found = |mebibytes: &'static str| {
            memory(root.path(), &move |name| (name == "SLURM_MEM_PER_NODE").then(|| mebibytes.to_owned()))
        };
        assert_eq!(found("").amount, 1 << 39);
        write("proc/meminfo", "MemFree: 5 kB\nMemTotal:       16777216 kB\n");
        assert_eq!(found("0"), Available { amount: 16 << 30, source: Source::Machine });
        write("proc/self/cgroup", "0::/a\n");
        write("proc/self/mountinfo", "30 20 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
        write("cg/a/memory.max", "9223372036854771712\n");
        assert_eq!(found("0"), Available { amount: 16 << 30, source: Source::Machine });
        write("cg/a/memory.max", "8589934592\n");
        let group = root.path().join("cg/a");
        assert_eq!(found("16000"), Available { amount: 8 << 30, source: Source::ControlGroup(group) });
        assert_eq!(found("4096"), Available { amount: 4 << 30, source: Source::Slurm("SLURM_MEM_PER_NODE") });
    }
}
