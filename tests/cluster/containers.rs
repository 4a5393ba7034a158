//! Containers on the nodes of a cluster, with stand-ins for both.

use std::path::Path;

use crate::fake::Cluster;
use crate::stand_in::Engine;
use crate::support::{Outcome, Project, events};

const PIPELINE: &str = "athanor: 1
name: p
stages:
  first: { kind: command, run: 'echo made > ${{ outputs.o }}', outputs: { o: o.txt } }
  second:
    kind: command
    container: { image: tools }
    inputs: { made: first }
    run: cat ${{ inputs.made }} > ${{ outputs.o }}; pwd >> ${{ outputs.o }}
    outputs: { o: o.txt }
results: { o.txt: second }
";

fn run(cluster: &Cluster, engine: &Engine, arguments: &[&str]) -> Outcome {
    let mut command = cluster.command(&[&["run", "p.yaml", "--json"], arguments].concat());
    engine.let_in(&mut command);
    Outcome::of(command)
}

fn output(project: &Project) -> String {
    project.read("results/p/o.txt")
}

#[test]
fn a_container_runs_on_the_node_with_the_image_that_was_found() {
    let cluster = Cluster::new(PIPELINE);
    let engine = Engine::new(&["podman"], "");
    engine.image("tools", "aaaa registry/tools@sha256:dddd\n");
    let outcome = run(&cluster, &engine, &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(output(&cluster.project).starts_with("made\n"));
    let lines = engine.lines("run");
    assert_eq!(lines.len(), 1, "{lines:?}");
    // A node may have to fetch it.
    assert!(lines[0].contains("--entrypoint sh registry/tools@sha256:dddd "), "{lines:?}");
    assert!(engine.containers().is_empty());
    let here = run(&cluster, &engine, &["--executor", "local"]);
    assert!(events(&here.out, "finished").is_empty(), "{here:?}");
}

#[test]
fn a_container_sees_the_copies_on_the_nodes_own_disk() {
    let cluster = Cluster::new(PIPELINE);
    if cluster.lacks_room() {
        return;
    }
    let disk = cluster.path("disk");
    std::fs::create_dir(&disk).unwrap();
    let settings = format!("executor: slurm\nslurm: {{ poll: 1s, idle: 20s }}\nscratch: {}\n", disk.display());
    cluster.project.write("athanor.config.yaml", &settings);
    let engine = Engine::new(&["docker"], "");
    engine.image("tools", "sha256:aaaa\n");
    let outcome = run(&cluster, &engine, &[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let text = output(&cluster.project);
    let work = text.strip_prefix("made\n").unwrap().trim();
    assert!(Path::new(work).starts_with(&disk), "{work}");
    let line = engine.lines("run").remove(0);
    let attempt = Path::new(work).parent().unwrap().display().to_string();
    assert!(line.contains(&format!("source={attempt},target={attempt},readonly=false")), "{line}");
    let copies = format!("source={}/", disk.display());
    let is_input = |mount: &str| mount.contains("/inputs/objects-") && mount.contains("readonly=true");
    assert!(line.split("--mount").any(|mount| mount.contains(&copies) && is_input(mount)), "{line}");
}
