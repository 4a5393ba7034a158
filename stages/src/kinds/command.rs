//! Any program as a stage.

use schemars::Schema;
use serde_json::Value;

use crate::kind::{Kind, Ports, Runner};
use crate::params::{self, NoParams, ParamProblem};
use crate::ports::OutputPort;

/// The kind `command`: runs a shell line on inputs and outputs that the stage names itself.
pub struct Command;

impl Kind for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn revision(&self) -> u32 {
        1
    }

    fn doc(&self) -> &'static str {
        "Runs a shell line (`run`) in a scratch folder that holds the inputs, and keeps the declared outputs.\n\n\
         The line runs under `sh -c`; a status other than 0 fails the stage. `${{ inputs.NAME }}` and \
         `${{ outputs.NAME }}` are paths inside that folder. `ATHANOR_PROJECT` holds the project folder.\n\n\
         Files of the project folder that the line names lie at the same place there and count as inputs, and so do the \
         modules of the project that Python scripts among them import; those that are named by their full path, or as \
         `$ATHANOR_PROJECT/…`, count and are read where they lie. `reads: [src/, params.yaml]` declares what else the stage \
         reads of the project where it lies, and `reads: { params.yaml: [train.lr] }` values of single keys."
    }

    fn params_schema(&self) -> Schema {
        schemars::schema_for!(NoParams)
    }

    fn ports(&self) -> Ports {
        Ports::Declared
    }

    fn check_params(&self, value: &Value) -> Result<Value, Vec<ParamProblem>> {
        params::parse::<NoParams>(value).map(|params| params::canonical(&params))
    }

    fn uses_all_cpus(&self) -> bool {
        false
    }

    fn uses_gpus(&self) -> bool {
        false
    }

    fn not_in_fingerprint(&self) -> &'static [&'static str] {
        &[]
    }

    fn outputs(&self, _params: &Value) -> Option<Vec<OutputPort>> {
        None
    }

    fn runner(&self) -> Runner<'_> {
        Runner::Shell
    }
}
