//! Messages about settings: in files, in variables, and those that fit no executor or remote cache.

use crate::shown::shown;
use crate::support::{Outcome, Project};

const PIPELINE: &str =
    "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: \"echo x > ${{ outputs.o }}\", outputs: { o: o.txt } }\n";

/// A mistake in every setting.
const WRONG: &str = "batch: qsub
batch.poll: ''
cache: ~bob/x
cache.dir: y
environment: all
executor: slrum
hooks: { on_succes: x }
log_limit: 1B
on_no_gpu: gpu
remote.mode: read-writ
remote.push_logs: 3
remote.key_file: [k]
results: 7
sandbox: maybe
sandbox.reads: 3
scratch: tmp
scratch_limit: 200
slurm: { max_jobs: 0, time: soon, idle: 0s, poll: 500ms, extra: constraint=a100, gpus: gpu, partitoin: x, partition: '' }
";

fn said(project: &Project, arguments: &[&str]) -> String {
    let outcome = project.athanor(arguments);
    format!("$ athanor {}\n{}", arguments.join(" "), shown(&outcome, &[(&project.path("."), "<project>")]))
}

#[test]
fn mistakes_of_every_setting_are_told_at_once() {
    let project = Project::new(PIPELINE);
    project.write("athanor.config.yaml", WRONG);
    insta::assert_snapshot!(said(&project, &["check", "p.yaml"]));
}

#[test]
fn addresses_that_are_none() {
    let project = Project::new(PIPELINE);
    let addresses = [
        "5",
        "/mnt/team",
        "https://host/x",
        "file://mnt/team",
        "s3:///x",
        "az:///x",
        "s3://key:secret@bucket/x",
        "gs://b/x?sig=secret",
        "ssh:///x",
        "ssh://-oProxyCommand=x/y",
        "ssh://host:port/x",
        "ssh://host",
    ];
    let all = addresses.map(|address| {
        project.write("athanor.config.yaml", &format!("remote: {address}\n"));
        said(&project, &["check", "p.yaml"])
    });
    insta::assert_snapshot!(all.concat());
}

#[test]
fn settings_files_that_are_none() {
    let project = Project::new(PIPELINE);
    let file = project.path("athanor.config.yaml");
    std::fs::create_dir(&file).unwrap();
    let folder = said(&project, &["check", "p.yaml"]);
    std::fs::remove_dir(&file).unwrap();
    std::fs::write(&file, b"cache: caf\xe9\n").unwrap();
    let latin = said(&project, &["check", "p.yaml"]);
    std::fs::write(&file, "# x\n".repeat(5 << 18)).unwrap();
    let large = said(&project, &["check", "p.yaml"]);
    std::fs::remove_file(&file).unwrap();
    let mut command = project.command(&["check", "p.yaml"]);
    command.env("ATHANOR_SANBOX", "off");
    let misspelt = shown(&Outcome::of(command), &[]);
    insta::assert_snapshot!([folder, latin, large, misspelt].concat());
}

#[test]
fn an_executor_that_lacks_its_commands() {
    let project = Project::new(PIPELINE);
    let option = said(&project, &["run", "p.yaml", "--executor", "batch"]);
    project.write("athanor.config.yaml", "# ours\nexecutor: batch\nbatch.submit: qsub\n");
    insta::assert_snapshot!(option + &said(&project, &["run", "p.yaml"]));
}

#[test]
fn keys_of_teams_that_are_none() {
    let project = Project::new(PIPELINE);
    let folder = project.path("team");
    std::fs::create_dir(&folder).unwrap();
    let text = format!("remote:\n  url: file://{}\n  key_file: key\n", folder.display());
    project.write("athanor.config.yaml", &text);
    let missing = said(&project, &["run", "p.yaml"]);
    project.write("key", "short\n");
    let short = said(&project, &["cache", "pull", "p.yaml"]);
    std::fs::write(project.path("key"), b"caf\xe9 caf\xe9 caf\xe9 caf\xe9").unwrap();
    let latin = said(&project, &["cache", "pull", "p.yaml"]);
    let mut command = project.command(&["run", "p.yaml"]);
    command.env("ATHANOR_REMOTE_KEY", "short");
    let variable = shown(&Outcome::of(command), &[]);
    insta::assert_snapshot!([missing, short, latin, variable].concat());
}
