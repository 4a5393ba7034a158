//! Podman itself, with an image of a few programs of this machine.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::support::{Outcome, Project, skips, wait_for, wait_until};

/// Programs of the image.
const PROGRAMS: [&str; 7] = ["sh", "cat", "sleep", "id", "touch", "ls", "mv"];

/// A project, and an engine with storage of its own in which there is one image.
struct Podman {
    project: Project,
    storage: TempDir,
}

impl Podman {
    /// `None`, and a word about it, where Podman is not here or cannot run containers.
    fn new(pipeline: &str) -> Option<Podman> {
        let podman = Podman { project: Project::new(pipeline), storage: tempfile::tempdir().unwrap() };
        if !Command::new("podman").arg("--version").output().is_ok_and(|output| output.status.success()) {
            skips("there is no podman");
            return None;
        }
        let storage = podman.storage.path();
        let conf = format!(
            "[storage]\ndriver = \"vfs\"\ngraphroot = \"{0}/graph\"\nrunroot = \"{0}/run\"\n",
            storage.display()
        );
        std::fs::write(storage.join("storage.conf"), conf).unwrap();
        // Raising limits takes rights that the superuser of a virtual machine may lack.
        let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=30000:30000\"]\n";
        std::fs::write(storage.join("containers.conf"), limits).unwrap();
        let archive = archive(storage);
        let made = podman.ask(&["import", archive.to_str().unwrap(), "athanor-test"]);
        let tried =
            podman.ask(&["run", "--rm", "--network=host", "--cgroups=disabled", "athanor-test", "sh", "-c", "exit 7"]);
        if made.code != 0 || tried.code != 7 {
            skips(&format!("podman cannot run containers here: {}{}", made.err, tried.err));
            return None;
        }
        Some(podman)
    }

    fn with_storage(&self, mut command: Command) -> Command {
        command.env("CONTAINERS_STORAGE_CONF", self.storage.path().join("storage.conf"));
        command.env("CONTAINERS_CONF", self.storage.path().join("containers.conf"));
        command
    }

    fn ask(&self, arguments: &[&str]) -> Outcome {
        let mut command = Command::new("podman");
        command.args(arguments);
        Outcome::of(self.with_storage(command))
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.with_storage(self.project.command(&[&["run", "p.yaml"], arguments].concat())))
    }

    fn start(&self) -> Child {
        let mut command = self.with_storage(self.project.command(&["run", "p.yaml"]));
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&self.project.path("logs/up"), &mut run);
        run
    }

    /// Names of all containers.
    fn containers(&self) -> String {
        self.ask(&["ps", "-a", "--format", "{{.Names}}"]).out
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // What it made for other users' numbers can be removed by it alone.
        let mut command = Command::new("podman");
        command.args(["unshare", "rm", "-rf"]).arg(self.storage.path().join("graph"));
        // It may not be installed.
        let _ = self.with_storage(command).output();
    }
}

/// An archive with [`PROGRAMS`] and their libraries.
fn archive(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    for program in PROGRAMS {
        let which =
            Command::new("sh").args(["-c", &format!("readlink -f \"$(command -v {program})\"")]).output().unwrap();
        let path = String::from_utf8(which.stdout).unwrap();
        std::fs::copy(path.trim(), root.join("bin").join(program)).unwrap();
        let libraries = Command::new("ldd").arg(path.trim()).output().unwrap().stdout;
        let libraries = String::from_utf8(libraries).unwrap();
        for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
            let at = root.join(library.trim_start_matches('/'));
            std::fs::create_dir_all(at.parent().unwrap()).unwrap();
            std::fs::copy(library, at).unwrap();
        }
    }
    let archive = folder.join("image.tar");
    let status = Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg(".").status().unwrap();
    assert!(status.success());
    archive
}

const PIPELINE: &str = "athanor: 1
name: p
stages:
  first: { kind: command, run: 'echo made > ${{ outputs.o }}', outputs: { o: o.txt } }
  second:
    kind: command
    container: { image: athanor-test, engine: podman }
    inputs: { made: first, data: data }
    versions: [\"id -u; ls /bin | cat\"]
    writes: [logs]
    state: true
    run: |
      cat ${{ inputs.made }} inputs/data/*/*.txt > ${{ outputs.o }}
      id -u >> ${{ outputs.o }}
      P=$ATHANOR_PROJECT
      if cat $P/secret; then exit 9; fi
      if echo x > $P/data/more; then exit 9; fi
      touch $ATHANOR_PROJECT/logs/written $ATHANOR_STATE/kept
      echo '{\"event\":\"metric\",\"name\":\"loss\",\"value\":0.5}' > $ATHANOR_EVENTS
    outputs: { o: o.txt }
results: { o.txt: second }
";

#[test]
fn a_script_reads_and_writes_what_it_declares_and_nothing_else() {
    let Some(podman) = Podman::new(PIPELINE) else { return };
    podman.project.write("data/in.txt", "in\n");
    podman.project.write("secret", "secret\n");
    let outcome = podman.run(&["--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.contains("\"name\":\"loss\",\"value\":0.5"), "{}", outcome.out);
    let user = rustix::process::geteuid().as_raw();
    assert_eq!(podman.project.read("results/p/o.txt"), format!("made\nin\n{user}\n"));
    let owner = std::os::unix::fs::MetadataExt::uid(&podman.project.path("logs/written").metadata().unwrap());
    assert_eq!(owner, user);
    assert_eq!(podman.containers(), "");
    let again = podman.run(&["--json"]);
    assert!(crate::support::events(&again.out, "finished").is_empty(), "{again:?}");
}

/// A pipeline of one stage that says in `logs/up` that it is there.
fn waiting(script: &str) -> String {
    format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    container: {{ image: athanor-test }}\n    writes: [logs]\n    \
         state: true\n    run: |\n      {}\n    outputs: {{}}\n",
        script.replace('\n', "\n      ")
    )
}

#[test]
fn an_interrupt_lets_the_script_save_its_state_and_a_second_one_kills_it() {
    let saves = "trap 'touch $ATHANOR_PROJECT/logs/saved; exit 75' TERM\ntouch $ATHANOR_PROJECT/logs/up\nwhile :; do sleep 0.1; done";
    let Some(podman) = Podman::new(&waiting(saves)) else { return };
    let mut run = podman.start();
    let number = Pid::from_raw(run.id().cast_signed());
    kill(number, Signal::SIGINT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert!(podman.project.path("logs/saved").exists());
    assert_eq!(podman.containers(), "");

    // A program of the script that goes on for a while, and one that does not listen.
    let deaf = "sh -c 'trap \"\" TERM; touch $ATHANOR_PROJECT/logs/up; while :; do sleep 0.1; done'";
    podman.project.write("p.yaml", &waiting(deaf));
    std::fs::remove_file(podman.project.path("logs/up")).unwrap();
    let mut run = podman.start();
    let number = Pid::from_raw(run.id().cast_signed());
    kill(number, Signal::SIGINT).unwrap();
    kill(number, Signal::SIGINT).unwrap();
    while run.try_wait().unwrap().is_none() {
        // Signals that come at once may be one.
        let _ = kill(number, Signal::SIGINT);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(run.wait().unwrap().code(), Some(130));
    assert_eq!(podman.containers(), "");
}

#[test]
fn a_time_limit_and_kill_9_of_the_run_leave_no_container() {
    let endless = "touch $ATHANOR_PROJECT/logs/up\nwhile :; do sleep 0.1; done";
    let Some(podman) = Podman::new(&waiting(endless)) else { return };
    let mut run = podman.start();
    assert!(podman.containers().starts_with("athanor."));
    run.kill().unwrap();
    run.wait().unwrap();
    wait_until("no container is left", || podman.containers().is_empty());
    podman.project.edit("    state: true\n", "    timeout: 3s\n");
    let outcome = podman.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.out.contains("longer than its timeout"), "{}", outcome.out);
    assert_eq!(podman.containers(), "");
}
