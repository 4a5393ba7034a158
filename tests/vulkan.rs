//! Training on a GPU that Vulkan shows, here one that computes on the CPU, in a build for it (`.ci/nightly vulkan`).

mod support;

use support::{Outcome, Project, TRAINING};

/// Results of [`TRAINING`].
const RESULTS: &str = "results: { training: model.metrics }\n";
/// Commands that say which GPUs they were given, in their place.
const MORE: &str = "  given:
    kind: command
    resources: { gpus: 1 }
    run: echo \"[$ATHANOR_VULKAN_DEVICES] [$CUDA_VISIBLE_DEVICES]\" > ${{ outputs.o }}
    outputs: { o: o.txt }
  not-given: { kind: command, run: 'echo \"[$ATHANOR_VULKAN_DEVICES]\" > ${{ outputs.o }}', outputs: { o: o.txt } }
results: { training: model.metrics, given: given, not-given: not-given }
";

/// Variable without which a device that computes on the CPU does not count.
const SOFTWARE: &str = "ATHANOR_VULKAN_SOFTWARE";

/// Outcome of the program with the devices of Mesa's that compute on the CPU and no others; whether they count is said.
fn on_the_cpu(project: &Project, counts: bool, arguments: &[&str]) -> Outcome {
    let mut command = project.command(arguments);
    command
        .env_remove("ATHANOR_VULKAN_DEVICES")
        .env("ATHANOR_GPU_API", "vulkan")
        .env(SOFTWARE, if counts { "1" } else { "0" });
    Outcome::of(command)
}

/// A project, where this build and this machine have what it needs.
fn project() -> Option<Project> {
    let project = Project::new(&TRAINING.replace(RESULTS, MORE));
    let found = on_the_cpu(&project, true, &["find-vulkan"]).out;
    if !found.contains("\"is_software\":true") {
        support::skips("no device of Vulkan's computes on the CPU, or this build has no use for one");
        return None;
    }
    Some(project)
}

#[test]
fn a_device_that_computes_on_the_cpu_is_used_only_when_it_is_asked_for() {
    let Some(project) = project() else { return };
    let devices = on_the_cpu(&project, false, &["devices"]).out;
    if devices.contains("vulkan0") {
        return support::skips("there is another GPU as well");
    }
    assert!(devices.contains("GPUs      none: Vulkan shows no GPU; llvmpipe"), "{devices}");
    assert!(devices.contains("counts only with ATHANOR_VULKAN_SOFTWARE=1"), "{devices}");
    let run = on_the_cpu(&project, false, &["run", "p.yaml", "model"]);
    assert!(run.err.contains("asks for 1 GPU, but the run has none"), "{run:?}");

    let devices = on_the_cpu(&project, true, &["devices"]).out;
    assert!(devices.contains("training  on a stage's GPUs (Vulkan); without any, on the CPU"), "{devices}");
    assert!(devices.contains("vulkan0") && devices.contains("llvmpipe"), "{devices}");
}

#[test]
fn a_stage_computes_on_the_gpu_that_it_is_given_and_the_record_names_it() {
    let Some(project) = project() else { return };
    let made = on_the_cpu(&project, true, &["run", "p.yaml", "--gpus", "vulkan0"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(project.read("results/t/given"), "[0] []\n");
    assert_eq!(project.read("results/t/not-given"), "[]\n");
    let explained = on_the_cpu(&project, true, &["explain", "p.yaml", "model"]).out;
    assert!(explained.contains("It was computed on Vulkan GPU, llvmpipe"), "{explained}");
    assert!(explained.contains(", in float32."), "{explained}");
}
