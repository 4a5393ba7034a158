//! The keys of a pipeline file.

use std::time::Duration;

use super::quantity::{ByteSize, GpuShare};
use super::scalar::{Cpus, KindName, PipelineName, Prose, Retries, Seed, Version};
use super::shape::{AnyName, Anything, FieldName, Named, StageName, Templated, keys};

keys! {
    /// A pipeline file.
    "a pipeline file"
    pub(crate) struct Document {
        /// Version of the language: 1.
        required athanor: Version,
        /// Name of the pipeline; its results are put under `results/<name>/`.
        required name: PipelineName,
        /// Values that expressions read as `vars.NAME`. `--set` and profiles override them.
        optional vars: Named<AnyName, Anything>,
        /// Named sets of changes, chosen with `--profile NAME`.
        optional profiles: Named<AnyName, Profile>,
        /// What the pipeline does: the stages by name.
        required stages: Named<StageName, Stage>,
        /// What the user gets, by path under `results/<name>/`: each an output of a stage.
        optional results: Named<AnyName, Templated<String>>,
    }
}

keys! {
    /// A named set of changes.
    "a profile"
    pub(crate) struct Profile {
        /// Merged into the pipeline's `vars`, mapping by mapping; lists and scalars are replaced.
        optional vars: Named<AnyName, Anything>,
    }
}

keys! {
    /// A stage.
    "a stage"
    pub(crate) struct Stage {
        /// What the stage is; `athanor kinds` lists the kinds.
        required kind: KindName,
        /// Axes and their values: the stage is there once for each point of their product, in the order written.
        /// `exclude` and `include` take away and add points as in GitHub Actions.
        optional matrix: Anything,
        /// What the stage reads: outputs of other stages (`stage`, `stage.output`, `stage[axis=value]`), or paths. As
        /// `{ from: stage, writable: true }` it gets a copy of its own that it may write to.
        optional inputs: Named<FieldName, Anything>,
        /// Parameters of the kind.
        optional params: Anything,
        /// Shell line of a `command`. Values that expressions put into it are quoted for where they stand, in quotes or not.
        optional run: Templated<String>,
        /// Files or folders that a `command` writes, by name.
        optional outputs: Named<FieldName, Templated<String>>,
        /// What the stage needs to run.
        optional resources: ResourceKeys,
        /// When to give up on the stage, such as `90s`, `2h` or `1h30m`.
        optional timeout: Templated<Duration>,
        /// How often to try again after a failure.
        optional retries: Templated<Retries>,
        /// Seed of the stage's random numbers; 0 if left out.
        optional seed: Templated<Seed>,
        /// Whether the stage is there at all.
        optional when: Templated<bool>,
        /// What the stage is for.
        optional description: Prose,
    }
}

keys! {
    /// What a stage needs to run.
    "`resources`"
    pub(crate) struct ResourceKeys {
        /// CPUs; 1 if left out.
        optional cpus: Templated<Cpus>,
        /// GPUs: a whole number, or a fraction of one that is shared with other stages.
        optional gpus: Templated<GpuShare>,
        /// Main memory, such as `24GiB`.
        optional memory: Templated<ByteSize>,
        /// Memory on each GPU, such as `16GiB`.
        optional gpu_memory: Templated<ByteSize>,
    }
}
