//! The worker process: one request in, one stage's work done, messages out.
//!
//! The process environment is read here and nowhere deeper. Standard output belongs to the protocol: it is moved away before
//! any stage code runs, so that a stray print of a library lands in the stage's log instead.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use athanor_cache::Cache;
use athanor_stages::context::{CacheAccess, Reporter, StageContext, StageReport};
use athanor_stages::error::StageError;
use athanor_stages::kind::{RunError, Runner};
use athanor_stages::nn::devices::{KernelCache, KernelSession, TuningFolder, set_up as set_up_devices, vulkan};
use athanor_stages::nn::panics::{self, Panic};
use athanor_stages::registry;

use crate::fatal_errors;
use crate::run::executor::compute_pool::make_pool;
use crate::run::executor::kernel_folder;
use crate::run::executor::protocol::{PROTOCOL, StageMessage, WorkerRequest, WorkerStatus};

/// Carries out the one request on standard input; returns the process's exit code.
pub(crate) fn main() -> u8 {
    let Ok(channel) = take_standard_output() else {
        return 1;
    };
    fatal_errors::report_to(channel.as_raw_fd());
    panics::install_hook();
    let request = read_request();
    let kernels = request.as_ref().ok().and_then(set_up);
    let reporter = PipeReporter { channel: Mutex::new(channel), stop: AtomicBool::new(false) };
    let reporter: &'static PipeReporter = Box::leak(Box::new(reporter));
    // Without a handler the process ends at the first signal, which is a valid way to stop.
    let _ = ctrlc::set_handler(|| reporter.stop.store(true, Ordering::SeqCst));
    let tuning = kernels.as_ref().map(KernelSession::tuning);
    let outcome = request.and_then(|request| execute(&request, tuning, reporter));
    kernels.into_iter().for_each(KernelSession::finish);
    let failed = outcome.is_err();
    reporter.send(&StageMessage::Status(outcome.err().unwrap_or(WorkerStatus::Done)));
    u8::from(failed)
}

fn take_standard_output() -> std::io::Result<File> {
    let channel = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    nix::unistd::dup2_stdout(std::io::stderr())?;
    Ok(channel)
}

fn read_request() -> Result<WorkerRequest, WorkerStatus> {
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| refusal(format!("The request cannot be read: {error}.")))?;
    let request: WorkerRequest =
        serde_json::from_str(&line).map_err(|error| refusal(format!("The request is malformed: {error}.")))?;
    if request.protocol != PROTOCOL {
        let theirs = request.protocol;
        return Err(refusal(format!("The request speaks protocol {theirs}, this worker speaks {PROTOCOL}.")));
    }
    Ok(request)
}

/// Sets this process up to compute, if the stage's kind does so: nothing else waits for the driver of GPUs.
fn set_up(request: &WorkerRequest) -> Option<KernelSession> {
    let computes = registry::find(&request.kind).is_some_and(athanor_stages::kind::Kind::uses_gpus);
    let kernels = KernelCache { kept: kernel_folder::kept(), while_shared: request.shared_kernels.clone(), log: None };
    // SAFETY: This is the process's only thread so far; the first that is started handles signals.
    unsafe { set_up_devices(computes.then_some(&kernels)) }
}

fn execute(request: &WorkerRequest, tuning: Option<TuningFolder>, reporter: &PipeReporter) -> Result<(), WorkerStatus> {
    let kind = registry::find(&request.kind).filter(|kind| kind.revision() == request.revision);
    let Some(Runner::Worker(work)) = kind.map(|kind| kind.runner()) else {
        return Err(refusal(format!("This worker has no kind `{}` of revision {}.", request.kind, request.revision)));
    };
    reporter.send(&StageMessage::Status(WorkerStatus::Started { protocol: PROTOCOL }));
    make_pool(request.threads).map_err(refusal)?;
    let cache = Cache::open(&request.cache).map_err(|error| refusal(error.to_string()))?;
    let access = CacheAccess {
        cache: &cache,
        fingerprint: request.fingerprint,
        contents: request.contents.clone().into_iter().collect(),
        force: request.force,
        placements: request.placements.clone(),
    };
    let context = StageContext::new(request.seed, request.threads, request.scratch.clone(), reporter)
        .with_cache(access)
        .with_cpu_fallback(request.cpu_fallback)
        .with_tuning(tuning)
        .with_environment(passed_on());
    guarded(|| work.run(&request.params, request.inputs.clone(), request.outputs.clone(), &context))
}

/// Runs a stage; a panic is a failure like any other.
fn guarded(work: impl FnOnce() -> Result<(), RunError>) -> Result<(), WorkerStatus> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| status_of(&error)),
        Err(payload) => Err(status_of_panic(&panics::root_cause(payload.as_ref()))),
    }
}

/// Texts that show that a GPU or its driver failed.
const GPU_ERRORS: [&str; 6] = ["CUDA", "Cuda", "NVRTC", "Vulkan", "wgpu", "device was poisoned"];

/// Texts that show that a limit of the system was reached: those of EAGAIN, ENOMEM and EMFILE.
const LIMIT_ERRORS: [&str; 3] = ["Resource temporarily unavailable", "Cannot allocate memory", "Too many open files"];

fn status_of_panic(panic: &Panic) -> WorkerStatus {
    let first_line = panic.message.lines().next().unwrap_or_default().trim_end_matches('.');
    let on_gpu = GPU_ERRORS.iter().any(|sign| panic.message.contains(sign));
    let at = panic.location.as_ref().map(|at| format!(" (at {at})")).unwrap_or_default();
    let is_limit_reached = LIMIT_ERRORS.iter().any(|sign| panic.message.contains(sign));
    let (what, help) = if is_limit_reached {
        let help = "The system refused it a thread, a handle or memory: raise the limit on them (`ulimit -a` lists limits), or let fewer stages run at once (`-j`).";
        ("It could not go on", help)
    } else if on_gpu {
        let help = "Only this stage is affected. `athanor devices` shows what this program makes of the GPUs; the stage's log has the whole error.";
        ("A call to the GPU failed", help)
    } else {
        ("It panicked", "This is a mistake in Athanor or in a library; the stage's log has the whole error.")
    };
    let message = format!("{what}: {first_line}{at}.");
    WorkerStatus::Failed { message, help: Some(help.to_owned()), interrupted: false, again: false }
}

/// Variables of the environment that kinds may ask for.
fn passed_on() -> HashMap<String, String> {
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"];
    let names = names.into_iter().flat_map(|name| [name.to_owned(), name.to_lowercase()]);
    let names = names.chain(["CUDA_VISIBLE_DEVICES".to_owned(), vulkan::VISIBLE_VARIABLE.to_owned()]);
    names.filter_map(|name| std::env::var(&name).ok().map(|value| (name, value))).collect()
}

fn status_of(error: &RunError) -> WorkerStatus {
    let message = error.to_string();
    match error {
        RunError::Stage(stage) => {
            let interrupted = matches!(stage, StageError::Interrupted);
            WorkerStatus::Failed {
                message,
                help: stage.help().map(str::to_owned),
                interrupted,
                again: stage.is_retryable(),
            }
        }
        RunError::Bind(_) | RunError::Params(_) => refusal(message),
    }
}

fn refusal(message: String) -> WorkerStatus {
    WorkerStatus::Failed { message, help: None, interrupted: false, again: false }
}

struct PipeReporter {
    channel: Mutex<File>,
    stop: AtomicBool,
}

impl PipeReporter {
    fn send(&self, message: &StageMessage) {
        let Ok(mut line) = serde_json::to_vec(message) else { return };
        line.push(b'\n');
        let mut channel = self.channel.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // If the run has ended, the stage is about to be killed with it.
        let _ = channel.write_all(&line);
    }
}

impl Reporter for PipeReporter {
    fn report(&self, report: StageReport) {
        self.send(&StageMessage::Report(report));
    }

    fn should_stop(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(work: impl FnOnce() -> Result<(), RunError>) -> (String, bool) {
        match guarded(work) {
            Err(WorkerStatus::Failed { message, help, again, .. }) => {
                (format!("{message} {}", help.unwrap_or_default()), again)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn panics_are_failures_in_words() {
        let (told_of_gpu, _) =
            reported(|| panic!("DriverError(CUDA_ERROR_LAUNCH_FAILED, \"launch failed\")\nbacktrace"));
        assert!(
            told_of_gpu.starts_with("A call to the GPU failed: DriverError(CUDA_ERROR_LAUNCH_FAILED"),
            "{told_of_gpu}"
        );
        assert!(told_of_gpu.contains("`athanor devices`") && !told_of_gpu.contains("backtrace"), "{told_of_gpu}");
        let (refused, _) =
            reported(|| panic!("failed to spawn thread: Resource temporarily unavailable (os error 11)"));
        assert!(
            refused.starts_with("It could not go on: failed to spawn") && refused.contains("`ulimit -a`"),
            "{refused}"
        );
        let (other, _) = reported(|| panic!("index out of bounds"));
        assert!(other.starts_with("It panicked: index out of bounds. This is a mistake in Athanor"), "{other}");
    }

    #[test]
    fn a_stage_may_request_a_retry() {
        let failing = |again| {
            let (message, help) = ("the GPU has no room".to_owned(), "It goes on.".to_owned());
            reported(move || Err(StageError::DeviceMemory { message, help, retry: again }.into()))
        };
        assert_eq!([failing(true), failing(false)].map(|(_, again)| again), [true, false]);
    }
}
