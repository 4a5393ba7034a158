//! Simulated GPUs: who gets which device, and never too much of one.

mod support;

use std::collections::HashMap;

use support::Project;

/// Runs `count` stages that want `resources` and returns, for each that started, its devices in the order of events, with
/// starts as `true` and ends as `false`.
fn timeline(count: usize, resources: &str, gpus: &str) -> Vec<(bool, String, Vec<u64>)> {
    let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    let project = Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  train:\n    kind: command\n    matrix: {{ n: [{}] }}\n    resources: {resources}\n    \
         run: echo \"$CUDA_VISIBLE_DEVICES\" ${{{{ matrix.n }}}} > ${{{{ outputs.o }}}}\n    outputs: {{ o: o.txt }}\nresults: {{ o: train }}\n",
        numbers.join(", ")
    ));
    let outcome = project.run(&["--json", "-j", "64", "--gpus", gpus]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let mut devices: HashMap<String, Vec<u64>> = HashMap::new();
    let mut timeline = Vec::new();
    for line in outcome.out.lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = event["instance"].as_str().unwrap_or_default().to_owned();
        if event["event"] == "started" {
            let given: Vec<u64> = event["gpus"].as_array().unwrap().iter().map(|gpu| gpu.as_u64().unwrap()).collect();
            devices.insert(name.clone(), given.clone());
            timeline.push((true, name, given));
        } else if event["event"] == "storing" {
            let given = devices[&name].clone();
            timeline.push((false, name, given));
        }
    }
    for (name, given) in &devices {
        let number = name.trim_start_matches("train[n=").trim_end_matches(']');
        let seen = project.read(&format!("results/p/o/n={number}.txt"));
        let expected: Vec<String> = given.iter().map(u64::to_string).collect();
        assert_eq!(seen.split(' ').next().unwrap(), expected.join(","), "{name} sees what it was given");
    }
    assert_eq!(devices.len(), count);
    timeline
}

/// The most stages that were on one device at once.
fn most_at_once(timeline: &[(bool, String, Vec<u64>)]) -> usize {
    let mut on: HashMap<u64, usize> = HashMap::new();
    let mut most = 0;
    for (start, _, devices) in timeline {
        for device in devices {
            let count = on.entry(*device).or_default();
            *count = if *start { *count + 1 } else { *count - 1 };
            most = most.max(*count);
        }
    }
    most
}

#[test]
fn a_whole_device_has_one_stage_at_a_time() {
    let timeline = timeline(12, "{ gpus: 1 }", "0,1,2,3");
    assert_eq!(most_at_once(&timeline), 1);
    let first: Vec<u64> = timeline.iter().take(4).flat_map(|(_, _, devices)| devices.clone()).collect();
    assert_eq!(first, [0, 1, 2, 3], "four start before one ends");
}

#[test]
fn fractions_share_a_device() {
    assert_eq!(most_at_once(&timeline(9, "{ gpus: 0.3 }", "5")), 3);
}

#[test]
fn several_devices_are_given_together() {
    let timeline = timeline(4, "{ gpus: 2 }", "0,2,7");
    assert_eq!(most_at_once(&timeline), 1);
    assert!(timeline.iter().all(|(_, _, devices)| devices.len() == 2));
}

#[test]
fn memory_limits_who_shares() {
    assert_eq!(most_at_once(&timeline(6, "{ gpus: 0.1, gpu_memory: 4GiB }", "0:10GiB")), 2);
}

#[test]
fn a_stage_without_gpus_sees_none() {
    assert!(timeline(1, "{ cpus: 1 }", "0,1").iter().all(|(_, _, devices)| devices.is_empty()));
}

#[test]
fn what_can_never_fit_is_refused_before_anything_runs() {
    let project = Project::new(
        "athanor: 1
name: p
stages:
  first: { kind: command, run: touch $ATHANOR_PROJECT/ran }
  fits: { kind: command, run: 'true', resources: { cpus: 8, memory: 1GiB, gpus: 0.5, gpu_memory: 40GiB } }
  big: { kind: command, run: 'true', resources: { cpus: 9, memory: 2GiB } }
  gpus: { kind: command, matrix: { i: [1, 2] }, run: 'echo ${{ matrix.i }}', resources: { gpus: 3 } }
  wide:
    kind: command
    run: 'true'
    resources:
      gpus: 2
      gpu_memory: 40GiB
",
    );
    for dry in [&[][..], &["-n"]] {
        let outcome = project.run(&[&["-j", "8", "--memory", "1600MiB", "--gpus", "0:40GiB,1:8GiB"], dry].concat());
        assert_eq!(outcome.code, 2, "{outcome:?}");
        insta::assert_snapshot!("never_fits", outcome.err);
        assert!(!project.path("ran").exists());
    }
    assert!(!project.path(".athanor").exists(), "nothing is made before the pipeline is right");
    let one = project.run(&["-j", "8", "--gpus", "none", "first", "gpus[i=1]"]);
    assert!(one.err.contains("the stage `gpus` asks for 3 GPUs, but the run has none (in `gpus[i=1]`)"), "{}", one.err);
}

#[test]
fn memory_on_a_gpu_needs_a_gpu() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages: { a: { kind: command, run: x, resources: { gpu_memory: 1GiB } } }\n",
    );
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert!(outcome.err.contains("`gpu_memory` is for stages that have `gpus`"), "{}", outcome.err);
}
