//! Messages about remote caches: folders, other machines and object stores that are not there, refuse, or are damaged.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::shown::shown;
use crate::support::{Outcome, Project};

const PIPELINE: &str = "athanor: 1
name: p
stages:
  a: { kind: command, run: \"seq 9 > ${{ outputs.o }}\", outputs: { o: o.txt } }
  b: { kind: command, inputs: { i: a }, run: \"mkdir ${{ outputs.o }}; cp ${{ inputs.i }} ${{ outputs.o }}/x\", outputs: { o: d/ } }
results: { d: b }
";

/// A folder that machines share.
struct Team(TempDir);

impl Team {
    fn new() -> Team {
        let team = Team(tempfile::tempdir().unwrap());
        fs::create_dir(team.path("")).unwrap();
        team
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("team").join(name)
    }

    fn machine(&self, mode: &str) -> Project {
        machine(&format!("file://{}", self.path("").display()), mode)
    }

    /// The folder after a machine has pushed everything.
    fn with_results() -> Team {
        let team = Team::new();
        let made = team.machine("read-write").run(&[]);
        assert_eq!(made.code, 0, "{made:?}");
        team
    }

    /// The files of an area.
    fn files(&self, area: &str) -> Vec<PathBuf> {
        fs::read_dir(self.path(area)).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    fn said(&self, project: &Project, arguments: &[&str]) -> String {
        self.shown(project, arguments, &project.athanor(arguments))
    }

    fn shown(&self, project: &Project, arguments: &[&str], outcome: &Outcome) -> String {
        let names: [(&Path, &str); 2] = [(&self.path(""), "<team>"), (&project.path("."), "<project>")];
        format!("$ athanor {}\n{}", arguments.join(" "), shown(outcome, &names).replace("<team>/\n", "<team>\n"))
    }
}

/// A project of a machine with this remote cache.
fn machine(address: &str, mode: &str) -> Project {
    let project = Project::new(PIPELINE);
    project.write("athanor.config.yaml", &format!("remote: {{ url: \"{address}\", mode: {mode} }}\n"));
    project
}

#[test]
fn folders_that_are_not_what_they_should_be() {
    let mut all = String::new();
    let gone = Team::new();
    fs::remove_dir(gone.path("")).unwrap();
    let project = gone.machine("read-write");
    all += &gone.said(&project, &["run", "p.yaml"]);
    all += &gone.said(&project, &["cache", "push", "p.yaml"]);
    all += &gone.said(&project, &["status", "p.yaml", "--remote"]);
    let file = Team::new();
    fs::remove_dir(file.path("")).unwrap();
    fs::write(file.0.path().join("team"), "").unwrap();
    all += &file.said(&file.machine("read-only"), &["cache", "pull", "p.yaml"]);
    let full = Team::new();
    fs::write(full.path("packs"), "").unwrap();
    let project = full.machine("off");
    assert_eq!(project.run(&[]).code, 0);
    all += &full.said(&project, &["cache", "push", "p.yaml"]);
    let other = Team::new();
    fs::write(other.path("athanor-remote"), "{}\n").unwrap();
    all += &other.said(&other.machine("read-only"), &["cache", "pull", "p.yaml"]);
    insta::assert_snapshot!(all);
}

#[test]
fn results_that_are_damaged_or_of_others() {
    let mut all = String::new();
    let team = Team::with_results();
    for file in team.files("packs") {
        fs::remove_file(file).unwrap();
    }
    all += &team.said(&team.machine("read-only"), &["cache", "pull", "p.yaml"]);
    let team = Team::with_results();
    for file in team.files("actions") {
        let mut bytes = fs::read(&file).unwrap();
        bytes[0] ^= 1;
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    }
    all += &team.said(&team.machine("read-only"), &["run", "p.yaml"]);
    let team = Team::with_results();
    let project = team.machine("read-only");
    let mut command = project.command(&["run", "p.yaml"]);
    command.env("ATHANOR_REMOTE_KEY", "the key of this team");
    all += &team.shown(&project, &["run", "p.yaml"], &Outcome::of(command));
    insta::assert_snapshot!(all);
}

#[test]
fn transfers_say_what_they_did_and_did_not() {
    let team = Team::new();
    let (first, second) = (team.machine("off"), team.machine("off"));
    let mut all = team.said(&first, &["cache", "push", "p.yaml"]);
    all += &team.said(&first, &["cache", "pull", "p.yaml"]);
    assert_eq!(first.run(&["a"]).code, 0);
    all += &team.said(&first, &["cache", "push", "p.yaml"]);
    all += &team.said(&second, &["cache", "pull", "p.yaml"]);
    all += &team.said(&first, &["cache", "gc", "--remote", "--older-than", "1h"]);
    // The same work comes out with other bytes.
    let random = PIPELINE.replace("seq 9", "cat /proc/sys/kernel/random/uuid");
    for project in [&first, &second] {
        project.write("p.yaml", &random);
        assert_eq!(project.run(&["a"]).code, 0);
        all += &team.said(project, &["cache", "push", "p.yaml", "a"]);
    }
    insta::assert_snapshot!(all);
}

/// Messages where `ssh` is this script, which is given the address's host and what is to be run there.
fn over_ssh(script: Option<&str>) -> String {
    let project = machine("ssh://ann@host:2222/srv/cache", "read-only");
    fs::create_dir(project.path("bin")).unwrap();
    if let Some(script) = script {
        project.write("bin/ssh", &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(project.path("bin/ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    }
    let mut command = project.command(&["cache", "pull", "p.yaml"]);
    command.env("PATH", project.path("bin"));
    shown(&Outcome::of(command), &[(&project.path("."), "<project>")])
}

#[test]
fn other_machines_that_are_not_reached() {
    let hello = r#"echo '{"answer":"hello","athanor_remote":1}'"#;
    let all = [
        over_ssh(None),
        over_ssh(Some("echo 'ssh: connect to host host port 2222: No route to host' >&2; exit 255")),
        over_ssh(Some("echo 'ann@host: Permission denied (publickey).' >&2; exit 255")),
        over_ssh(Some("echo 'sh: 1: athanor: not found' >&2; exit 127")),
        over_ssh(Some("exit 1")),
        over_ssh(Some("echo Welcome to host; exit 0")),
        over_ssh(Some(r#"echo '{"answer":"hello","athanor_remote":2}'"#)),
        over_ssh(Some(&format!("{hello}; echo 'Connection to host closed by remote host.' >&2; exit 255"))),
        over_ssh(Some(&format!(
            "{hello}; read -r question; echo '{{\"answer\":\"failed\",\"trouble\":\"Denied\",\"what\":\"failed at `/srv/cache`: no.\"}}'"
        ))),
    ];
    insta::assert_snapshot!(all.concat());
}

/// Messages where an object store answers every request with this status and body.
fn over_http(status: &str, body: &str, with_credentials: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = listener.local_addr().unwrap().to_string();
    let reply = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            head.take_while(|line| !line.is_empty()).for_each(drop);
            // A client that is gone needs no reply.
            let _ = stream.write_all(reply.as_bytes());
        }
    });
    over_s3(&server, with_credentials)
}

fn over_s3(server: &str, with_credentials: bool) -> String {
    let project = machine("s3://lab/team", "read-only");
    let mut command = project.command(&["cache", "pull", "p.yaml"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    command.env("HOME", project.path(".")).env("AWS_REGION", "eu-north-1");
    command.env("AWS_ENDPOINT_URL", format!("http://{server}"));
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    match with_credentials {
        true => command.env("AWS_ACCESS_KEY_ID", "testing").env("AWS_SECRET_ACCESS_KEY", "testing"),
        false => command.env("AWS_SKIP_SIGNATURE", "true"),
    };
    let text = shown(&Outcome::of(command), &[(&project.path("."), "<project>")]).replace(server, "<server>");
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    for at in 1..words.len() {
        let word = words[at].trim_end_matches([',', '.', ':']);
        if words[at - 1] == "in" && word.starts_with(|first: char| first.is_ascii_digit()) && word.ends_with('s') {
            words[at] = words[at].replace(word, "<time>");
        }
    }
    words.join(" ")
}

#[test]
fn object_stores_that_refuse() {
    let error = |code: &str, message: &str| {
        format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId></Error>"
        )
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let all = [
        over_http("403 Forbidden", &error("AccessDenied", "Access Denied."), true),
        over_http("404 Not Found", &error("NoSuchBucket", "The specified bucket does not exist"), true),
        over_http("503 Slow Down", &error("SlowDown", "Please reduce your request rate."), true),
        over_http("400 Bad Request", &error("InvalidRequest", "Odd <b>words</b>"), true),
        over_http("403 Forbidden", "", false),
        over_s3(&closed, true),
    ];
    insta::assert_snapshot!(all.join(""));
}

#[test]
fn object_stores_that_lack_their_variables() {
    let project = machine("az://lab/team", "read-only");
    let mut command = project.command(&["cache", "pull", "p.yaml"]);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AZURE_")) {
        command.env_remove(name);
    }
    let azure = shown(&Outcome::of(command), &[]);
    let project = machine("s3://lab/team", "read-only");
    let mut command = project.command(&["cache", "pull", "p.yaml"]);
    command.env("AWS_CA_BUNDLE", "/no/such/bundle.pem");
    insta::assert_snapshot!(azure + &shown(&Outcome::of(command), &[]));
}
