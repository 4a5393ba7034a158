//! Which GPUs stages get, on machines whose driver is made up: a library in the place of NVML, a script in that of `nvidia-smi`.

mod fake_cuda;
#[path = "../support/mod.rs"]
mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Outcome, Project, TRAINING};

const PIPELINE: &str = "athanor: 1
name: p
stages:
  train:
    kind: command
    matrix: { n: [1, 2] }
    resources: { gpus: 1 }
    run: echo \"$CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER ${{ matrix.n }}\" > ${{ outputs.o }}
    outputs: { o: o.txt }
results: { o: train }
";

const EIGHT: &str = "GPU-a0,NVIDIA H100,81920;GPU-a1,NVIDIA H100,81920;GPU-a2,NVIDIA H100,81920;GPU-a3,NVIDIA H100,81920;\
                     GPU-a4,NVIDIA H100,81920;GPU-a5,NVIDIA H100,81920;GPU-a6,NVIDIA H100,81920;GPU-a7,NVIDIA H100,81920";

/// A folder with the library `name`, built from a file here; `None`, and a message, where there is no C compiler.
fn library(name: &str, source: &str) -> Option<tempfile::TempDir> {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/devices").join(source);
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(folder.path().join(name)).arg(source);
    match compiler.output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            support::skips(&format!("this needs a C compiler: {error}"));
            return None;
        }
    }
    Some(folder)
}

/// A project on a machine with made-up GPUs.
struct Machine {
    project: Project,
    library: tempfile::TempDir,
    gpus: &'static str,
}

impl Machine {
    fn new(gpus: &'static str) -> Option<Machine> {
        Some(Machine { library: library("libnvidia-ml.so.1", "nvml.c")?, project: Project::new(PIPELINE), gpus })
    }

    fn athanor(&self, visible: Option<&str>, arguments: &[&str]) -> Outcome {
        let mut command = self.project.command(arguments);
        command.env("LD_LIBRARY_PATH", self.library.path()).env("FAKE_GPUS", self.gpus);
        match visible {
            Some(visible) => command.env("CUDA_VISIBLE_DEVICES", visible),
            None => command.env_remove("CUDA_VISIBLE_DEVICES"),
        };
        Outcome::of(command)
    }

    /// The GPUs that the two stages saw, in order.
    fn seen(&self, visible: Option<&str>, arguments: &[&str]) -> Vec<String> {
        let outcome = self.athanor(visible, &[&["run", "p.yaml", "--force", "train"], arguments].concat());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        let read = |n: u32| self.project.read(&format!("results/p/o/n={n}.txt"));
        let mut seen: Vec<String> = [1, 2].map(read).into();
        for line in &mut seen {
            let mut words = line.split(' ').map(str::to_owned).collect::<Vec<_>>().into_iter();
            let (gpus, order) = (words.next().unwrap(), words.next().unwrap());
            assert_eq!(order, "PCI_BUS_ID", "an index means the same to everybody");
            *line = gpus;
        }
        seen.sort();
        seen.dedup();
        seen
    }
}

#[test]
fn stages_get_only_what_is_visible_in_the_form_in_which_it_is_named() {
    let Some(machine) = Machine::new(EIGHT) else { return };
    let two = ["-j", "2"];
    assert_eq!(machine.seen(None, &two), ["0", "1"]);
    assert_eq!(machine.seen(Some("6,7"), &two), ["6", "7"]);
    assert_eq!(machine.seen(Some("GPU-a3,GPU-a5"), &two), ["GPU-a3", "GPU-a5"]);
    assert_eq!(machine.seen(Some("6,7"), &["--gpus", "7"]), ["7"]);
    assert_eq!(machine.seen(Some("6,7"), &["--gpus", "GPU-a7"]), ["GPU-a7"]);
    for hidden in ["", "-1"] {
        let outcome = machine.athanor(Some(hidden), &["run", "p.yaml"]);
        assert_eq!(outcome.code, 2);
        assert!(outcome.err.contains("asks for 1 GPU, but the run has none"), "{outcome:?}");
        let devices = machine.athanor(Some(hidden), &["devices"]);
        let hides = format!("GPUs      none: CUDA_VISIBLE_DEVICES=`{hidden}` hides 8 GPUs");
        assert!(devices.out.contains(&hides), "{devices:?}");
    }
}

#[test]
fn a_gpu_that_is_hidden_or_not_there_cannot_be_named() {
    let Some(machine) = Machine::new(EIGHT) else { return };
    for (visible, gpus, message) in [
        (Some("6,7"), "0", "names the GPU 0, which CUDA_VISIBLE_DEVICES=`6,7` hides"),
        (None, "8", "names the GPU 8, which this machine does not have; it has 0, 1, 2, 3, 4, 5, 6, 7"),
        (None, "MIG-x", "names the GPU MIG-x, which this machine does not have"),
        (None, "1,GPU-a1", "names one GPU twice, as 1 and as GPU-a1"),
    ] {
        let outcome = machine.athanor(visible, &["run", "p.yaml", "--gpus", gpus]);
        assert_eq!(outcome.code, 2, "{outcome:?}");
        assert!(outcome.err.contains(message), "{gpus}: {}", outcome.err);
    }
}

#[test]
fn slices_are_found_and_passed_on_by_name() {
    let Some(machine) = Machine::new("GPU-a,NVIDIA H100,81920,mig=MIG-x,mig=MIG-y;GPU-b,NVIDIA H100,81920") else {
        return;
    };
    let devices = machine.athanor(None, &["devices"]);
    for piece in ["MIG-x  10.0 GiB  NVIDIA H100 MIG 1g.10gb", "1      80.0 GiB  NVIDIA H100"] {
        assert!(devices.out.contains(piece), "{piece}: {}", devices.out);
    }
    assert_eq!(machine.seen(Some("MIG-y,MIG-x"), &["-j", "2"]), ["MIG-x", "MIG-y"]);
    assert_eq!(machine.seen(None, &["--gpus", "MIG-y"]), ["MIG-y"]);
}

#[test]
fn a_busy_gpu_is_warned_of_where_gpus_are_wanted() {
    let Some(machine) = Machine::new("GPU-a,NVIDIA H100,81920,pid=1;GPU-b,NVIDIA H100,81920") else { return };
    let warning = "warning: the GPU 0 (NVIDIA H100) is in use by process 1";
    let outcome = machine.athanor(None, &["run", "p.yaml"]);
    assert!(outcome.code == 0 && outcome.err.contains(warning), "{outcome:?}");
    let outcome = machine.athanor(None, &["run", "p.yaml", "--gpus", "1"]);
    assert!(outcome.code == 0 && !outcome.err.contains("warning"), "{outcome:?}");
    machine.project.edit("resources: { gpus: 1 }", "resources: { cpus: 1 }");
    let outcome = machine.athanor(None, &["run", "p.yaml"]);
    assert!(outcome.code == 0 && !outcome.err.contains("warning"), "{outcome:?}");
}

#[test]
fn a_driver_that_refuses_is_quoted() {
    let Some(machine) = Machine::new(EIGHT) else { return };
    let mut command = machine.project.command(&["devices"]);
    command.env("LD_LIBRARY_PATH", machine.library.path()).env("FAKE_NVML_ERROR", "9").env("PATH", "/nowhere");
    let outcome = Outcome::of(command);
    assert!(outcome.code == 0 && outcome.out.contains("NVIDIA's driver does not answer (NVML)"), "{outcome:?}");
}

/// A folder with a `nvidia-smi` that answers as one of two GPUs, the second with a slice.
fn smi() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nvidia-smi");
    let script = "#!/bin/sh
case \"$*\" in
  *compute_cap*) echo '0, GPU-s0, 24576, 7.5, Quadro RTX 6000'; echo '1, GPU-s1, 40960, 8.0, NVIDIA A100' ;;
  -L) printf 'GPU 0: Quadro RTX 6000 (UUID: GPU-s0)\\nGPU 1: NVIDIA A100 (UUID: GPU-s1)\\n  MIG 3g.20gb Device 0: (UUID: MIG-s)\\n' ;;
  *driver_version*) echo 535.1; echo 535.1 ;;
  *compute-apps*) echo 'GPU-s0, 1' ;;
  *) exit 2 ;;
esac
";
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let bin = folder.path().to_owned();
    (folder, bin)
}

#[test]
fn without_nvml_nvidia_smi_is_asked() {
    let project = Project::new(PIPELINE);
    let (_folder, bin) = smi();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let with_smi = |arguments: &[&str], visible: Option<&str>| {
        let mut command = project.command(arguments);
        command.env("PATH", &path).env_remove("CUDA_VISIBLE_DEVICES");
        if let Some(visible) = visible {
            command.env("CUDA_VISIBLE_DEVICES", visible);
        }
        Outcome::of(command)
    };
    let devices = with_smi(&["devices"], None);
    for piece in ["0      24.0 GiB  Quadro RTX 6000          GPU-s0  7.5", "MIG-s  unknown   NVIDIA A100 MIG 3g.20gb"] {
        assert!(devices.out.contains(piece), "{piece}: {}", devices.out);
    }
    let outcome = with_smi(&["run", "p.yaml", "-j", "1"], Some("MIG-s"));
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("results/p/o/n=1.txt"), "MIG-s PCI_BUS_ID 1\n");
    let warned = with_smi(&["run", "p.yaml", "--force", "train"], None);
    assert!(warned.err.contains("the GPU 0 (Quadro RTX 6000) is in use by process 1"), "{warned:?}");
}

#[test]
fn a_build_that_can_use_no_gpu_compiles_no_kernels() {
    let project = Project::new(TRAINING);
    if is_built_with_cuda(&project) {
        return support::skips("this build may be able to use a GPU");
    }
    let outcome = project.athanor(&["devices", "--warm", "resnet18"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.err.contains("this program can use no GPU: this program was built without CUDA"), "{outcome:?}");
    let wrong = project.athanor(&["devices", "--size", "64"]);
    assert!(wrong.code == 2 && wrong.err.contains("--warm"), "{wrong:?}");
}

#[test]
fn the_instruction_set_is_in_the_record_and_in_no_fingerprint() {
    let project = Project::new(&TRAINING.replace("    resources: { gpus: 1 }\n", ""));
    let mut limited = project.command(&["run", "p.yaml", "--gpus", "none"]);
    limited.env("ATHANOR_INSTRUCTION_SET", "none");
    let made = Outcome::of(limited);
    assert_eq!(made.code, 0, "{made:?}");
    let explain = project.athanor(&["explain", "p.yaml", "model"]).out;
    assert!(explain.contains("It was computed on CPU, generic, in float32."), "{explain}");
    assert_eq!(project.made(&["--gpus", "none"]), [""; 0]);
}

/// Whether this build could use a GPU at all.
fn is_built_with_cuda(project: &Project) -> bool {
    !project.athanor(&["devices"]).out.contains("built without CUDA")
}

#[test]
fn a_gpu_that_the_program_cannot_use_is_refused_before_the_run_and_the_cpu_is_taken_only_if_allowed() {
    let project = Project::new(TRAINING);
    if is_built_with_cuda(&project) {
        return support::skips("this build may be able to use a GPU");
    }
    // What waits for others may turn out to be up to date: it fails when its turn comes.
    let waiting = project.run(&["--gpus", "0"]);
    assert_eq!(waiting.code, 1, "{waiting:?}");
    for piece in
        ["it was given a GPU that this program cannot use: this program was built without CUDA", "on_no_gpu: cpu"]
    {
        assert!(waiting.out.contains(piece), "{piece}: {}", waiting.out);
    }
    let sure = project.run(&["--gpus", "0"]);
    assert_eq!(sure.code, 2, "{sure:?}");
    for piece in
        ["p.yaml:11:", "the stage `model` would be given a GPU that this program cannot use", "ATHANOR_ON_NO_GPU=cpu"]
    {
        assert!(sure.err.contains(piece), "{piece}: {}", sure.err);
    }
    let none = project.run(&["--gpus", "none"]);
    assert!(none.err.contains("asks for 1 GPU, but the run has none"), "{none:?}");

    project.write("athanor.config.yaml", "on_no_gpu: cpu\n");
    assert_eq!(project.made(&["--gpus", "0"]), ["model"]);
    assert!(project.athanor(&["logs", "p.yaml", "model"]).out.contains("computes on the CPU, although"));
    let explain = project.athanor(&["explain", "p.yaml", "model"]).out;
    assert!(explain.contains("It was computed on ") && explain.contains(", in float32."), "{explain}");

    // No setting is in a fingerprint, and what is up to date needs no GPU.
    project.write("athanor.config.yaml", "");
    assert_eq!(project.made(&["--gpus", "0"]), [""; 0]);

    project.write("athanor.config.yaml", "on_no_gpu: cpu\n");
    let forced = project.made(&["--gpus", "none", "--force", "model"]);
    assert_eq!(forced, ["model"], "a machine without GPUs will do");
}

#[test]
fn gpus_of_vulkan_need_a_program_that_was_built_for_it() {
    let project = Project::new(TRAINING);
    if !project.athanor(&["find-vulkan"]).out.contains("not_built") {
        return support::skips("this build may be able to use a GPU through Vulkan");
    }
    assert_eq!(project.run(&["train", "test"]).code, 0);
    let refused = project.run(&["--gpus", "vulkan0"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    // Lines break in between.
    for piece in
        ["GPU that this program cannot use: this program was built", "without Vulkan; build it with `cargo install"]
    {
        assert!(refused.err.contains(piece), "{piece}: {refused:?}");
    }
    let mut other = project.command(&["devices"]);
    other.env("ATHANOR_GPU_API", "metal");
    let other = Outcome::of(other);
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.err.contains("ATHANOR_GPU_API is `metal`; it may be `cuda` or `vulkan`"), "{other:?}");
}

#[test]
fn only_stages_that_learn_load_the_driver() {
    let Some(driver) = library("libcuda.so.1", "driver.c") else { return };
    let project = Project::new(TRAINING);
    let note = project.path("loaded");
    let loaded = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("LD_LIBRARY_PATH", driver.path()).env("FAKE_CUDA_NOTE", &note).env_remove("CUDA_VISIBLE_DEVICES");
        let outcome = Outcome::of(command);
        let loaded = note.exists();
        let _ = std::fs::remove_file(&note);
        (outcome, loaded)
    };
    let (outcome, is_loaded) = loaded(&["run", "p.yaml", "train", "test"]);
    assert!(outcome.code == 0 && !is_loaded, "images are made without the driver: {outcome:?}");
    let (outcome, is_loaded) = loaded(&["devices"]);
    assert_eq!(is_loaded, is_built_with_cuda(&project), "a build with CUDA looks for GPUs: {outcome:?}");
    if is_loaded {
        assert!(outcome.out.contains("NVIDIA's driver is there, but shows no GPU"), "{outcome:?}");
    }
    let (outcome, is_loaded) = loaded(&["run", "p.yaml", "--gpus", "0"]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("would be given a GPU that this program cannot use"), "{outcome:?}");
    assert_eq!(is_loaded, is_built_with_cuda(&project), "a build with CUDA looks before it starts");
}

#[test]
fn gpus_of_stages_that_last_are_sampled() {
    let gpus = "GPU-a,NVIDIA H100,81920,used=100,busy=10;GPU-b,NVIDIA H100,81920,used=12288,busy=85";
    let Some(machine) = Machine::new(gpus) else { return };
    let last = "sleep 3.5; echo \"$CUDA_VISIBLE_DEVICES\" > ${{ outputs.o }}";
    machine.project.edit(
        "run: echo \"$CUDA_VISIBLE_DEVICES $CUDA_DEVICE_ORDER ${{ matrix.n }}\" > ${{ outputs.o }}",
        &format!("run: if [ ${{{{ matrix.n }}}} = 1 ]; then {last}; else echo > ${{{{ outputs.o }}}}; fi"),
    );
    let outcome = machine.athanor(None, &["run", "p.yaml", "--gpus", "1"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let explained = machine.athanor(None, &["explain", "p.yaml", "train", "--json"]).out;
    let made: serde_json::Value = serde_json::from_str(&explained).unwrap();
    assert_eq!(made[0]["used"]["gpu"], serde_json::json!({ "peak_memory": 12_288_u64 << 20, "utilisation": 85 }));
    assert_eq!(made[1]["used"]["gpu"], serde_json::Value::Null, "it was over before it was sampled");
    let words = machine.athanor(None, &["explain", "p.yaml", "train[n=1]"]).out;
    assert!(words.contains("its GPUs held up to 12.0 GiB and were busy 85 % of the time."), "{words}");
    assert_eq!(machine.athanor(None, &["report", "p.yaml", "-o", "out.html"]).code, 0);
    let page = machine.project.read("out.html");
    assert!(page.contains("\"gpu\":{\"i\":[0],\"peak\":[12884901888],\"busy\":[85]}"));
}

#[test]
fn top_shows_how_busy_gpus_are() {
    let Some(machine) = Machine::new("GPU-a,NVIDIA H100,81920,used=40960,busy=42") else { return };
    let shown = machine.athanor(None, &["top", "p.yaml"]);
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.out.contains("GPUs of this machine") && shown.out.contains("no run yet"), "{}", shown.out);
    assert!(shown.out.contains("40.0 GiB of 80.0 GiB") && shown.out.contains("42 % busy"), "{}", shown.out);
}
