//! The context of a running stage: its seed, its threads, a scratch folder, the cache, its devices, and a way to
//! report.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Cache, Digest, Tree};
use serde::{Deserialize, Serialize};

use crate::artifact::figure::{Figure, MAX_FIGURE_BYTES};
use crate::error::StageError;
use crate::learn::precision::Precision;
use athanor_nn::devices::{Devices, GpuApi, Tuning, TuningFolder, cuda, vulkan};

/// The variable that tells CUDA which GPUs a process may see.
const VISIBLE_DEVICES: &str = "CUDA_VISIBLE_DEVICES";

/// Reports of a running stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum StageReport {
    /// `done` of `total` units of work are finished.
    Progress {
        /// Units finished.
        done: u64,
        /// Units in all; 0 when unknown.
        #[serde(default)]
        total: u64,
        /// Noun of the units, e.g. `rows`.
        #[serde(default)]
        unit: String,
    },
    /// A metric to keep with the result.
    Metric {
        /// Name, e.g. `macro_f1`.
        name: String,
        /// Value.
        value: f64,
        /// Epoch or other step the value belongs to, for curves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u64>,
    },
    /// A figure to keep with the result.
    Figure {
        /// Name, e.g. `classes`; a second figure of the same name takes the place of the first.
        name: String,
        /// Figure.
        figure: Figure,
    },
    /// The device, instruction set and precision that the stage computes with, to keep with the result.
    ComputesOn(ComputesOn),
    /// A message for the user.
    Message {
        /// The message.
        text: String,
    },
    /// A warning about what the stage was given, to keep with the result.
    Warning {
        /// The warning.
        text: String,
    },
    /// A line for the stage's log.
    Log {
        /// The line, without its end.
        line: String,
    },
}

/// Device, instruction set and precision of a computation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComputesOn {
    /// Device, e.g. `CPU` or `2 GPUs`.
    pub device: String,
    /// Instruction set, e.g. `AVX-512`, `AVX2` or `sm_90`; `generic` on a CPU without kernels of ours.
    pub instruction_set: String,
    /// Precision, e.g. `float32`.
    pub precision: String,
}

/// Receiver of reports and source of the wish to stop.
pub trait Reporter: Send + Sync {
    /// Takes one report. Must not block for long.
    fn report(&self, report: StageReport);
    /// Whether the stage should stop at the next safe point.
    fn should_stop(&self) -> bool;
}

/// Access to the cache, for results of earlier work.
pub struct CacheAccess<'a> {
    /// The cache of items.
    pub cache: &'a Cache,
    /// Fingerprint of the stage.
    pub fingerprint: Digest,
    /// Artifacts at the paths of the stage's inputs.
    pub contents: HashMap<PathBuf, Artifact>,
    /// Whether items are computed again even if they are in the cache.
    pub force: bool,
    /// The file in which the stage records the stored files among its outputs.
    pub placements: PathBuf,
}

/// The context of a running stage.
pub struct StageContext<'a> {
    /// The stage's seed; the only source of randomness.
    pub seed: u64,
    /// Threads the stage may use.
    pub threads: usize,
    /// A private, empty folder that goes away with the stage.
    pub scratch: PathBuf,
    /// Values of the environment that a kind may ask for, by name.
    pub environment: HashMap<String, String>,
    reporter: &'a dyn Reporter,
    access: Option<CacheAccess<'a>>,
    devices: Option<Devices>,
    cpu_fallback: bool,
    tuning: Option<TuningFolder>,
}

impl<'a> StageContext<'a> {
    /// A context that reports to `reporter` and knows of no earlier work.
    pub fn new(seed: u64, threads: usize, scratch: PathBuf, reporter: &'a dyn Reporter) -> Self {
        StageContext {
            seed,
            threads,
            scratch,
            environment: HashMap::new(),
            reporter,
            access: None,
            devices: None,
            cpu_fallback: false,
            tuning: None,
        }
    }

    /// With access to the cache.
    #[must_use]
    pub fn with_cache(mut self, access: CacheAccess<'a>) -> Self {
        self.access = Some(access);
        self
    }

    /// With these values of the environment.
    #[must_use]
    pub fn with_environment(mut self, environment: HashMap<String, String>) -> Self {
        self.environment = environment;
        self
    }

    /// With the CPU in the place of GPUs that cannot be used, if `allowed`.
    #[must_use]
    pub fn with_cpu_fallback(mut self, allowed: bool) -> Self {
        self.cpu_fallback = allowed;
        self
    }

    /// With locks on first steps, where the stage's kernels are kept for others.
    #[must_use]
    pub fn with_tuning(mut self, tuning: Option<TuningFolder>) -> Self {
        self.tuning = tuning;
        self
    }

    /// With these devices, instead of the visible ones.
    #[must_use]
    pub fn with_devices(mut self, devices: Devices) -> Self {
        self.devices = Some(devices);
        self
    }

    /// The devices to compute on in `precision`: those that the stage was given, else the visible ones. The result's record
    /// will name them.
    ///
    /// # Errors
    /// If the stage was given GPUs and this program cannot use them, or if the devices do not compute in that precision.
    pub fn devices(&self, precision: Precision) -> Result<Devices, StageError> {
        let devices = match &self.devices {
            Some(devices) => devices.clone(),
            None => self.visible_devices()?,
        };
        precision.set_up(&devices)?;
        self.reporter.report(StageReport::ComputesOn(ComputesOn {
            device: devices.to_string(),
            instruction_set: devices.instruction_set(),
            precision: precision.name().to_owned(),
        }));
        Ok(devices)
    }

    fn visible_devices(&self) -> Result<Devices, StageError> {
        let devices = Devices::visible();
        let of = |variable: &str| self.environment.get(variable).map_or("", String::as_str).split(',');
        let count = |variable: &str| of(variable).filter(|name| !name.is_empty()).count();
        let of_vulkan = if vulkan::IS_BUILT { count(vulkan::VISIBLE_VARIABLE) } else { 0 };
        let (given, api) = match of_vulkan {
            0 => (count(VISIBLE_DEVICES), GpuApi::Cuda),
            given => (given, GpuApi::Vulkan),
        };
        let usable = if devices.are_gpus() { devices.len() } else { 0 };
        if usable >= given {
            return Ok(devices);
        }
        let refusal = match api {
            GpuApi::Cuda => cuda::find().err().map(|reason| reason.to_string()),
            GpuApi::Vulkan => vulkan::try_out().err().map(|reason| reason.to_string()),
        };
        let shows = || format!("it was given {given} GPUs, of which {} shows {usable} to one process", api.name());
        let reason = refusal.unwrap_or_else(shows);
        if self.cpu_fallback && usable == 0 {
            self.log(format!("computes on the CPU, although the stage was given a GPU: {reason}"));
            return Ok(devices);
        }
        Err(StageError::Gpu { reason })
    }

    /// The first steps of `work`, a name of all that decides on its kernels: waits while another process takes them. `None` where
    /// nothing is to be gained by that.
    ///
    /// # Errors
    /// The wish to stop.
    pub(crate) fn tuning(&self, work: &str) -> Result<Option<Tuning>, StageError> {
        let Some(folder) = &self.tuning else { return Ok(None) };
        let waits = || self.log("waits for another stage, which compiles and tunes the same kernels");
        let first = folder.begin(work, || self.should_stop(), waits).map_err(|_| StageError::Interrupted)?;
        if first.is_some() {
            self.log(
                "compiles and tunes kernels for this GPU, which takes minutes; they are kept for all later stages",
            );
        }
        Ok(first)
    }

    pub(crate) fn cache(&self) -> Option<&CacheAccess<'a>> {
        self.access.as_ref()
    }

    /// A folder, created if need be, in which the stage can leave its state: when it is killed, or stopped, the next
    /// attempt at the same work finds it; when it succeeds, or its work changes, the folder is not used again.
    pub fn unfinished(&self) -> Result<PathBuf, StageError> {
        let folder = match &self.access {
            Some(access) => access.cache.resume_state_path(&access.fingerprint),
            None => self.scratch.join("unfinished"),
        };
        std::fs::create_dir_all(&folder).map_err(StageError::io(&folder))?;
        Ok(folder)
    }

    /// The files below an input folder with their digests, as the stage's fingerprint counts them.
    pub fn tree_of(&self, folder: &Path) -> Result<Tree, StageError> {
        if let Some(access) = &self.access
            && let Some(artifact) = access.contents.get(folder)
        {
            return Ok(access.cache.read_tree(&artifact.digest)?);
        }
        let tree = athanor_cache::Tree::of_folder(folder)?;
        Ok(tree)
    }

    /// The content of an input file, as the stage's fingerprint counts it.
    pub fn digest_of(&self, file: &Path) -> Result<Digest, StageError> {
        if let Some(artifact) = self.access.as_ref().and_then(|access| access.contents.get(file)) {
            return Ok(artifact.digest);
        }
        Ok(Digest::of(&std::fs::read(file).map_err(StageError::io(file))?))
    }

    /// Reports that `done` of `total` `unit`s are finished.
    pub fn progress(&self, done: u64, total: u64, unit: &str) {
        self.reporter.report(StageReport::Progress { done, total, unit: unit.to_owned() });
    }

    /// Reports a metric to keep with the result.
    pub fn metric(&self, name: &str, value: f64) {
        self.reporter.report(StageReport::Metric { name: name.to_owned(), value, step: None });
    }

    /// Reports a metric of an epoch or another step, for curves.
    pub fn metric_at(&self, name: &str, value: f64, step: u64) {
        self.reporter.report(StageReport::Metric { name: name.to_owned(), value, step: Some(step) });
    }

    /// Leaves a figure, to be kept with the result. One that is too large, or cannot be drawn, is left out, and the log says so.
    pub fn figure(&self, name: &str, figure: Figure) {
        let size = serde_json::to_vec(&figure).map_or(usize::MAX, |json| json.len());
        let problem = figure.problem().or_else(|| {
            (size > MAX_FIGURE_BYTES).then(|| format!("it has {size} bytes, {MAX_FIGURE_BYTES} are allowed"))
        });
        match problem {
            Some(problem) => self.log(format!("the figure `{name}` is left out: {problem}")),
            None => self.reporter.report(StageReport::Figure { name: name.to_owned(), figure }),
        }
    }

    /// Writes a line to the stage's log, without the secrets of addresses.
    pub fn log(&self, line: impl Into<String>) {
        let line = athanor_fetch::secrets::mask(&line.into()).into_owned();
        self.reporter.report(StageReport::Log { line });
    }

    /// Warns of what the stage was given: in its log, in the run, by `status`, and in reports. Kinds that do so have
    /// [`WARNS`](crate::kind::StageKind::WARNS).
    pub fn warn(&self, text: impl Into<String>) {
        let text = athanor_fetch::secrets::mask(&text.into()).into_owned();
        self.log(format!("warning: {text}"));
        self.reporter.report(StageReport::Warning { text });
    }

    /// Whether the stage should stop at the next safe point, by returning [`crate::error::StageError::Interrupted`].
    pub fn should_stop(&self) -> bool {
        self.reporter.should_stop()
    }
}
