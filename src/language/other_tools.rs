//! Keys of other tools in a pipeline file, and the keys that take their place here.

/// Remedy for the key `name` of another tool in a mapping that messages call `noun`.
pub(super) fn remedy(noun: &str, name: &str) -> Option<&'static str> {
    Some(match (noun, name) {
        ("a pipeline file", "jobs" | "rules" | "tasks" | "steps" | "processes") => "`stages` has them here, by name",
        ("a pipeline file", "variables" | "params" | "config" | "env" | "globals" | "wildcards") => {
            "`vars` has values that expressions read as `vars.NAME`"
        }
        ("a pipeline file", "outputs" | "output" | "outs" | "targets" | "artifacts" | "all") => {
            "`results` names what you get: `results: { table.csv: STAGE }`"
        }
        ("a pipeline file", "version") => "the version of the language is written `athanor: 1`",
        ("a stage", "needs" | "deps" | "depends_on" | "dependsOn" | "dependencies" | "after" | "requires") => {
            "`inputs` says what a stage reads and so waits for: `inputs: { NAME: STAGE }`, or `{ NAME: data/file.csv }`"
        }
        ("a stage", "cmd" | "command" | "script" | "steps" | "exec") => "`run` has the script of a `command`",
        ("a stage", "outs") => "`outputs` has them, with a name for each: `outputs: { NAME: file.csv }`",
        ("a stage", "metrics" | "plots" | "publishDir" | "publish") => {
            "make it one of the `outputs`; `results` of the pipeline says what is put in the folder of results"
        }
        ("a stage", "foreach" | "for_each" | "strategy" | "each" | "wildcards" | "expand") => {
            "`matrix` has axes and their values: `matrix: { NAME: [a, b] }`"
        }
        ("a stage", "if" | "only" | "enabled") => "`when` says whether a stage is part of the pipeline",
        ("a stage", "threads" | "cores" | "cpus" | "cpu" | "n_jobs") => "write `resources: { cpus: N }`",
        ("a stage", "memory" | "mem" | "mem_mb" | "mem_gb") => "write `resources: { memory: 4GiB }`",
        ("a stage", "gpus" | "gpu") => "write `resources: { gpus: N }`",
        ("a stage", "image" | "docker" | "singularity" | "apptainer") => "write `container: { image: … }`",
        ("a stage", "environment" | "envs") => "`env` has variables of the environment",
        ("a stage", "timeout-minutes") => "write `timeout: 10m`",
        ("a stage", "vars" | "variables") => "`vars` belongs to the pipeline file, beside `stages`",
        ("`resources`", "mem" | "mem_mb" | "mem_gb" | "ram") => "write `memory: 4GiB`",
        ("`resources`", "cpu" | "cores" | "threads" | "n_jobs") => "write `cpus: N`",
        ("`resources`", "runtime" | "walltime") => {
            "`time` is what a job asks a cluster for; `timeout` of the stage ends an attempt"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::document::{Document, ResourceKeys, Stage};
    use crate::language::shape::Shape;

    #[test]
    fn no_key_of_ours_is_taken_for_that_of_another_tool() {
        let all = [
            ("a pipeline file", Document::schema()),
            ("a stage", Stage::schema()),
            ("`resources`", ResourceKeys::schema()),
        ];
        for (noun, schema) in all {
            for key in schema["properties"].as_object().unwrap().keys() {
                assert_eq!(remedy(noun, key), None, "{key}");
            }
        }
    }
}
