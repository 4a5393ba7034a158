//! `athanor bench`.

use std::path::Path;

use athanor_stages::bench::{Bench, Check, Measurement, Workload};
use athanor_stages::nn::models::Architecture;

use crate::bench::{BenchError, check, describe, describe_check, measure, measure_apart, warm};
use crate::cli::arguments::{BenchCommand, BenchOptions, CheckOptions};
use crate::cli::inspect::print_json;
use crate::cli::{Exit, FAILED, UP_TO_DATE, print};
use crate::run::executor::machine;

pub(super) fn bench(command: &BenchCommand) -> Result<u8, Exit> {
    let (work, options) = match command {
        BenchCommand::Train(options) => (Workload::Train, options),
        BenchCommand::Predict(options) => (Workload::Predict, options),
        BenchCommand::Check(options) => return check_here(options),
        BenchCommand::Measure { bench, kernels } => return measure_here(bench, kernels.as_deref()),
        BenchCommand::Warm { bench } => return warm(&parse(bench)?).map(|()| UP_TO_DATE).map_err(Exit::failed),
    };
    let program = std::env::current_exe().map_err(Exit::failed)?;
    let archs = if options.arch.is_empty() { Architecture::ALL } else { &options.arch };
    let measured = archs.iter().map(|arch| {
        let bench = bench_of(work, *arch, options);
        measure_apart(&program, &bench, options.kernels.as_deref())
    });
    let figures = measured.collect::<Result<Vec<Measurement>, BenchError>>().map_err(Exit::failed)?;
    if options.json { print_json(&serde_json::json!(figures)) } else { print(&describe(&figures)) }
}

fn bench_of(work: Workload, arch: Architecture, options: &BenchOptions) -> Bench {
    let BenchOptions { size, batch, precision, loss, steps, .. } = *options;
    let threads = options.threads.unwrap_or_else(|| machine::cpus(&|name| std::env::var(name).ok()).amount) as usize;
    Bench { work, arch, size, batch, precision, loss, threads, steps }
}

/// Makes one measurement, at the request of another process of this program.
fn measure_here(bench: &str, kernels: Option<&Path>) -> Result<u8, Exit> {
    let figures = measure(&parse(bench)?, kernels).map_err(Exit::failed)?;
    print_json(&serde_json::json!(figures))
}

fn parse(bench: &str) -> Result<Bench, Exit> {
    serde_json::from_str(bench).map_err(|error| Exit::wrong(format!("error: this is no measurement: {error}")))
}

/// Makes a check; its exit code says whether all agrees.
fn check_here(options: &CheckOptions) -> Result<u8, Exit> {
    let CheckOptions { subject, arch, size, batch, precision, ref golden, json } = *options;
    let report =
        check(&Check { subject, arch, size, batch, precision, golden: golden.clone() }).map_err(Exit::failed)?;
    if json { print_json(&serde_json::json!(report)) } else { print(&describe_check(&report)) }?;
    Ok(if report.agrees { UP_TO_DATE } else { FAILED })
}
