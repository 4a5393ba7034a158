//! `athanor devices`.

use athanor_stages::nn::devices::cuda;

use crate::cli::arguments::MachineUse;
use crate::cli::{Exit, print, run};
use crate::run::machine;
use crate::view::devices::describe;

pub fn devices(use_: &MachineUse) -> Result<u8, Exit> {
    let capacity = run::capacity(use_, true);
    let sources = (&run::cpus(use_).source, &run::memory(use_).source);
    print(&describe(&capacity, sources, &machine::gpus(), &cuda::find()))
}
