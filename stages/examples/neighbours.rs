//! Runs the kind `neighbours` on two `.npy` files and says what it took; `benches/peers/neighbours.py` makes the files
//! and does the same in NumPy.
//!
//! Usage: cargo run --release -p athanor-stages --example neighbours FOLDER   (with queries.npy and references.npy)

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use athanor_stages::context::{Reporter, StageContext, StageReport};
use athanor_stages::kind::Runner;
use athanor_stages::ports::InputFile;
use athanor_stages::registry;
use serde_json::json;

struct Silent;

impl Reporter for Silent {
    fn report(&self, _report: StageReport) {}
    fn should_stop(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("name the folder")?);
    let mut inputs = BTreeMap::new();
    for (matrix, table) in [("queries", "query_table"), ("references", "reference_table")] {
        inputs.insert(matrix.to_owned(), vec![file(folder.join(format!("{matrix}.npy")))]);
        inputs.insert(table.to_owned(), vec![file(folder.join(format!("{matrix}.csv")))]);
    }
    let outputs = ["neighbours", "report"].map(|port| (port.to_owned(), folder.join(format!("{port}.csv"))));
    let kind = registry::find("neighbours").ok_or("there is no such kind")?;
    let params = kind.check_params(&json!({})).map_err(|_| "the parameters are wrong")?;
    let Runner::Worker(work) = kind.runner() else { return Err("not a built-in kind".into()) };
    let context = StageContext::new(0, rayon::current_num_threads(), folder.join("scratch"), &Silent);
    let start = Instant::now();
    work.run(&params, inputs, outputs.into(), &context)?;
    let (seconds, threads) = (start.elapsed().as_secs_f64(), rayon::current_num_threads());
    println!("athanor: {seconds:.2} s on {threads} threads, peak {} MB", peak_megabytes()?);
    Ok(())
}

fn file(path: PathBuf) -> InputFile {
    let label = path.display().to_string();
    InputFile { path, label }
}

/// The most memory this process has held.
fn peak_megabytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).ok_or("the kernel does not say")?;
    let kilobytes: u64 = line.split_whitespace().nth(1).ok_or("the kernel does not say")?.parse()?;
    Ok(kilobytes / 1024)
}
