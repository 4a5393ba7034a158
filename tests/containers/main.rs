//! Containers of commands, with a stand-in for their engines and, where it works, with Podman itself.

#[path = "../support/mod.rs"]
mod support;

mod podman;
mod stand_in;

use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stand_in::Engine;
use support::{Outcome, wait_for, wait_until};

/// A stage in a container that reads a file and what another stage made.
const PIPELINE: &str = "athanor: 1
name: p
stages:
  first: { kind: command, run: 'echo made > ${{ outputs.o }}', outputs: { o: o.txt } }
  second:
    kind: command
    container: { image: tools/one }
    inputs: { made: first, data: data/in.txt }
    reads: [config.ini]
    writes: [logs]
    env: { LEVEL: \"a, b\" }
    env_passthrough: [TOKEN]
    run: |
      cat ${{ inputs.made }} ${{ inputs.data }} > ${{ outputs.o }}
      echo \"$LEVEL ${TOKEN:-none} ${LR:-none} ${TZ:-none} $HOME $TMPDIR\" > ${{ outputs.env }}
    outputs: { o: o.txt, env: env.txt }
results: { o.txt: second.o, env.txt: second.env }
";

fn engine() -> Engine {
    let engine = Engine::new(&["podman"], PIPELINE);
    engine.project.write("data/in.txt", "in\n");
    engine.project.write("config.ini", "x\n");
    engine.image("tools/one", "aaaa docker.io/tools/one@sha256:dddd\n");
    engine
}

#[test]
fn a_script_runs_in_a_container_that_sees_what_its_stage_declares() {
    let engine = engine();
    let mut command = engine.command(&["run", "p.yaml"]);
    command.envs([("TOKEN", "hunter22"), ("LR", "0.1"), ("TZ", "UTC")]);
    let outcome = Outcome::of(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(engine.project.read("results/p/o.txt"), "made\nin\n");
    let variables = engine.project.read("results/p/env.txt");
    let [home, temporary] = variables.split_whitespace().rev().take(2).collect::<Vec<_>>()[..] else { panic!() };
    assert!(variables.starts_with("a, b hunter22 none UTC /") && home == temporary, "{variables}");
    assert!(home.ends_with("/work/.tmp"), "{home}");
    let lines = engine.lines("run");
    let [line] = &lines[..] else { panic!("the other stage has no container: {lines:?}") };
    let root = engine.project.path("").canonicalize().unwrap();
    let mount = |path: &str, access: &str| {
        let path = root.join(path);
        let path = path.display();
        format!("--mount type=bind,source={path},target={path},readonly={access}")
    };
    for sign in [
        mount("data/in.txt", "true"),
        mount("config.ini", "true"),
        mount("logs", "false"),
        mount(".athanor/objects", "true"),
        "--rm --name athanor.".to_owned(),
        "--cgroups=disabled".to_owned(),
        "--env TOKEN ".to_owned(),
        "--env LEVEL=a, b ".to_owned(),
        "--entrypoint sh sha256:aaaa -c ".to_owned(),
    ] {
        assert!(line.contains(&sign), "{sign}: {line}");
    }
    let work = format!("source={}/.athanor/scratch/", root.display());
    assert!(line.contains(&work) && !line.contains("hunter22") && !line.contains("--env PATH"), "{line}");
    assert!(!line.contains(&mount("", "true")) && !line.contains(&mount("data", "true")), "{line}");
    assert!(engine.containers().is_empty());
}

#[test]
fn a_file_that_a_line_names_in_a_folder_for_writing_is_not_closed() {
    let engine = Engine::new(
        &["podman"],
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    container: { image: tools/one }\n    writes: [logs]\n    \
         run: |\n      echo x >> $ATHANOR_PROJECT/logs/up\n      cat $ATHANOR_PROJECT/data.txt\n",
    );
    engine.image("tools/one", "aaaa docker.io/tools/one@sha256:dddd\n");
    engine.project.write("logs/up", "");
    engine.project.write("logs/of_all", "");
    engine.project.write("data.txt", "data\n");
    engine.project.write("athanor.config.yaml", "sandbox: { reads: [logs/of_all] }\n");
    assert_eq!(engine.run(&[]).code, 0);
    let line = engine.lines("run").concat();
    let root = engine.project.path("").canonicalize().unwrap();
    let mount = |path: &str, access: &str| {
        let path = root.join(path);
        line.contains(&format!("type=bind,source={0},target={0},{access}", path.display()))
    };
    assert!(mount("logs", "readonly=false") && mount("data.txt", "readonly=true"), "{line}");
    assert!(!mount("logs/up", "readonly=true") && !mount("logs/of_all", "readonly=true"), "{line}");
}

#[test]
fn the_digest_of_the_image_counts_and_is_asked_for_once_a_run() {
    let engine = engine();
    assert_eq!(engine.made(&[]), ["first", "second"]);
    assert_eq!(engine.made(&[]), [""; 0]);
    assert_eq!(engine.lines("image").len(), 2, "once a run");
    // Commands that only look take the last answer, and say so.
    let note = "images of containers are as the last run found them";
    engine.image("tools/one", "bbbb\n");
    for arguments in [&["status", "p.yaml"][..], &["explain", "p.yaml", "second"], &["run", "p.yaml", "-n"]] {
        let outcome = Outcome::of(engine.command(arguments));
        assert!(outcome.out.contains(note) && !outcome.out.contains("stale"), "{outcome:?}");
    }
    assert_eq!(engine.lines("image").len(), 2);
    // Another name for the same image, or another engine, is nothing new.
    engine.image("tools/one", "aaaa\n");
    engine.image("two:1", "aaaa\n");
    engine.project.edit("{ image: tools/one }", "{ image: \"two:1\", engine: podman }");
    assert_eq!(engine.made(&[]), [""; 0]);
    engine.image("two:1", "bbbb\n");
    let outcome = engine.run(&["--json"]);
    assert_eq!(support::events(&outcome.out, "finished"), ["second"]);
    engine.image("two:1", "aaaa\n");
    assert_eq!(engine.made(&[]), [""; 0], "its result is still there");
}

#[test]
fn an_image_that_is_not_here_is_pulled_and_one_that_is_nowhere_is_a_mistake() {
    let engine = engine();
    engine.project.edit("tools/one", "other:7");
    assert_eq!(engine.made(&[]), ["first", "second"]);
    assert_eq!(engine.lines("pull"), ["pull --quiet other:7"]);
    engine.project.edit("other:7", "third");
    std::fs::remove_dir_all(engine.path("images")).unwrap();
    let outcome = engine.run(&[]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    for sign in ["the image `third` is not here, and `podman pull` ended with exit status 1", "p.yaml:5:3"] {
        assert!(outcome.err.contains(sign), "{sign}: {}", outcome.err);
    }
    let none = Engine::new(&[], PIPELINE);
    none.project.write("data/in.txt", "in\n");
    none.project.write("config.ini", "x\n");
    let outcome = none.run(&[]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("has no engine here: neither `podman` nor `docker` is on the PATH"), "{outcome:?}");
}

#[test]
fn versions_are_asked_in_the_container() {
    let engine = engine();
    let asks = "    versions: [\"echo version of $LEVEL; pwd\"]\n    writes: [logs]\n";
    engine.project.edit("    writes: [logs]\n", asks);
    assert_eq!(engine.made(&[]), ["first", "second"]);
    let lines = engine.lines("run");
    assert_eq!(lines.len(), 2, "{lines:?}");
    let root = engine.project.path("").canonicalize().unwrap();
    let root = root.display();
    assert!(lines[0].contains(&format!("source={root},target={root},readonly=true --workdir {root} ")), "{}", lines[0]);
    assert!(lines[0].ends_with("sha256:aaaa -euc echo version of $LEVEL; pwd"), "{}", lines[0]);
    assert!(engine.made(&[]).is_empty());
    assert_eq!(engine.lines("run").len(), 3);
    engine.image("tools/one", "bbbb\n");
    assert_eq!(engine.made(&[]), ["second"]);
}

#[test]
fn a_failure_of_the_engine_says_whose_it_is() {
    let engine = engine();
    std::fs::write(engine.path("broken"), "").unwrap();
    let outcome = engine.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    for sign in ["exit status 125", "status of a container engine that could not do its part", "no space for another"] {
        assert!(outcome.out.contains(sign), "{sign}: {}", outcome.out);
    }
    // It may have made one.
    assert_eq!((engine.lines("kill").len(), engine.lines("rm").len()), (1, 1));
}

#[test]
fn docker_and_apptainer_are_told_in_their_words() {
    let engine = Engine::new(&["docker", "apptainer"], PIPELINE);
    engine.project.write("data/in.txt", "in\n");
    engine.project.write("config.ini", "x\n");
    engine.project.write("envs/tools.sif", "image\n");
    engine.image("tools/one", "sha256:aaaa\n");
    assert_eq!(engine.made(&[]), ["first", "second"]);
    let owner = format!("--user={}:{}", rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    assert!(engine.lines("run")[0].contains(&owner), "{:?}", engine.lines("run"));
    assert!(!engine.lines("run")[0].contains("--cgroups"));
    engine.project.edit("{ image: tools/one }", "{ image: envs/tools.sif }");
    assert_eq!(engine.made(&[]), ["second"]);
    assert_eq!(engine.project.read("results/p/o.txt"), "made\nin\n");
    let lines = engine.lines("exec");
    let image = engine.project.path("envs/tools.sif").canonicalize().unwrap();
    let begin = "exec --contain --cleanenv --no-eval --pwd ";
    assert!(lines[0].starts_with(begin) && lines[0].contains(&format!("{} sh -c ", image.display())), "{lines:?}");
    assert_eq!(engine.made(&[]), [""; 0]);
    engine.project.write("envs/tools.sif", "another image\n");
    assert_eq!(engine.made(&[]), ["second"]);
}

/// A run whose stage says in `up` that it is there, and then waits.
fn waiting(engine: &Engine, more: &str) -> Child {
    let line = format!("touch $ATHANOR_PROJECT/up; while :; do sleep 0.02; done # {more}");
    engine.project.write(
        "p.yaml",
        &format!("athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    container: {{ image: tools/one }}\n    run: |\n      {line}\n    outputs: {{}}\n"),
    );
    let mut command = engine.command(&["run", "p.yaml"]);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&engine.project.path("up"), &mut run);
    run
}

#[test]
fn a_second_interrupt_kills_the_container_by_its_name() {
    let engine = engine();
    let mut run = waiting(&engine, "");
    let name = engine.containers().remove(0);
    let number = Pid::from_raw(run.id().cast_signed());
    for signal in [Signal::SIGINT, Signal::SIGINT, Signal::SIGINT] {
        // It may have ended before the last one.
        let _ = kill(number, signal);
    }
    assert_eq!(run.wait().unwrap().code(), Some(130));
    // The first may have been enough: then its engine has removed it.
    assert!(engine.containers().is_empty());
    let killed = engine.lines("rm");
    assert!(killed.is_empty() || killed == [format!("rm -f {name}")], "{killed:?}");
}

#[test]
fn an_interrupt_reaches_the_script() {
    let engine = engine();
    let mut run = waiting(&engine, "");
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert!(engine.containers().is_empty() && engine.lines("rm").is_empty(), "{:?}", engine.lines("rm"));
}

#[test]
fn containers_of_a_run_that_was_killed_are_removed_at_once_and_else_by_the_next_run() {
    let engine = engine();
    let mut run = waiting(&engine, "first");
    let name = engine.containers().remove(0);
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until("its container is removed", || engine.lines("rm").contains(&format!("rm -f {name}")));
    // As if nothing that outlived the run had been there to remove it.
    std::fs::write(engine.path("containers").join(&name), "2147483646\n").unwrap();
    for other in ["postgres", "athanor.1234.5.6.7.0"] {
        std::fs::write(engine.path("containers").join(other), "2147483646\n").unwrap();
    }
    engine.project.write("p.yaml", PIPELINE);
    assert_eq!(engine.made(&[]), ["first", "second"]);
    let mut left = engine.containers();
    left.sort();
    assert_eq!(left, ["athanor.1234.5.6.7.0", "postgres"], "those of others stay");
}

#[test]
fn a_shell_opens_in_the_container() {
    let engine = engine();
    let mut shell = engine.command(&["shell", "p.yaml", "second"]);
    let refused = Outcome::of(shell);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(engine.made(&[]).len(), 2);
    shell = engine.command(&["shell", "p.yaml", "second"]);
    let mut child = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, b"cat inputs/*/*; echo $LEVEL; exit 3\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(engine.lines("run").last().unwrap().contains(" -i "), "{:?}", engine.lines("run"));
}

#[test]
fn mistakes_are_found_before_anything_runs() {
    for (container, signs) in [
        ("{ image: tools/one, engine: dockr }", ["`dockr` is none of `podman`, `docker` and `apptainer`", "`docker`?"]),
        ("{ engine: docker }", ["missing key `image` in `container`", "p.yaml:7:16"]),
        ("{ image: \"docker://x\" }", ["an image cannot be an address (`docker://…`)", "p.yaml:7:25"]),
        ("{ image: \"-v/:/x\" }", ["`-v/:/x` is not the name of an image", "p.yaml:7:25"]),
        ("[one]", ["`container` is a mapping, not a list", "p.yaml:7:16"]),
    ] {
        let engine = engine();
        engine.project.edit("{ image: tools/one }", container);
        let outcome = engine.run(&[]);
        assert_eq!(outcome.code, 2, "{outcome:?}");
        for sign in signs {
            assert!(outcome.err.contains(sign), "{sign}: {}", outcome.err);
        }
    }
    let engine = Engine::new(
        &["podman"],
        "athanor: 1\nname: p\nstages: { t: { kind: synthetic_tables, params: { train: 20 }, container: { image: x } } }\n",
    );
    let outcome = engine.run(&[]);
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("`container` is for commands"), "{}", outcome.err);
}
