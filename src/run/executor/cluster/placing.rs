//! Which attempts get a job of their own, which share one, and what is asked for.

use std::time::Duration;

use athanor_cache::{Digest, hash_value};
use serde::{Deserialize, Serialize};

use crate::language::{ByteSize, GpuShare};
use crate::plan::{ClusterOptions, Instance, Resources};
use crate::run::executor::resources::WHOLE_GPU;

use super::SlurmConfig;

/// Expected duration from which an attempt has a job of its own.
const LONG: Duration = Duration::from_secs(600);
/// Time limit of a job that is shared, where the settings state none.
const SHARED_TIME: Duration = Duration::from_secs(3600);
/// Longest notice before a time limit.
const MAX_NOTICE: Duration = Duration::from_secs(120);

/// Options of a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct JobOptions {
    /// Partition.
    pub partition: Option<String>,
    /// Account that is charged.
    pub account: Option<String>,
    /// Quality of service.
    pub qos: Option<String>,
    /// Time limit.
    pub time: Option<Duration>,
    /// CPUs; as the cluster has it where there are none.
    pub cpus: Option<u32>,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// GPUs.
    pub gpus: usize,
    /// Further options of the command that submits it.
    pub extra: Vec<String>,
}

impl JobOptions {
    /// Name of the queue that jobs of these options share.
    pub(super) fn queue(&self) -> String {
        let text = serde_json::to_value(self).unwrap_or_default();
        let digest: Digest = hash_value("athanor cluster queue 1", &text);
        format!("shared-{}", &digest.to_string()[..12])
    }

    /// Time before its limit at which a job is told that it is near.
    pub(super) fn notice(&self) -> Duration {
        self.time.map_or(MAX_NOTICE, |time| (time / 4).min(MAX_NOTICE))
    }
}

/// Assignment of an attempt to a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Assignment {
    /// Whether it has a job of its own.
    pub is_own: bool,
    /// Options of its job.
    pub options: JobOptions,
    /// Resources that it takes of what its agent has.
    pub resources: Resources,
}

/// Facts about earlier attempts at the same work that decide the place of the next one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Earlier {
    /// Whether the time of a shared job was too short.
    pub ran_out_of_time: bool,
    /// Number of times that its memory was too small.
    pub ran_out_of_memory: u32,
}

/// Assignment of an attempt of `instance`, which is expected to need this long.
pub(super) fn assign(
    instance: &Instance,
    expected: Option<Duration>,
    earlier: Earlier,
    config: &SlurmConfig,
) -> Assignment {
    let ClusterOptions { time, partition, account, qos, extra } = instance.cluster.clone();
    let mut resources = instance.resources.clone();
    if let Some(memory) = resources.memory.filter(|_| earlier.ran_out_of_memory > 0) {
        let bytes =
            (0..earlier.ran_out_of_memory.min(20)).fold(memory.bytes(), |bytes, _| bytes.saturating_add(bytes / 2));
        resources.memory = Some(ByteSize::new(bytes));
    }
    let share = resources.gpus.share_of_each();
    let (devices, is_fraction) = (resources.gpus.devices(), resources.gpus.devices() == 1 && share < WHOLE_GPU);
    let shared_time = config.time.unwrap_or(SHARED_TIME);
    let is_long = |time: Duration| time >= LONG || time + time / 4 + MAX_NOTICE >= shared_time;
    let is_own = (devices > 0 && !is_fraction) || expected.or(time).is_some_and(is_long) || earlier.ran_out_of_time;
    // As many of them as a GPU holds share it.
    let at_once = if is_fraction && !is_own { (WHOLE_GPU / share.max(1)).min(16) } else { 1 };
    let options = JobOptions {
        partition: partition.or_else(|| config.partition.clone()),
        account: account.or_else(|| config.account.clone()),
        qos: qos.or_else(|| config.qos.clone()),
        time: if is_own { time.or(config.time) } else { Some(shared_time) },
        cpus: resources.cpus.map(|cpus| cpus.saturating_mul(at_once)),
        memory: resources.memory.map(|size| size.bytes().saturating_mul(at_once.into())),
        gpus: devices,
        extra: extra.unwrap_or_else(|| config.extra.clone()),
    };
    if is_own && is_fraction {
        // Nobody shares it there.
        resources.gpus = GpuShare::whole(1);
    }
    Assignment { is_own, options, resources }
}

/// Number of shared jobs that are worth starting for attempts that are expected to need this long.
pub(super) fn shared_jobs(expected: impl Iterator<Item = Option<Duration>>) -> usize {
    /// Time that a job should have something to do for.
    const WORTH: f64 = 20.0;
    /// Time that an attempt is taken to need if nothing is known.
    const UNKNOWN: Duration = Duration::from_secs(10);
    let times: Vec<f64> = expected.map(|time| time.unwrap_or(UNKNOWN).as_secs_f64()).collect();
    let jobs = (times.iter().sum::<f64>() / WORTH).ceil() as usize;
    jobs.clamp(usize::from(!times.is_empty()), times.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::SourceText;
    use crate::plan::{Overrides, compile};

    fn config() -> SlurmConfig {
        SlurmConfig {
            commands: None,
            partition: Some("main".to_owned()),
            account: None,
            qos: None,
            time: Some(Duration::from_secs(4 * 3600)),
            max_jobs: 50,
            setup: None,
            extra: vec!["--nice".to_owned()],
            by_gpus: false,
            hidden: Vec::new(),
            poll: Duration::from_secs(20),
            idle: Duration::from_secs(60),
            scratch: None,
            scratch_limit: None,
        }
    }

    fn instance(keys: &str) -> Instance {
        let text = format!("athanor: 1\nname: p\nstages:\n  s:\n    kind: command\n    run: \"true\"\n{keys}");
        let source = SourceText { name: "p.yaml".to_owned(), text };
        compile(&source, &Overrides::default()).unwrap_or_else(|_| panic!("{keys}")).instances.remove(0)
    }

    fn placed(keys: &str, expected: Option<u64>) -> (bool, JobOptions) {
        let expected = expected.map(Duration::from_secs);
        let assignment = assign(&instance(keys), expected, Earlier::default(), &config());
        (assignment.is_own, assignment.options)
    }

    #[test]
    fn long_work_and_gpus_have_jobs_of_their_own() {
        for (keys, expected, is_own) in [
            ("", None, false),
            ("", Some(599), false),
            ("", Some(600), true),
            ("    resources: { gpus: 1 }\n", Some(1), true),
            ("    resources: { gpus: 0.25 }\n", Some(1), false),
            ("    resources: { time: 6h }\n", None, true),
            ("    resources: { time: 6h }\n", Some(5), false),
            ("    resources: { cpus: 2, time: 30s }\n", None, false),
        ] {
            assert_eq!(placed(keys, expected).0, is_own, "{keys} {expected:?}");
        }
    }

    #[test]
    fn stages_say_more_than_settings() {
        let (_, options) = placed(
            "    slurm: { partition: long, qos: high, extra: [--exclusive] }\n    resources: { time: 6h, memory: 1GiB, gpus: 2 }\n",
            None,
        );
        let expected = JobOptions {
            partition: Some("long".to_owned()),
            account: None,
            qos: Some("high".to_owned()),
            time: Some(Duration::from_secs(6 * 3600)),
            cpus: Some(1),
            memory: Some(1 << 30),
            gpus: 2,
            extra: vec!["--exclusive".to_owned()],
        };
        assert_eq!(options, expected);
        let (_, options) = placed("    resources: { gpus: 0.25, memory: 1GiB }\n", None);
        assert_eq!((options.gpus, options.cpus, options.memory), (1, Some(4), Some(4 << 30)), "four share a GPU");
        assert_eq!(options.extra, ["--nice"]);
    }

    #[test]
    fn memory_grows_after_it_was_too_small() {
        let instance = instance("    resources: { memory: 4GiB }\n");
        let memory = |times| {
            let earlier = Earlier { ran_out_of_memory: times, ran_out_of_time: false };
            assign(&instance, None, earlier, &config()).options.memory.map(|bytes| bytes >> 30)
        };
        assert_eq!([memory(0), memory(1), memory(2)], [Some(4), Some(6), Some(9)]);
    }

    #[test]
    fn short_work_is_worth_few_jobs() {
        let seconds = |seconds| Some(Duration::from_secs_f64(seconds));
        assert_eq!(shared_jobs(std::iter::empty()), 0);
        assert_eq!(shared_jobs((0..1000).map(|_| seconds(0.01))), 1);
        assert_eq!(shared_jobs((0..1000).map(|_| seconds(10.0))), 500);
        assert_eq!(shared_jobs((0..3).map(|_| seconds(500.0))), 3);
        assert_eq!(shared_jobs((0..4).map(|_| None)), 2);
    }
}
