//! Settings of the executor, and of jobs on a Slurm cluster.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::language::Span;
use crate::language::node::Value;
use crate::language::quantity::{parse_duration, written_duration};
use crate::language::shape::{Literal, Typed, keys};
use crate::language::variable::Listed;

use super::choice::choice;
use super::{Origin, Setting, built_in};

keys! {
    /// Options of jobs on a Slurm cluster.
    "`slurm`"
    pub(crate) struct SlurmKeys {
        /// Account that jobs are charged to.
        optional account: Literal<OneLine>,
        /// Further options of `sbatch`, such as `--constraint=a100`: one, or a list.
        optional extra: Listed<Literal<BatchOption>>,
        /// Option of `sbatch` that asks for GPUs: `gres` for `--gres=gpu:N`, or `gpus` for `--gpus=N`; `gres` if left out.
        optional gpus: Literal<GpuOption>,
        /// Time after which an allocation for short stages ends when there is nothing to do, such as `60s`, as if left out.
        optional idle: Literal<Positive>,
        /// Maximum number of jobs in the queue at once; 50 if left out.
        optional max_jobs: Literal<MaxJobs>,
        /// Partition.
        optional partition: Literal<OneLine>,
        /// Shortest interval between two looks into the queue, such as `20s`, as if left out; the longest is six times that.
        optional poll: Literal<Positive>,
        /// Quality of service.
        optional qos: Literal<OneLine>,
        /// Shell commands that jobs begin with, such as `module load cuda`.
        optional setup: Literal<String>,
        /// Time limit of jobs whose stages do not say `resources: { time: … }`, such as `4h`.
        optional time: Literal<Positive>,
    }
}

keys! {
    /// Commands of a queue other than Slurm, for `sh`.
    "`batch`"
    pub(crate) struct BatchKeys {
        /// Command that cancels the jobs whose numbers follow it, such as `qdel`.
        optional cancel: Literal<OneLine>,
        /// Command that prints a line for each job: its number, its state, a reason.
        optional poll: Literal<OneLine>,
        /// Command that submits the script on its standard input and prints the job's number; `ATHANOR_JOB_…` say what it asks for.
        optional submit: Literal<OneLine>,
    }
}

/// Executor of stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ExecutorChoice {
    /// Processes of this machine.
    #[default]
    Local,
    /// Jobs of a Slurm cluster.
    Slurm,
    /// Jobs of another queue, by commands.
    Batch,
}

impl ExecutorChoice {
    /// All choices.
    pub(crate) const ALL: [ExecutorChoice; 3] = [ExecutorChoice::Local, ExecutorChoice::Slurm, ExecutorChoice::Batch];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            ExecutorChoice::Local => "local",
            ExecutorChoice::Slurm => "slurm",
            ExecutorChoice::Batch => "batch",
        }
    }
}

impl Typed for ExecutorChoice {
    fn parse(value: &Value) -> Result<Self, String> {
        choice(value, &ExecutorChoice::ALL, ExecutorChoice::name)
    }

    fn schema() -> Json {
        json!({ "enum": ExecutorChoice::ALL.map(ExecutorChoice::name) })
    }
}

/// Option of `sbatch` that asks for GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum GpuOption {
    /// `--gres=gpu:N`.
    #[default]
    Gres,
    /// `--gpus=N`.
    Gpus,
}

impl GpuOption {
    const ALL: [GpuOption; 2] = [GpuOption::Gres, GpuOption::Gpus];

    /// As it is written.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            GpuOption::Gres => "gres",
            GpuOption::Gpus => "gpus",
        }
    }
}

impl Typed for GpuOption {
    fn parse(value: &Value) -> Result<Self, String> {
        choice(value, &GpuOption::ALL, GpuOption::name)
    }

    fn schema() -> Json {
        json!({ "enum": GpuOption::ALL.map(GpuOption::name) })
    }
}

/// A text of one line that is not empty.
#[derive(Debug, Clone)]
pub(crate) struct OneLine(String);

impl Typed for OneLine {
    fn parse(value: &Value) -> Result<Self, String> {
        let text = String::parse(value)?;
        if text.trim().is_empty() || text.contains(char::is_control) {
            return Err("expected a text of one line that is not empty".to_owned());
        }
        Ok(OneLine(text))
    }

    fn schema() -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// Option of `sbatch`.
#[derive(Debug, Clone)]
pub(crate) struct BatchOption(String);

impl Typed for BatchOption {
    fn parse(value: &Value) -> Result<Self, String> {
        let OneLine(text) = OneLine::parse(value)?;
        if text.starts_with('-') {
            return Ok(BatchOption(text));
        }
        Err(format!("`{text}` is not an option: write it as `sbatch` takes it, such as `--constraint=a100`"))
    }

    fn schema() -> Json {
        json!({ "type": "string", "pattern": "^-" })
    }
}

/// A duration of at least a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Positive(Duration);

impl Typed for Positive {
    fn parse(value: &Value) -> Result<Self, String> {
        // Of nothing at all, a duration is refused with a sentence about time-outs.
        let is_nothing = |text: &String| parse_duration(text).is_ok_and(|duration| duration.is_zero());
        let duration = match value {
            Value::Text(text) if is_nothing(text) => Duration::ZERO,
            _ => Duration::parse(value)?,
        };
        if duration < Duration::from_secs(1) {
            Err(format!("`{}` is too short: expected at least `1s`", written_duration(duration)))
        } else {
            Ok(Positive(duration))
        }
    }

    fn schema() -> Json {
        Duration::schema()
    }
}

/// Number of jobs, from 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MaxJobs(u32);

impl Typed for MaxJobs {
    fn parse(value: &Value) -> Result<Self, String> {
        let number = match value {
            Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
            _ => None,
        };
        number
            .filter(|number| *number > 0)
            .map(MaxJobs)
            .ok_or_else(|| "expected a number of jobs, from 1 up".to_owned())
    }

    fn schema() -> Json {
        json!({ "type": "integer", "minimum": 1 })
    }
}

/// Settings of jobs on a Slurm cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlurmSettings {
    /// Commands of another queue: to cancel, to list, to submit.
    pub batch: [Setting<Option<String>>; 3],
    /// Account that jobs are charged to.
    pub account: Setting<Option<String>>,
    /// Further options of `sbatch`.
    pub extra: Setting<Vec<String>>,
    /// Option that asks for GPUs.
    pub gpus: Setting<GpuOption>,
    /// Time after which an allocation for short stages ends when there is nothing to do.
    pub idle: Setting<Duration>,
    /// Maximum number of jobs in the queue.
    pub max_jobs: Setting<u32>,
    /// Partition.
    pub partition: Setting<Option<String>>,
    /// Shortest interval between two looks into the queue.
    pub poll: Setting<Duration>,
    /// Quality of service.
    pub qos: Setting<Option<String>>,
    /// Shell commands that jobs begin with.
    pub setup: Setting<Option<String>>,
    /// Time limit of jobs whose stages state none.
    pub time: Setting<Option<Duration>>,
}

impl Default for SlurmSettings {
    fn default() -> SlurmSettings {
        SlurmSettings {
            batch: [built_in(None), built_in(None), built_in(None)],
            account: built_in(None),
            extra: built_in(Vec::new()),
            gpus: built_in(GpuOption::default()),
            idle: built_in(Duration::from_secs(60)),
            max_jobs: built_in(50),
            partition: built_in(None),
            poll: built_in(Duration::from_secs(20)),
            qos: built_in(None),
            setup: built_in(None),
            time: built_in(None),
        }
    }
}

/// [`SlurmSettings`] of one origin; those that it does not mention are `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SlurmLayer {
    batch: [Option<Setting<Option<String>>>; 3],
    account: Option<Setting<Option<String>>>,
    extra: Option<Setting<Vec<String>>>,
    gpus: Option<Setting<GpuOption>>,
    idle: Option<Setting<Duration>>,
    max_jobs: Option<Setting<u32>>,
    partition: Option<Setting<Option<String>>>,
    poll: Option<Setting<Duration>>,
    qos: Option<Setting<Option<String>>>,
    setup: Option<Setting<Option<String>>>,
    time: Option<Setting<Option<Duration>>>,
}

/// The layer that keys of a file give; `origin` is that of what is written at a span.
pub(super) fn layer(keys: Option<SlurmKeys>, batch: Option<BatchKeys>, origin: &dyn Fn(Span) -> Origin) -> SlurmLayer {
    fn set<T, U>(
        literal: Option<Literal<T>>,
        origin: &dyn Fn(Span) -> Origin,
        to: impl Fn(T) -> U,
    ) -> Option<Setting<U>> {
        literal.map(|literal| Setting { origin: origin(literal.span), value: to(literal.value) })
    }
    let line = |text: OneLine| Some(text.0);
    let [cancel, poll, submit] = batch.map_or([None, None, None], |keys| [keys.cancel, keys.poll, keys.submit]);
    let batch = [set(cancel, origin, line), set(poll, origin, line), set(submit, origin, line)];
    let Some(keys) = keys else { return SlurmLayer { batch, ..SlurmLayer::default() } };
    let whole = keys.span;
    SlurmLayer {
        batch,
        account: set(keys.account, origin, line),
        extra: keys.extra.map(|Listed(options)| Setting {
            origin: origin(options.first().map_or(whole, |option| option.span)),
            value: options.into_iter().map(|option| option.value.0).collect(),
        }),
        gpus: set(keys.gpus, origin, |option| option),
        idle: set(keys.idle, origin, |time| time.0),
        max_jobs: set(keys.max_jobs, origin, |jobs| jobs.0),
        partition: set(keys.partition, origin, line),
        poll: set(keys.poll, origin, |time| time.0),
        qos: set(keys.qos, origin, line),
        setup: set(keys.setup, origin, Some),
        time: set(keys.time, origin, |time| Some(time.0)),
    }
}

impl SlurmSettings {
    /// These settings with `layer` over them.
    pub(super) fn under(self, layer: SlurmLayer) -> SlurmSettings {
        let [cancel, poll, submit] = layer.batch;
        let [own_cancel, own_poll, own_submit] = self.batch;
        SlurmSettings {
            batch: [cancel.unwrap_or(own_cancel), poll.unwrap_or(own_poll), submit.unwrap_or(own_submit)],
            account: layer.account.unwrap_or(self.account),
            extra: layer.extra.unwrap_or(self.extra),
            gpus: layer.gpus.unwrap_or(self.gpus),
            idle: layer.idle.unwrap_or(self.idle),
            max_jobs: layer.max_jobs.unwrap_or(self.max_jobs),
            partition: layer.partition.unwrap_or(self.partition),
            poll: layer.poll.unwrap_or(self.poll),
            qos: layer.qos.unwrap_or(self.qos),
            setup: layer.setup.unwrap_or(self.setup),
            time: layer.time.unwrap_or(self.time),
        }
    }

    /// Every setting's name, value as text, and origin.
    pub(super) fn list(&self) -> Vec<(&'static str, String, &Origin)> {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".to_owned());
        let time = |value: &Duration| written_duration(*value);
        let extra = &self.extra.value;
        let [cancel, poll, submit] = &self.batch;
        vec![
            ("batch.cancel", text(&cancel.value), &cancel.origin),
            ("batch.poll", text(&poll.value), &poll.origin),
            ("batch.submit", text(&submit.value), &submit.origin),
            ("slurm.account", text(&self.account.value), &self.account.origin),
            ("slurm.extra", if extra.is_empty() { "none".to_owned() } else { extra.join(" ") }, &self.extra.origin),
            ("slurm.gpus", self.gpus.value.name().to_owned(), &self.gpus.origin),
            ("slurm.idle", time(&self.idle.value), &self.idle.origin),
            ("slurm.max_jobs", self.max_jobs.value.to_string(), &self.max_jobs.origin),
            ("slurm.partition", text(&self.partition.value), &self.partition.origin),
            ("slurm.poll", time(&self.poll.value), &self.poll.origin),
            ("slurm.qos", text(&self.qos.value), &self.qos.origin),
            ("slurm.setup", text(&self.setup.value), &self.setup.origin),
            ("slurm.time", self.time.value.as_ref().map_or_else(|| "none".to_owned(), time), &self.time.origin),
        ]
    }
}
