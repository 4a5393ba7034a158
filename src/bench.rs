//! `athanor bench`: measurements of training and prediction, each in a process of its own, so that none finds the memory, the
//! threads or the compiled kernels of another.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use athanor_stages::bench::{Bench, Check, CheckReport, Measurement};
use athanor_stages::error::StageError;
use athanor_stages::nn::devices::{KernelCache, KernelSession, TuningFolder, set_up};

use crate::run::executor::kernel_folder;
use crate::run::executor::machine::gpus::{self, GpuId};
use crate::view::text::{bytes, table};

/// Reason why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BenchError {
    /// The measured stage failed.
    #[error("{0}{help}", help = help(.0))]
    Stage(#[from] StageError),
    /// The process that measures cannot be started.
    #[error("`{program}` cannot be started: {source}")]
    Start {
        /// Path of this program.
        program: String,
        /// Message of the system.
        source: std::io::Error,
    },
    /// The process that measures failed, and has said why.
    #[error("{0} could not be measured")]
    Process(String),
    /// The process that compiles and tunes failed, and has said why.
    #[error("the kernels of {0} could not be compiled and tuned")]
    Warm(String),
}

fn help(error: &StageError) -> String {
    error.help().map(|help| format!("\n  help: {help}")).unwrap_or_default()
}

/// Makes a measurement in this process, which must make no other.
///
/// Kernels that run on a GPU are written to `kernels`, if that is given.
pub(crate) fn measure(bench: &Bench, kernels: Option<&Path>) -> Result<Measurement, BenchError> {
    Ok(with_devices(kernels, |_| bench.run())?)
}

/// Sets this process up to compute, does so, and keeps the kernels. Nothing else may have been started in it. `work` gets the locks on
/// first steps, where there are GPUs.
fn with_devices<R>(log: Option<&Path>, work: impl FnOnce(Option<TuningFolder>) -> R) -> R {
    let cache = KernelCache { kept: kernel_folder::kept(), while_shared: None, log: log.map(Path::to_owned) };
    // SAFETY: This is the process's only thread so far.
    let kernels = unsafe { set_up(Some(&cache)) };
    let result = work(kernels.as_ref().map(KernelSession::tuning));
    kernels.into_iter().for_each(KernelSession::finish);
    result
}

/// Makes a check in this process, which must make no other on another device.
pub(crate) fn check(check: &Check) -> Result<CheckReport, BenchError> {
    Ok(with_devices(None, |_| check.run())?)
}

/// Compiles and tunes the kernels of a workload's first steps in this process, which must compute nothing else.
pub(crate) fn warm(bench: &Bench) -> Result<(), BenchError> {
    Ok(with_devices(None, |tuning| bench.warm(tuning))?)
}

/// The same in a process of `program`, which is this program, for stages that are given the GPU `gpu`.
pub(crate) fn warm_apart(program: &Path, bench: &Bench, gpu: &GpuId) -> Result<(), BenchError> {
    let request = serde_json::to_string(bench).expect("numbers and names always serialise");
    let start = |source| BenchError::Start { program: program.display().to_string(), source };
    let mut command = Command::new(program);
    command.args(["bench", "warm", &request]).envs(gpus::environment(std::slice::from_ref(gpu)));
    let status = command.status().map_err(start)?;
    if status.success() { Ok(()) } else { Err(BenchError::Warm(bench.arch.to_string())) }
}

/// Makes a measurement in a process of `program`, which is this program.
pub(crate) fn measure_apart(program: &Path, bench: &Bench, kernels: Option<&Path>) -> Result<Measurement, BenchError> {
    let request = serde_json::to_string(bench).expect("numbers and names always serialise");
    let start = |source| BenchError::Start { program: program.display().to_string(), source };
    let output = Command::new(program)
        .args(["bench", "measure", &request])
        .args(kernels.map(|file| [OsStr::new("--kernels"), file.as_os_str()]).into_iter().flatten())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(start)?;
    let figures = output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten();
    figures.ok_or_else(|| BenchError::Process(bench.arch.to_string()))
}

/// Figures for people to read.
pub(crate) fn describe(figures: &[Measurement]) -> String {
    let header =
        ["NETWORK", "SIZE", "BATCH", "IMAGES/S", "S/STEP", "WAITING", "MEMORY", "GPU MEMORY", "THREADS", "DEVICE"];
    let rows: Vec<Vec<String>> = figures
        .iter()
        .map(|figures| {
            let of = figures.bench;
            let memory = |count: Option<u64>| count.map_or("-".to_owned(), bytes);
            vec![
                of.arch.to_string(),
                of.size.to_string(),
                of.batch.to_string(),
                format!("{:.2}", figures.images_per_second),
                format!("{:.3}", figures.seconds_per_step),
                format!("{:.1} %", 100.0 * figures.share_waiting_for_data),
                memory(figures.peak_memory),
                memory(figures.peak_gpu_memory),
                of.threads.to_string(),
                figures.device.clone(),
            ]
        })
        .collect();
    table(&header, &rows)
}

/// Comparisons for people to read.
pub(crate) fn describe_check(report: &CheckReport) -> String {
    let rows: Vec<Vec<String>> = report
        .comparisons
        .iter()
        .map(|one| {
            let verdict = if one.agrees() { "agrees" } else { "differs" };
            vec![
                one.name.clone(),
                format!("{:.1e}", one.difference),
                format!("{:.0e}", one.tolerance),
                verdict.to_owned(),
            ]
        })
        .collect();
    let verdict = if report.agrees { "agrees" } else { "does not agree" };
    format!("{}{} {verdict}\n", table(&["COMPARED", "DIFFERENCE", "ALLOWED", ""], &rows), report.device)
}
