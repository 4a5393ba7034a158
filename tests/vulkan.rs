//! Training on a GPU that Vulkan shows, here one that computes on the CPU, in a build for it (`.ci/nightly vulkan`).

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

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

/// The program with the devices of Mesa's that compute on the CPU and no others; whether they count is said.
fn command(project: &Project, counts: bool, arguments: &[&str]) -> Command {
    let mut command = project.command(arguments);
    command
        .env_remove("ATHANOR_VULKAN_DEVICES")
        .env("ATHANOR_GPU_API", "vulkan")
        .env(SOFTWARE, if counts { "1" } else { "0" });
    command
}

fn on_the_cpu(project: &Project, counts: bool, arguments: &[&str]) -> Outcome {
    Outcome::of(command(project, counts, arguments))
}

/// A project with [`TRAINING`] changed, where this build and this machine have what it needs.
fn project(changes: &[(&str, &str)]) -> Option<Project> {
    let change = |text: String, (from, to): &(&str, &str)| text.replace(from, to);
    let project = Project::new(&changes.iter().fold(TRAINING.to_owned(), change));
    let found = on_the_cpu(&project, true, &["find-vulkan"]).out;
    if !found.contains("\"is_software\":true") {
        support::skips("no device of Vulkan's computes on the CPU, or this build has no use for one");
        return None;
    }
    Some(project)
}

#[test]
fn a_device_that_computes_on_the_cpu_is_used_only_when_it_is_asked_for() {
    let Some(project) = project(&[(RESULTS, MORE)]) else { return };
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
    let Some(project) = project(&[(RESULTS, MORE)]) else { return };
    let made = on_the_cpu(&project, true, &["run", "p.yaml", "--gpus", "vulkan0"]);
    assert_eq!(made.code, 0, "{made:?}");
    assert_eq!(project.read("results/t/given"), "[0] []\n");
    assert_eq!(project.read("results/t/not-given"), "[]\n");
    let explained = on_the_cpu(&project, true, &["explain", "p.yaml", "model"]).out;
    assert!(explained.contains("It was computed on Vulkan GPU, llvmpipe"), "{explained}");
    assert!(explained.contains(", in float32."), "{explained}");
}

/// Metrics and both checkpoints of the training, and what was computed with it.
const TRAINED: &str = "  predicted:
    kind: predict
    inputs: { checkpoint: model.checkpoint, images: test }
    params: { batch: 8 }
    resources: { gpus: 1 }
results: { metrics: model.metrics, checkpoint: model.checkpoint, last: model.last, predicted: predicted }
";

/// All files of the results.
fn results(project: &Project) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![project.path("results/t")];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.file_name().unwrap().to_str().unwrap() {
                name if name.starts_with('.') => {}
                _ if path.is_dir() => folders.push(path),
                _ => found.push((path.display().to_string(), std::fs::read(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

/// Runs `stage` until it has told its progress `times` times, and kills the run.
fn kill(project: &Project, stage: &str, times: usize) {
    let mut run = command(project, true, &["run", "p.yaml", stage, "--json", "--gpus", "vulkan0"]);
    let mut run = run.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let progress = format!(r#""event":"progress","instance":"{stage}""#);
    let lines = BufReader::new(run.stdout.take().unwrap()).lines().map(Result::unwrap);
    let seen = lines.filter(|line| line.contains(&progress)).take(times).count();
    run.kill().unwrap();
    run.wait().unwrap();
    assert_eq!(seen, times, "{stage} was over too soon");
}

fn finish(project: &Project, arguments: &[&str]) -> Vec<(String, Vec<u8>)> {
    let made = on_the_cpu(project, true, &[&["run", "p.yaml", "--gpus", "vulkan0"], arguments].concat());
    assert_eq!(made.code, 0, "{made:?}");
    results(project)
}

#[test]
fn what_was_killed_ends_with_the_bytes_of_what_was_not() {
    let changes = [("epochs: 1 }", "epochs: 1, save_every: 0 }"), ("test: 8", "test: 16"), (RESULTS, TRAINED)];
    let Some(project) = project(&changes) else { return };
    let went_on = |stage| {
        let log = on_the_cpu(&project, true, &["logs", "p.yaml", stage]).out;
        log.lines().any(|line| line.starts_with("continues "))
    };
    let whole = finish(&project, &[]);
    assert!(
        finish(&project, &["--force", "model", "--force", "predicted"]) == whole,
        "a second time is not as the first"
    );
    // In the middle of the only epoch, and after its last step.
    for times in [2, 4] {
        std::fs::remove_dir_all(project.path(".athanor")).unwrap();
        kill(&project, "model", times);
        finish(&project, &["model"]);
        assert!(went_on("model"), "it began from nothing");
        kill(&project, "predicted", 2);
        assert!(finish(&project, &[]) == whole, "killed at {times}, it is not what it is in one go");
        assert!(went_on("predicted"), "it began from nothing");
    }
}
