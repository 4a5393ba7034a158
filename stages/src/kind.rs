//! Kinds of stages: a typed definition, and the same definition seen without its types.

use schemars::Schema;
use serde_json::Value;

use crate::context::StageContext;
use crate::error::StageError;
use crate::params::{self, ParamProblem, Parameters};
use crate::ports::{BindError, BoundInputs, BoundOutputs, InputPort, InputPorts, OutputPort, OutputPorts};

/// A kind of stage, as its author writes it.
pub trait StageKind: Send + Sync + 'static {
    /// Its parameters.
    type Params: Parameters;
    /// Input ports.
    type Inputs: InputPorts;
    /// Output ports.
    type Outputs: OutputPorts;

    /// Name in `kind:`.
    const NAME: &'static str;
    /// Raised whenever the same parameters and inputs would give other outputs than before; part of every fingerprint.
    const REVISION: u32;
    /// One sentence for lists, then anything a user should know.
    const DOC: &'static str;
    /// Whether it scales to all CPUs: without `resources.cpus` it is given all.
    const USES_ALL_CPUS: bool = false;
    /// Whether it computes on GPUs where it is given some.
    const USES_GPUS: bool = false;
    /// Whether work that was stopped or killed goes on at the next attempt from where it was.
    const RESUMES: bool = false;
    /// Whether it may warn of what it is given: `status` looks for that in the records of its results.
    const WARNS: bool = false;
    /// Whether the parameters decide which outputs there are; then [`StageKind::outputs`] says which.
    const OUTPUTS_VARY: bool = false;

    /// The outputs that these parameters give.
    fn outputs(_params: &Self::Params) -> Vec<OutputPort> {
        Self::Outputs::ports()
    }

    /// Does the work. Every output that is not optional must be written on success. Must be a function of its arguments
    /// and the context's seed alone.
    fn run(
        params: Self::Params,
        inputs: Self::Inputs,
        outputs: Self::Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError>;
}

/// A kind without its types, for the planner, the worker and the documentation.
pub trait Kind: Send + Sync {
    /// Name in `kind:`.
    fn name(&self) -> &'static str;
    /// See [`StageKind::REVISION`].
    fn revision(&self) -> u32;
    /// See [`StageKind::DOC`].
    fn doc(&self) -> &'static str;
    /// JSON Schema of the parameters.
    fn params_schema(&self) -> Schema;
    /// Input and output ports.
    fn ports(&self) -> Ports;
    /// Checks evaluated parameters and fills in defaults: the canonical value that is fingerprinted and recorded.
    fn check_params(&self, value: &Value) -> Result<Value, Vec<ParamProblem>>;
    /// See [`StageKind::USES_ALL_CPUS`].
    fn uses_all_cpus(&self) -> bool;
    /// See [`StageKind::USES_GPUS`].
    fn uses_gpus(&self) -> bool;
    /// See [`StageKind::RESUMES`].
    fn resumes(&self) -> bool;
    /// See [`StageKind::WARNS`].
    fn warns(&self) -> bool;
    /// See [`Parameters::NOT_IN_FINGERPRINT`].
    fn not_in_fingerprint(&self) -> &'static [&'static str];
    /// The outputs that a canonical value from [`Kind::check_params`] gives; `None` where the stage names its own.
    fn outputs(&self, params: &Value) -> Option<Vec<OutputPort>>;
    /// The runner of the work.
    fn runner(&self) -> Runner<'_>;
}

/// The ports of a kind.
#[derive(Debug, Clone)]
pub enum Ports {
    /// The kind has these.
    Fixed {
        /// Input ports.
        inputs: Vec<InputPort>,
        /// Output ports; the first is the primary output.
        outputs: Vec<OutputPort>,
        /// Whether the parameters decide which of the outputs there are, and under which names.
        outputs_vary: bool,
    },
    /// The stage names its own, each a file, a folder, or files that belong together.
    Declared,
}

/// Runners of a kind's work.
pub enum Runner<'a> {
    /// This program, in a worker process.
    Worker(&'a dyn BuiltIn),
    /// A shell.
    Shell,
}

/// Work that this program does itself.
pub trait BuiltIn: Send + Sync {
    /// Does the work; `params` is a canonical value from [`Kind::check_params`].
    fn run(
        &self,
        params: &Value,
        inputs: BoundInputs,
        outputs: BoundOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), RunError>;
}

/// Failures of a worker.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The stage's own reason.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// The request did not fit the kind.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The parameters did not fit the kind.
    #[error("the parameters do not fit the kind: {0}")]
    Params(String),
}

/// Adapter from a typed kind to [`Kind`].
pub struct Typed<K>(pub std::marker::PhantomData<fn() -> K>);

impl<K: StageKind> Typed<K> {
    /// The one value of this type.
    pub const NEW: Typed<K> = Typed(std::marker::PhantomData);
}

impl<K: StageKind> Kind for Typed<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn revision(&self) -> u32 {
        K::REVISION
    }

    fn doc(&self) -> &'static str {
        K::DOC
    }

    fn params_schema(&self) -> Schema {
        schemars::schema_for!(K::Params)
    }

    fn ports(&self) -> Ports {
        Ports::Fixed { inputs: K::Inputs::ports(), outputs: K::Outputs::ports(), outputs_vary: K::OUTPUTS_VARY }
    }

    fn check_params(&self, value: &Value) -> Result<Value, Vec<ParamProblem>> {
        params::parse::<K::Params>(value).map(|params| params::canonical(&params))
    }

    fn uses_all_cpus(&self) -> bool {
        K::USES_ALL_CPUS
    }

    fn uses_gpus(&self) -> bool {
        K::USES_GPUS
    }

    fn resumes(&self) -> bool {
        K::RESUMES
    }

    fn warns(&self) -> bool {
        K::WARNS
    }

    fn not_in_fingerprint(&self) -> &'static [&'static str] {
        K::Params::NOT_IN_FINGERPRINT
    }

    fn outputs(&self, params: &Value) -> Option<Vec<OutputPort>> {
        params::parse::<K::Params>(params).ok().map(|params| K::outputs(&params))
    }

    fn runner(&self) -> Runner<'_> {
        Runner::Worker(self)
    }
}

impl<K: StageKind> BuiltIn for Typed<K> {
    fn run(
        &self,
        params: &Value,
        inputs: BoundInputs,
        outputs: BoundOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), RunError> {
        let params = params::parse::<K::Params>(params).map_err(|problems| {
            RunError::Params(problems.into_iter().map(|problem| problem.message).collect::<Vec<_>>().join("; "))
        })?;
        K::run(params, K::Inputs::bind(inputs)?, K::Outputs::bind(outputs)?, context)?;
        Ok(())
    }
}
