//! What the system refuses: threads, processes, handles, memory, stack, space. Errors that say what to do, no panics, and no
//! result is lost.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use support::{Outcome, Project};

const PIPELINE: &str = "athanor: 1
name: p
stages:
  s:
    kind: command
    matrix: { i: [1, 2, 3, 4, 5, 6] }
    run: echo ${{ matrix.i }} > ${{ outputs.o }}
    outputs: { o: o.txt }
  t: { kind: synthetic_tables, params: { train: 50 } }
";

/// A run under what `limit` sets, in a shell.
fn run_under(project: &Project, limit: &str) -> Outcome {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(format!("{limit}; exec \"$0\" run -k p.yaml")).arg(env!("CARGO_BIN_EXE_athanor"));
    command
        .current_dir(project.path(""))
        .env_remove("ATHANOR_CACHE")
        .env("NO_COLOR", "1")
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null());
    Outcome::of(command)
}

#[test]
fn too_few_handles_are_an_error_that_names_the_limit() {
    for handles in [8, 12, 16, 20, 24, 28, 32] {
        let project = Project::new(PIPELINE);
        let outcome = run_under(&project, &format!("ulimit -n {handles}"));
        let said = format!("{}{}", outcome.out, outcome.err);
        assert!([0, 1].contains(&outcome.code), "{handles}: {outcome:?}");
        assert!(!said.contains("panicked"), "{handles}: {said}");
        assert!(
            outcome.code == 0 || said.contains("open files") || said.contains("files are open"),
            "{handles}: {said}"
        );
        assert_eq!(project.run(&[]).code, 0, "{handles}");
    }
}

#[test]
fn a_small_stack_is_enough() {
    let outcome = run_under(&Project::new(PIPELINE), "ulimit -s 200");
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[test]
fn too_little_memory_is_an_error_in_words() {
    let mut refused = 0;
    for kibibytes in (20_000..140_000).step_by(10_000) {
        let project = Project::new(PIPELINE);
        let outcome = run_under(&project, &format!("ulimit -v {kibibytes}"));
        let said = format!("{}{}", outcome.out, outcome.err);
        // Below a certain size the system cannot even load the program, and kills it.
        if (outcome.code < 0 || outcome.code == 127) && outcome.out.is_empty() {
            continue;
        }
        assert!([0, 1].contains(&outcome.code), "{kibibytes}: {outcome:?}");
        assert!(!said.contains("panicked"), "{kibibytes}: {said}");
        refused += i32::from(outcome.code == 1);
        assert_eq!(project.run(&[]).code, 0, "{kibibytes}");
    }
    println!("{refused} runs did not have enough");
}

#[test]
fn files_over_the_limit_are_an_error() {
    let project = Project::new(PIPELINE);
    let outcome = run_under(&project, "ulimit -f 1");
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(project.run(&[]).code, 0);
}

#[test]
fn a_program_that_a_signal_ended_is_told_from_a_status() {
    for (line, cause) in [
        (
            "sh -c 'kill -KILL $$'; exit $?",
            "It ended with exit status 137: a program in its script was killed by signal 9 (SIGKILL).",
        ),
        (
            "sh -c 'kill -SEGV $$'; exit $?",
            "It ended with exit status 139: a program in its script was killed by signal 11 (SIGSEGV).",
        ),
        ("exit 128", "It ended with exit status 128."),
        ("exit 255", "It ended with exit status 255."),
    ] {
        let text = format!(
            "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: \"{line}\"\n    outputs: {{ o: o.txt }}\n"
        );
        let outcome = Project::new(&text).run(&[]);
        assert!(outcome.out.contains(cause), "{cause}: {}", outcome.out);
    }
}

/// A memory control group of version 1 that goes away with the test.
struct Group(std::path::PathBuf);

impl Group {
    /// `None`, which is said, where none can be made.
    fn make(name: &str, bytes: u64) -> Option<Group> {
        let folder = Path::new("/sys/fs/cgroup/memory").join(format!("athanor-test-{name}-{}", std::process::id()));
        let made = std::fs::create_dir(&folder)
            .and_then(|()| std::fs::write(folder.join("memory.limit_in_bytes"), bytes.to_string()));
        if made.is_err() {
            support::skips("this needs root and memory control groups of version 1");
        }
        made.is_ok().then_some(Group(folder))
    }

    fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.0.display())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_kill_for_lack_of_memory_is_named_also_behind_a_shell_as_root() {
    let Some(group) = Group::make("kill", 64 << 20) else { return };
    let text = "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: \"head -c 300000000 /dev/zero | tail -c 300000000 | cat > ${{ outputs.o }}; head -c 300000000 /dev/zero | tail -c 300000000\"\n    outputs: { o: o.txt }\n";
    let outcome = run_under(&Project::new(text), &group.enter());
    let cause = "It ended with exit status 137: a program in its script was killed (SIGKILL) when the machine ran out of memory.";
    assert!(outcome.out.contains(cause), "{outcome:?}");
}

#[test]
fn a_run_gives_out_no_more_than_its_control_group_has_as_root() {
    let Some(group) = Group::make("limit", 512 << 20) else { return };
    let text = "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    resources: { memory: 1GiB }\n    run: \"true\"\n    outputs: { o: o.txt }\n";
    let outcome = run_under(&Project::new(text), &group.enter());
    assert_eq!(outcome.code, 2, "{outcome:?}");
    assert!(outcome.err.contains("but the run has 512MiB"), "{}", outcome.err);
}

/// A file system of two megabytes, where one can be mounted.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<SmallDisk> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if !mounted {
            support::skips("this needs root, to mount a small disk");
        }
        mounted.then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_named_where_a_program_only_fails_as_root() {
    let Some(disk) = SmallDisk::mount() else { return };
    let text = "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: \"head -c 3000000 /dev/zero > ${{ outputs.o }} 2> /dev/null\"\n    outputs: { o: o.txt }\n";
    let project = Project::new(text);
    let cache = disk.0.path().join("cache");
    let outcome = project.run(&["--cache", cache.to_str().unwrap()]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("It ended with exit status 1."), "{}", outcome.out);
    assert!(
        outcome.out.contains(" is full (0 B left). Free space, then run again: what is finished is kept."),
        "{}",
        outcome.out
    );
}
