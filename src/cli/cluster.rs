//! Options of a cluster's jobs, and the agent that runs on its nodes.

use std::path::Path;

use crate::cli::arguments::{ExecutorName, RunCommand};
use crate::cli::{Exit, UP_TO_DATE};
use crate::escape::escape;
use crate::language::ByteSize;
use crate::run::executor::resources::Capacity;
use crate::run::{AgentHost, QueueCommands, SlurmConfig, agent_main};
use crate::settings::{ExecutorChoice, GpuOption, OnNoGpu, Setting, Settings, SlurmSettings};

/// Beginnings of the variables of a job that this process may be part of, and of those that are options of Slurm's commands.
const OF_SLURM: [&str; 5] = ["SLURM_", "SBATCH_", "SQUEUE_", "SCANCEL_", "SACCT_"];

/// Options of the cluster's jobs, if stages are to run there.
pub(super) fn options(settings: &Settings, command: &RunCommand) -> Result<Option<SlurmConfig>, Exit> {
    let executor = match command.executor {
        Some(ExecutorName::Local) => ExecutorChoice::Local,
        Some(ExecutorName::Slurm) => ExecutorChoice::Slurm,
        Some(ExecutorName::Batch) => ExecutorChoice::Batch,
        None => settings.executor.value,
    };
    if executor == ExecutorChoice::Local {
        return Ok(None);
    }
    let chosen = match command.executor {
        Some(_) => "--executor".to_owned(),
        None => settings.executor.origin.to_string(),
    };
    let SlurmSettings { batch, account, extra, gpus, idle, max_jobs, partition, poll, qos, setup, time } =
        settings.slurm.clone();
    let is_of_slurm = |name: &str| name != "SLURM_CONF" && OF_SLURM.iter().any(|start| name.starts_with(start));
    let hidden = std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_str().is_some_and(is_of_slurm));
    Ok(Some(SlurmConfig {
        commands: if executor == ExecutorChoice::Batch { Some(commands(batch, &chosen)?) } else { None },
        partition: partition.value,
        account: account.value,
        qos: qos.value,
        time: time.value,
        max_jobs: max_jobs.value as usize,
        setup: setup.value,
        extra: extra.value,
        by_gpus: gpus.value == GpuOption::Gpus,
        hidden: hidden.collect(),
        poll: poll.value,
        idle: idle.value,
        scratch: settings.scratch.value.clone(),
        scratch_limit: settings.scratch_limit.value.map(ByteSize::bytes),
    }))
}

/// Commands of a queue other than Slurm, all of which are needed; `chosen` says where this executor was chosen.
fn commands(batch: [Setting<Option<String>>; 3], chosen: &str) -> Result<QueueCommands, Exit> {
    let [cancel, poll, submit] = batch.map(|command| command.value);
    let named = [("submit", &submit), ("poll", &poll), ("cancel", &cancel)].into_iter();
    let lacking: Vec<String> =
        named.filter(|(_, command)| command.is_none()).map(|(name, _)| format!("`batch.{name}`")).collect();
    match (cancel, poll, submit) {
        (Some(cancel), Some(poll), Some(submit)) => Ok(QueueCommands { submit, poll, cancel }),
        _ => {
            let (lacking, chosen) = (lacking.join(", "), escape(chosen));
            let help =
                "write `batch: { submit: …, poll: …, cancel: … }` into a settings file; docs/cluster.md has examples";
            Err(Exit::wrong(format!(
                "error: the executor `batch` ({chosen}) needs commands of the queue, and lacks {lacking}\n  help: {help}"
            )))
        }
    }
}

/// Places for attempts on a cluster, which gives out its resources itself.
pub(super) fn capacity(config: &SlurmConfig, on_no_gpu: OnNoGpu) -> Capacity {
    let cpu_fallback = on_no_gpu == OnNoGpu::Cpu;
    Capacity { cpus: config.slots(), memory: u64::MAX, gpus: Vec::new(), cpu_fallback }
}

/// Runs an agent.
pub(super) fn agent(folder: &Path, token: &str) -> Result<u8, Exit> {
    let program =
        std::env::current_exe().map_err(|error| Exit::failed(format!("This program cannot find itself: {error}.")))?;
    let host = AgentHost { variables: std::env::vars_os().collect(), program };
    agent_main(folder, token, host).map_err(Exit::failed)?;
    Ok(UP_TO_DATE)
}
