//! `athanor devices`.

use athanor_stages::learn::devices::cuda;

use crate::cli::arguments::MachineUse;
use crate::cli::{Exit, print, run};
use crate::run::machine;
use crate::view::devices::describe;

pub fn devices(use_: &MachineUse) -> Result<u8, Exit> {
    print(&describe(&run::capacity(use_, true), &machine::gpus(), &cuda::find()))
}
