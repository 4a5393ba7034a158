//! The node that an agent runs on: its name, its job, and what it may use.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::run::environment::EnvironmentVariable;
use crate::run::executor::machine::gpus::{self, GpuDevice, GpuId, VISIBLE_DEVICES};
use crate::run::executor::machine::{cpus, memory};
use crate::run::executor::resources::Capacity;

use super::super::folder::Shared;
use super::super::messages::AgentSpec;

/// Environment of an agent.
pub(crate) struct AgentHost {
    /// Variables of its process.
    pub variables: Vec<EnvironmentVariable>,
    /// Path of this program's binary.
    pub program: PathBuf,
}

impl AgentHost {
    /// The value of a variable, unless it is empty.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        let value = self.variables.iter().find(|(own, _)| own == name).and_then(|(_, value)| value.to_str());
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    }
}

/// Names of an agent.
pub(super) struct Identity {
    /// Name of the agent, another one each time its job starts.
    pub name: String,
    /// Name of its own queue.
    pub queue: String,
    /// Number of its job.
    pub job: String,
    /// Name of its node.
    pub node: String,
}

impl Identity {
    /// Identity of an agent of the submission `token`, whose folder is made.
    pub(super) fn of(host: &AgentHost, token: &str, shared: &Shared) -> io::Result<Identity> {
        let index = host.get("SLURM_ARRAY_TASK_ID");
        let queue = index.as_ref().map_or_else(|| token.to_owned(), |index| format!("{token}_{index}"));
        let job = match (host.get("SLURM_ARRAY_JOB_ID"), index) {
            (Some(job), Some(index)) => format!("{job}_{index}"),
            _ => host.get("SLURM_JOB_ID").unwrap_or_else(|| "?".to_owned()),
        };
        // Each start has a folder of its own, also where the queue does not count them, and where earlier ones are not seen yet:
        // that a folder is there already is the server's word.
        let mut start = 0_u32;
        let name = loop {
            let name = format!("{queue}.r{start:03}");
            match std::fs::create_dir(shared.agent(&name)) {
                Ok(()) => break name,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => start += 1,
                Err(error) => return Err(error),
            }
        };
        let machine = || {
            let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
            name.trim().to_owned()
        };
        let node = host.get("SLURMD_NODENAME").unwrap_or_else(machine);
        Ok(Identity { name, queue, job, node })
    }
}

/// Time limit of an agent's job: as the cluster says it, which may have one where none was asked for, or else as it was asked for.
pub(super) fn time_limit(host: &AgentHost, spec: &AgentSpec) -> Option<Duration> {
    let seconds = |name: &str| host.get(name)?.parse::<u64>().ok();
    // Both are by the controller's clock.
    let limit =
        || seconds("SLURM_JOB_END_TIME")?.checked_sub(seconds("SLURM_JOB_START_TIME")?).map(Duration::from_secs);
    limit().or(spec.time)
}

/// Resources of an agent's job.
pub(super) fn capacity(host: &AgentHost, spec: &AgentSpec) -> Capacity {
    let variable = |name: &str| host.get(name);
    Capacity {
        cpus: cpus(&variable).amount,
        memory: memory(Path::new("/"), &variable).amount,
        // Asking the driver takes longer than most stages that need no GPU.
        gpus: if spec.gpus > 0 { gpus_of(host.get(VISIBLE_DEVICES).as_deref()) } else { Vec::new() },
        cpu_fallback: false,
    }
}

/// GPUs that a job was given; by their names alone where the driver cannot be asked.
fn gpus_of(visible: Option<&str>) -> Vec<GpuDevice> {
    let ids = visible.into_iter().flat_map(|list| list.split(',')).filter_map(|name| GpuId::parse(name.trim()));
    let ids: Vec<GpuId> = ids.collect();
    if let Ok(list) = gpus::list()
        && let Ok(gpus) = gpus::choose(Some(&list), visible, None)
        && gpus.len() >= ids.len()
    {
        return gpus;
    }
    ids.into_iter().map(|id| GpuDevice { id, memory: None, is_busy: false }).collect()
}
