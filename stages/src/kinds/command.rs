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
         `${{ outputs.NAME }}` are paths inside that folder. Files of the project folder that the line names are linked to \
         the same place there and count as inputs. `ATHANOR_PROJECT` holds the project folder.\n\n\
         The rest of the project, results and the cache are closed to it, and it may write only to its own folder, to \
         temporary folders and to the user's caches. `writes: [PATH]` opens more, `sandbox: off` all; neither is part of the \
         fingerprint. A line that starts a container engine (docker, podman, nerdctl, apptainer, singularity) runs without a \
         sandbox. `athanor shell FILE SELECTOR` opens a shell in the stage's folder."
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
