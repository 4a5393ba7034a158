//! A remote cache behind ssh: a stand-in for it, and OpenSSH's own server where it is installed.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::support::{self, Outcome, Project};
use super::{Team, fine, ran};

/// A folder with a program `ssh` that does this.
pub(crate) fn fake_ssh(project: &Project, line: &str) -> String {
    use std::os::unix::fs::PermissionsExt;
    project.write("bin/ssh", &format!("#!/bin/sh\n{line}\n"));
    fs::set_permissions(project.path("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    project.path("bin").display().to_string()
}

pub(crate) fn over_ssh(project: &Project, line: &str, arguments: &[&str]) -> Outcome {
    let mut command: Command = project.command(arguments);
    command.env("PATH", format!("{}:/usr/bin:/bin", fake_ssh(project, line)));
    command.env("ATHANOR_REMOTE_PROGRAM", env!("CARGO_BIN_EXE_athanor"));
    Outcome::of(command)
}

/// Runs the last argument, as a server of ssh does.
pub(crate) const SERVER: &str = "for last; do :; done; exec sh -c \"$last\"";

#[test]
fn a_folder_behind_ssh_is_as_good() {
    let team = Team::new();
    let address = format!("ssh://host{}", team.path("").display());
    let [first, second] = ["read-write", "read-only"].map(|mode| team.machine_at(&address, mode));
    let outcome = over_ssh(&first, SERVER, &["run", "p.yaml"]);
    assert!(outcome.code == 0 && outcome.out.contains("pushed 3 results"), "{outcome:?}");
    let outcome = over_ssh(&second, SERVER, &["run", "p.yaml"]);
    assert_eq!((outcome.code, ran(&second)), (0, 0), "{outcome:?}");
    assert_eq!(second.read("results/p/sum.txt"), "200\n");
    let pulled = over_ssh(&second, SERVER, &["cache", "pull", "p.yaml"]);
    assert_eq!(pulled.code, 0, "{pulled:?}");
    fine(&second.run(&[]));
    assert_eq!(ran(&second), 0);
    // A greeting of the login shell, or a program of another version, is told in plain words.
    for (line, why) in [
        ("echo Welcome", "it said `Welcome`"),
        ("echo '{\"answer\":\"hello\",\"athanor_remote\":9}'; cat", "speaks version 9, and this program version 1"),
        ("echo Permission denied >&2; exit 255", "cannot be reached: Permission denied"),
        ("exit 0", "cannot be reached: ssh ended"),
        // What it leaves behind keeps its error stream open, as the master of shared connections does.
        (
            "tail --pid=$PPID -f /dev/null > /dev/null & echo no route to host >&2; exit 255",
            "cannot be reached: no route to host",
        ),
    ] {
        let third = team.machine_at(&address, "read-only");
        let outcome = over_ssh(&third, line, &["run", "p.yaml"]);
        assert_eq!((outcome.code, ran(&third), outcome.out.matches(why).count()), (0, 3, 1), "{outcome:?}");
    }
}

#[test]
fn the_state_of_unfinished_work_goes_on_elsewhere() {
    let pipeline = "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    state: true\n    run: echo x >> $ATHANOR_STATE/n; [ $(wc -l < $ATHANOR_STATE/n) -gt 2 ]; cp $ATHANOR_STATE/n ${{ outputs.o }}\n    outputs: { o: o.txt }\nresults: { o.txt: a.o }\n";
    let team = Team::new();
    let [first, second] = ["read-write", "read-only"].map(|mode| team.machine(mode));
    for project in [&first, &second] {
        project.write("p.yaml", pipeline);
    }
    assert_eq!(first.run(&[]).code, 1);
    assert_eq!(first.run(&[]).code, 1);
    let pushed = first.athanor(&["cache", "push", "p.yaml", "--unfinished"]);
    assert!(pushed.code == 0 && pushed.out.contains("pushed the state of 1 unfinished instance\n"), "{pushed:?}");
    let pulled = second.athanor(&["cache", "pull", "p.yaml", "--unfinished"]);
    assert!(pulled.code == 0 && pulled.out.contains("pulled the state of 1 unfinished instance\n"), "{pulled:?}");
    fine(&second.run(&[]));
    assert_eq!(second.read("results/p/o.txt"), "x\nx\nx\n");
}

#[test]
fn folders_that_a_failed_attempt_made_are_no_state() {
    let team = Team::new();
    let [first, second] = ["read-write", "read-write"].map(|mode| team.machine(mode));
    let able = team.folder.path().join("able");
    let script = [
        "mkdir -p $ATHANOR_STATE/ckpt",
        "echo '{\"event\": \"message\", \"text\": \"begun\"}' >> $ATHANOR_EVENTS",
        &format!("if [ -e {} ]; then echo epoch 40 > $ATHANOR_STATE/ckpt/40; exit 1; fi", able.display()),
        "cp $ATHANOR_STATE/ckpt/40 ${{ outputs.o }}",
    ];
    let pipeline = format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    state: true\n    run: |\n      {}\n    outputs: {{ o: o.txt }}\n\
         results: {{ o.txt: a.o }}\n",
        script.join("\n      ")
    );
    for project in [&first, &second] {
        project.write("p.yaml", &pipeline);
    }
    fs::write(&able, "").unwrap();
    for (project, states) in [(&first, 1), (&second, 0)] {
        assert_eq!(project.run(&[]).code, 1);
        let _ = fs::remove_file(&able);
        let pushed = project.athanor(&["cache", "push", "p.yaml", "--unfinished"]);
        let told = format!("pushed the state of {states} unfinished instance");
        assert!(pushed.code == 0 && pushed.out.contains(&told), "{pushed:?}");
    }
    let pulled = second.athanor(&["cache", "pull", "p.yaml", "--unfinished"]);
    assert!(pulled.code == 0 && pulled.out.contains("pulled the state of 1 unfinished instance\n"), "{pulled:?}");
    fine(&second.run(&[]));
    assert_eq!(second.read("results/p/o.txt"), "epoch 40\n");
}

#[test]
fn the_state_of_a_command_is_the_same_tree_elsewhere() {
    let make = "mkdir -p deep/empty deep/full; echo '#!/bin/sh' > deep/full/tool; echo 'echo it works' >> deep/full/tool; chmod +x deep/full/tool; \
                echo text > plain; ln -s deep/full/tool link; ln -s deep folder; ln -s /nowhere/at/all dangling; ln -s .. deep/up; exit 1";
    let list = "find . -printf '%p %y %l\\n' | sort; ./link; [ ! -x plain ]; cat folder/up/plain";
    let pipeline = format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    state: true\n    run: |\n      o=$PWD/${{{{ outputs.o }}}}; cd $ATHANOR_STATE\n      \
         if [ ! -e plain ]; then {make}; fi\n      ({list}) > $o\n    outputs: {{ o: o.txt }}\nresults: {{ o.txt: a.o }}\n"
    );
    let team = Team::new();
    let machines = ["read-write", "read-only"].map(|mode| team.machine(mode));
    machines.iter().for_each(|project| project.write("p.yaml", &pipeline));
    let [first, second] = machines;
    assert_eq!(first.run(&[]).code, 1);
    // Anybody might have put a link to anywhere there.
    let refused = first.athanor(&["cache", "push", "p.yaml", "--unfinished"]);
    let why = "error: a: A state for the remote cache file://";
    assert!(refused.code == 1 && refused.err.contains(why), "{refused:?}");
    assert!(refused.err.contains("`state/dangling` to `/nowhere/at/all`, which may lead out of it"), "{refused:?}");
    for project in [&first, &second] {
        project.write("key", "the key of this team");
        let config = project.read("athanor.config.yaml");
        project.write("athanor.config.yaml", &config.replace("remote: {", "remote: { key_file: key,"));
    }
    fine(&first.athanor(&["cache", "push", "p.yaml", "--unfinished"]));
    fine(&second.athanor(&["cache", "pull", "p.yaml", "--unfinished"]));
    fine(&second.run(&[]));
    fine(&first.run(&[]));
    let there = second.read("results/p/o.txt");
    assert_eq!(there, first.read("results/p/o.txt"));
    for line in
        ["./deep/empty d ", "./dangling l /nowhere/at/all", "./folder l deep", "./deep/up l ..", "it works", "text"]
    {
        assert!(there.lines().any(|found| found == line), "{line}: {there}");
    }
}

/// A server of OpenSSH on loopback, for this user; its client's configuration is in the folder.
struct Sshd {
    folder: TempDir,
    port: u16,
    process: std::process::Child,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Sshd {
    /// Starts it; `None` where it is not installed, which is told.
    fn start() -> Option<Sshd> {
        let found = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().find(|path| Path::new(path).exists());
        let Some(program) = found else {
            support::skips("OpenSSH's server is not installed");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
            assert!(keygen.status().unwrap().success());
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile {}\nUsePAM no\nStrictModes no\n\
             PasswordAuthentication no\nPermitRootLogin prohibit-password\n",
            path("host"),
            path("user.pub"),
            path("pid")
        );
        fs::write(path("sshd_config"), server).unwrap();
        let client = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nStrictHostKeyChecking accept-new\n",
            path("user"),
            path("known_hosts")
        );
        fs::write(path("ssh_config"), client).unwrap();
        let mut command = Command::new(program);
        command.args(["-D", "-f", &path("sshd_config"), "-E", &path("log")]);
        let mut process = command.spawn().unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if process.try_wait().unwrap().is_some() {
                support::skips(&format!(
                    "OpenSSH's server does not start: {}",
                    fs::read_to_string(path("log")).unwrap()
                ));
                return None;
            }
            std::thread::yield_now();
        }
        Some(Sshd { folder, port, process })
    }
}

#[test]
fn a_folder_behind_opensshs_server_is_as_good() {
    let Some(sshd) = Sshd::start() else { return };
    let team = Team::new();
    let address = format!("ssh://127.0.0.1:{}{}", sshd.port, team.path("").display());
    let client = format!("exec /usr/bin/ssh -F '{}' \"$@\"", sshd.folder.path().join("ssh_config").display());
    let [first, second] = ["read-write", "read-only"].map(|mode| team.machine_at(&address, mode));
    let outcome = over_ssh(&first, &client, &["run", "p.yaml"]);
    assert!(outcome.code == 0 && outcome.out.contains("pushed 3 results"), "{outcome:?}");
    let outcome = over_ssh(&second, &client, &["run", "p.yaml"]);
    assert_eq!((outcome.code, ran(&second)), (0, 0), "{outcome:?}");
    assert_eq!(second.read("results/p/sum.txt"), "200\n");
    // Another user's key is refused, and that is told.
    fs::write(sshd.folder.path().join("user.pub"), "").unwrap();
    let third = team.machine_at(&address, "read-only");
    let outcome = over_ssh(&third, &client, &["run", "p.yaml"]);
    assert_eq!((outcome.code, ran(&third), outcome.out.matches("Permission denied").count()), (0, 3, 1), "{outcome:?}");
}

#[test]
fn connections_outlive_the_stages_beside_which_they_are_made() {
    let team = Team::new();
    let project = team.machine_at(&format!("ssh://host{}", team.path("").display()), "read-write");
    let mut pipeline =
        "athanor: 1\nname: p\nstages:\n  s0: { kind: command, run: echo 0 > o, outputs: { o: o } }\n".to_owned();
    for number in 1..12 {
        let before = number - 1;
        pipeline += &format!(
            "  s{number}: {{ kind: command, inputs: {{ i: s{before} }}, run: cat inputs/i/o > o; echo {number} >> o, outputs: {{ o: o }} }}\n"
        );
    }
    project.write("p.yaml", &pipeline);
    let outcome = over_ssh(&project, SERVER, &["run", "p.yaml", "-j", "1"]);
    assert!(outcome.code == 0 && outcome.out.contains("pushed 12 results"), "{outcome:?}");
    assert!(!outcome.out.contains("broke off"), "{outcome:?}");
}
