//! `athanor devices`.

use athanor_stages::nn::devices::cuda;

use crate::cli::arguments::MachineUse;
use crate::cli::{Exit, print, run};
use crate::run::executor::machine;
use crate::view::devices::{Origins, describe};

pub(super) fn devices(use_: &MachineUse) -> Result<u8, Exit> {
    let capacity = run::capacity(use_, true);
    let (cpus, memory) = (run::cpus(use_).source, run::memory(use_).source);
    let origins = Origins { cpus: &cpus, memory: &memory };
    print(&describe(&capacity, origins, &machine::gpus(), &cuda::find()))
}
