//! The keys of a pipeline file.

use std::time::Duration;

use super::container_engine::ContainerEngine;
use super::interpreter::Shell;
use super::output::DeclaredOutput;
use super::quantity::{ByteSize, GpuShare};
use super::sandbox_mode::SandboxMode;
use super::scalar::{Cpus, KindName, NoNodes, PipelineName, Prose, Retries, ScriptText, Seed, Version};
use super::shape::{AnyName, Anything, FieldName, Literal, Named, StageName, Templated, keys};
use super::variable::{Listed, VariableName, VariablePattern};

keys! {
    /// A pipeline file.
    "a pipeline file"
    pub(crate) struct Document {
        /// Version of the language: 1.
        required athanor: Version,
        /// Name of the pipeline; its results are put under `results/<name>/`.
        required name: PipelineName,
        /// Further files of the pipeline, one or a list, by paths that begin at this file's folder: their `vars` and `stages` count
        /// as if they were written here. The value of a variable in this file goes over theirs.
        optional include: Listed<Literal<String>>,
        /// Values that expressions read as `vars.NAME`. `--set` and profiles override them.
        optional vars: Named<AnyName, Anything>,
        /// Named sets of changes, chosen with `--profile NAME`.
        optional profiles: Named<AnyName, Profile>,
        /// Stages of the pipeline, by name.
        required stages: Named<StageName, Stage>,
        /// Results for the user, by path under `results/<name>/`, in which expressions may stand: each an output of a stage.
        optional results: Named<AnyName, Templated<String>>,
    }
}

keys! {
    /// A file that a pipeline file includes.
    "an included file"
    pub(crate) struct IncludedFile {
        /// Version of the language: 1. May be left out.
        optional athanor: Version,
        /// Further files, as in a pipeline file; paths begin at the folder of the file that names them.
        optional include: Listed<Literal<String>>,
        /// Values that expressions read as `vars.NAME`.
        optional vars: Named<AnyName, Anything>,
        /// Stages, by name.
        optional stages: Named<StageName, Stage>,
    }
}

keys! {
    /// A named set of changes.
    "a profile"
    pub(crate) struct Profile {
        /// Changes to the pipeline's `vars`, merged mapping by mapping; lists and scalars are replaced.
        optional vars: Named<AnyName, Anything>,
    }
}

keys! {
    /// A stage.
    "a stage"
    pub(crate) struct Stage {
        /// Kind of the stage; `athanor kinds` lists them.
        required kind: KindName,
        /// Axes and their values: one instance of the stage for each point of their product, in the order written.
        /// `exclude` and `include` remove and add points as in GitHub Actions.
        optional matrix: Anything,
        /// Inputs of the stage: outputs of other stages (`stage`, `stage.output`, `stage[axis=value]`), or paths. As
        /// `{ from: stage, writable: true }` it gets a private copy that it may write to.
        optional inputs: Named<FieldName, Anything>,
        /// Parameters of the kind.
        optional params: Anything,
        /// Script of a `command`. Values of expressions in it are quoted for the place where they stand, in quotes or not.
        optional run: Templated<ScriptText>,
        /// Shell that runs the script of a `command`: `sh`, `bash`, `zsh`, `python`, or a command line in which `{0}` is the
        /// script's path. If left out, `bash -euo pipefail` where there is a `bash`, else `sh -eu`.
        optional shell: Templated<Shell>,
        /// Variables of the environment of a `command`, by name. They are part of what its result depends on.
        optional env: Named<VariableName, Templated<String>>,
        /// Variables of the user's environment that a `command` gets, by name or pattern (`HF_*`), besides those that every
        /// command gets. Its result does not depend on them; their values are masked in logs.
        optional env_passthrough: Listed<Literal<VariablePattern>>,
        /// Commands such as `python --version` whose output is part of what the result of a `command` depends on. They are
        /// asked once a run.
        optional versions: Listed<Literal<String>>,
        /// Container in which a `command` runs its script and its `versions`. The digest of its image is part of what its result
        /// depends on.
        optional container: ContainerKeys,
        /// Files and folders of the project that a `command` reads where they lie: `[src/, params.yaml]`. Their content counts
        /// as that of inputs; `{ params.yaml: [train.lr] }` counts the values of these keys alone.
        optional reads: Anything,
        /// Outputs of a `command`, by name: a file or folder each, or `{ files: [x.bam, x.bam.bai] }` for files that belong
        /// together.
        optional outputs: Named<FieldName, DeclaredOutput>,
        /// Resources that the stage needs to run.
        optional resources: ResourceKeys,
        /// Time limit of an attempt, such as `90s`, `2h` or `1h30m`.
        optional timeout: Templated<Duration>,
        /// Number of retries after a failure.
        optional retries: Templated<Retries>,
        /// Seed of the stage's random numbers; 0 if left out.
        optional seed: Templated<Seed>,
        /// Whether the stage is part of the pipeline.
        optional when: Templated<bool>,
        /// Whether a `command` is kept from files that it does not declare: `on` or `off`; as the settings say if left out. Not
        /// part of the fingerprint.
        optional sandbox: Templated<SandboxMode>,
        /// Paths that a `command` may write to besides its own folder, in the project folder, absolute or with `~`: one, or a
        /// list. A folder that is not there is made. Not part of the fingerprint.
        optional writes: Anything,
        /// Whether a `command` gets a folder, `ATHANOR_STATE`, that is kept until its result is recorded: another attempt at the
        /// same work goes on from what the last one left there. Not part of the fingerprint.
        optional state: Templated<bool>,
        /// Options of the stage's jobs on a cluster, over those of the settings. Not part of the fingerprint.
        optional slurm: SlurmKeys,
        /// Description of the stage.
        optional description: Prose,
    }
}

keys! {
    /// Container of a command.
    "`container`"
    pub(crate) struct ContainerKeys {
        /// Image: for `podman` and `docker` as they name it (`docker.io/library/python:3.12`, an id), for `apptainer` the path of
        /// a file (`envs/tools.sif`) or folder.
        required image: Templated<String>,
        /// Engine that runs it: `podman`, `docker` or `apptainer`. If left out, `apptainer` for an image that ends with `.sif`, else
        /// `podman` where there is one, else `docker`. Not part of the fingerprint.
        optional engine: Templated<ContainerEngine>,
    }
}

keys! {
    /// Resources that a stage needs to run.
    "`resources`"
    pub(crate) struct ResourceKeys {
        /// Number of CPUs; 1 if left out.
        optional cpus: Templated<Cpus>,
        /// Number of GPUs, or a fraction of one that is shared with other stages.
        optional gpus: Templated<GpuShare>,
        /// Main memory, such as `24GiB`.
        optional memory: Templated<ByteSize>,
        /// Memory on each GPU, such as `16GiB`.
        optional gpu_memory: Templated<ByteSize>,
        /// Time that a job of it asks a cluster for, such as `6h`; as the settings say if left out. Elsewhere without effect.
        optional time: Templated<Duration>,
        /// Refused: a stage runs on one node.
        optional nodes: NoNodes,
    }
}

keys! {
    /// Options of a stage's jobs on a cluster.
    "`slurm` of a stage"
    pub(crate) struct SlurmKeys {
        /// Partition.
        optional partition: Templated<String>,
        /// Account that is charged.
        optional account: Templated<String>,
        /// Quality of service.
        optional qos: Templated<String>,
        /// Further options of `sbatch`, such as `--constraint=a100`, in place of those of the settings: one, or a list.
        optional extra: Listed<Literal<String>>,
    }
}
