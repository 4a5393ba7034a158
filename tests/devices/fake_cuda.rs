//! A build for GPUs on a driver and a compiler that are made up: what it compiles, and for whom.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::support::{self, Outcome, Project};
use super::{TRAINING, is_built_with_cuda, library};

/// Headers that are looked for, not into.
const HEADERS: [&str; 6] = ["cuda_runtime.h", "cuda_fp16.h", "cuda_bf16.h", "mma.h", "crt/mma.h", "cccl/cuda/barrier"];

/// A machine with GPUs that compute nothing, and a project on it.
struct Machine {
    project: Project,
    libraries: [tempfile::TempDir; 2],
}

impl Machine {
    /// `None`, and a message, where this build uses no GPU or there is no C compiler.
    fn new(pipeline: &str) -> Option<Machine> {
        let project = Project::new(pipeline);
        if !is_built_with_cuda(&project) {
            support::skips("this build can use no GPU");
            return None;
        }
        let libraries = [library("libcuda.so", "fake/cuda.c")?, library("libnvrtc.so", "fake/nvrtc.c")?];
        for header in HEADERS {
            project.write(&format!("toolkit/include/{header}"), "");
        }
        std::fs::create_dir(project.path("sources")).unwrap();
        Some(Machine { project, libraries })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.project.command(arguments);
        let libraries = std::env::join_paths(self.libraries.iter().map(tempfile::TempDir::path)).unwrap();
        command.env("LD_LIBRARY_PATH", libraries).env("CUDA_PATH", self.project.path("toolkit"));
        command
            .env("XDG_CACHE_HOME", self.project.path("cache"))
            .env("FAKE_NVRTC_SOURCES", self.project.path("sources"));
        command.env("FAKE_CUDA_LOG", self.project.path("log")).env_remove("CUDA_VISIBLE_DEVICES");
        command
    }

    fn athanor(&self, arguments: &[&str]) -> Outcome {
        let outcome = Outcome::of(self.command(arguments));
        assert_eq!(outcome.code, 0, "{outcome:?}");
        outcome
    }

    /// Number of kernels that were compiled since this was last asked.
    fn compiled(&self) -> usize {
        let sources: Vec<PathBuf> = files(&self.project.path("sources"));
        sources.iter().for_each(|source| std::fs::remove_file(source).unwrap());
        sources.len()
    }

    /// Counts of the driver in the processes that launched kernels.
    fn counted(&self) -> Vec<serde_json::Value> {
        self.project.read("log").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn kernels_that_were_compiled_before_a_run_are_those_of_its_stages() {
    let Some(machine) = Machine::new(TRAINING) else { return };
    let shown = machine.athanor(&["devices", "--gpus", "0"]);
    assert!(shown.out.contains("on a stage's GPUs (CUDA: driver 13.0, compiler 13.0)"), "{}", shown.out);
    machine.compiled();
    let warmed = machine.athanor(&["devices", "--gpus", "0", "--warm", "resnet18", "--size", "32", "--batch", "8"]);
    for work in ["training", "prediction"] {
        let line = format!("GPU 0: {work} of resnet18 at 32 px, batch 8, float32: ");
        assert!(warmed.out.contains(&line), "{}", warmed.out);
    }
    let before = machine.compiled();
    let run = machine.athanor(&["run", "p.yaml", "--gpus", "0"]);
    let in_the_run = machine.compiled();
    assert!(before > 100, "{before} kernels were compiled before the run");
    assert!(in_the_run * 20 < before, "{in_the_run} kernels were compiled in the run, {before} before: {run:?}");
    let log = machine.athanor(&["logs", "p.yaml", "model"]).out;
    assert!(!log.contains("compiles and tunes kernels"), "the stage knows its kernels: {log}");
    for process in machine.counted() {
        assert_eq!(process["refused"], serde_json::json!([]), "no launch is beyond the limits of the card");
    }
}

#[test]
fn only_gpus_have_kernels_to_compile() {
    let Some(machine) = Machine::new(TRAINING) else { return };
    let outcome = Outcome::of(machine.command(&["devices", "--gpus", "none", "--warm", "resnet18"]));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains("no GPU is given to the run"), "{outcome:?}");
}

#[test]
fn products_in_float32_round_to_tf32_only_where_they_may() {
    let rounds = |precision: &str| {
        let machine = Machine::new(TRAINING)?;
        machine.athanor(&[
            "bench",
            "predict",
            "--arch",
            "resnet18",
            "--size",
            "32",
            "--precision",
            precision,
            "--steps",
            "1",
        ]);
        let sources = files(&machine.project.path("sources"));
        assert!(!sources.is_empty());
        Some(sources.iter().any(|source| std::fs::read_to_string(source).unwrap().contains("tf32")))
    };
    let (Some(f32), Some(f32_ieee)) = (rounds("f32"), rounds("f32_ieee")) else { return };
    assert!(f32 && !f32_ieee, "kernels have TF32 with f32: {f32}, with f32_ieee: {f32_ieee}");
}

/// Reads from all GPUs in a training by two of them, of `images` images, eight a step.
fn reads_of_two_gpus(images: usize) -> Option<u64> {
    let two = TRAINING.replace("gpus: 1", "gpus: 2").replace("batch: 8", "batch: 4, accumulation: 2");
    let machine = Machine::new(&two.replace("train: 24", &format!("train: {images}")))?;
    let mut command = machine.command(&["run", "p.yaml", "--gpus", "0,1"]);
    command.env("FAKE_CUDA_GPUS", "2");
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let explain = machine.athanor(&["explain", "p.yaml", "model"]).out;
    assert!(explain.contains("It was computed on 2 CUDA GPUs"), "{explain}");
    Some(machine.counted().iter().map(|process| process["from_device"].as_u64().unwrap()).sum())
}

#[test]
fn what_two_gpus_exchange_travels_together() {
    let (Some(few), Some(many)) = (reads_of_two_gpus(24), reads_of_two_gpus(48)) else { return };
    // A network of this kind has 62 parameters and as many gradients, and 40 running statistics.
    let a_step = many.saturating_sub(few) / 3;
    assert!(a_step <= 12, "{a_step} reads a step");
}
