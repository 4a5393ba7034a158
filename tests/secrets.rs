//! Secrets in addresses: used as they are, and nowhere kept or shown.

mod support;

use std::path::Path;

use support::Project;

/// The project's files, but for those that hold the secret because somebody wrote it there.
fn files_with(secret: &str, folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            files_with(secret, &path, found);
        } else if entry.file_type().unwrap().is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let inside = bytes.windows(secret.len()).any(|part| part == secret.as_bytes());
            if inside || path.to_string_lossy().contains(secret) {
                found.push(path.display().to_string());
            }
        }
    }
}

fn is_nowhere(project: &Project, secrets: &[&str]) {
    for secret in secrets {
        let mut found = Vec::new();
        files_with(secret, &project.path(""), &mut found);
        found.retain(|path| !path.ends_with("/p.yaml"));
        assert_eq!(found, [""; 0], "{secret}");
    }
}

const COMMAND: &str = "athanor: 1\nname: p\nstages:\n  get:\n    kind: command\n    matrix: { mirror: [\"https://ann:hunter2@a.example/x\", plain] }\n    \
     run: \"true 'https://bob:s3cr3t@host.example/a?b=1&token=t0k3n&c=2' ${{ matrix.mirror }}; echo x > ${{ outputs.o }}\"\n    outputs: { o: o.txt }\nresults: { out: get }\n";
const SECRETS: [&str; 3] = ["hunter2", "s3cr3t", "t0k3n"];

#[test]
fn a_command_with_secrets_runs_and_leaves_none_behind() {
    let project = Project::new(COMMAND);
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for outcome in [
        outcome,
        project.run(&[]),
        project.athanor(&["status", "p.yaml"]),
        project.athanor(&["explain", "p.yaml", "get"]),
        project.athanor(&["cache", "ls", "--json"]),
    ] {
        for secret in SECRETS {
            assert!(!outcome.out.contains(secret) && !outcome.err.contains(secret), "{outcome:?}");
        }
    }
    is_nowhere(&project, &SECRETS);
    let listed = project.athanor(&["cache", "ls", "--json"]).out;
    assert!(listed.contains("https://bob:***@host.example/a?b=1&token=***&c=2"), "{listed}");
    assert_eq!(project.made(&[]), [""; 0]);
    assert_eq!(project.made(&["get[mirror=https://ann:hunter2@a.example/x]"]), [""; 0]);
}

#[test]
fn a_changed_secret_reruns_and_is_not_told() {
    let project = Project::new(COMMAND);
    project.made(&[]);
    assert!(project.athanor(&["explain", "p.yaml", "get"]).out.contains("is fresh"));
    project.edit("t0k3n", "an0th3r");
    let explain = project.athanor(&["explain", "p.yaml", "get"]).out;
    assert!(explain.contains("a secret in an address of its parameters changed"), "{explain}");
    project.edit("&c=2", "&c=3");
    let explain = project.athanor(&["explain", "p.yaml", "get[mirror=plain]"]).out;
    assert!(explain.contains("parameter `run` changed from") && explain.contains("&token=***&c=3"), "{explain}");
    assert!(!explain.contains("an0th3r") && !explain.contains("t0k3n"), "{explain}");
    assert_eq!(project.made(&[]).len(), 2);
    is_nowhere(&project, &["hunter2", "s3cr3t", "t0k3n", "an0th3r"]);
}

#[test]
fn points_that_differ_in_a_secret_alone_are_not_taken_for_one() {
    let project = Project::new(COMMAND);
    project.edit(", plain]", ", \"https://ann:other@a.example/x\"]");
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2);
    assert!(
        outcome.err.contains("the same point twice") && outcome.err.contains("named by a mapping"),
        "{}",
        outcome.err
    );
    assert!(!outcome.err.contains("hunter2") && !outcome.err.contains("other@"), "{}", outcome.err);
}

#[test]
fn a_download_that_fails_tells_no_secret() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  d:\n    kind: download\n    \
         params: { url: \"http://ann:hunter2@127.0.0.1:1/x.bin?sig=s3cr3t&n=1\", as: file, retries: 0 }\n",
    );
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.out.contains("http://ann:***@127.0.0.1:1/x.bin?sig=***&n=1"), "{outcome:?}");
    for secret in ["hunter2", "s3cr3t"] {
        assert!(!outcome.out.contains(secret) && !outcome.err.contains(secret), "{outcome:?}");
    }
    is_nowhere(&project, &["hunter2", "s3cr3t"]);
    project.edit("http://ann", "htp://ann");
    let mistake = project.run(&[]);
    assert_eq!(mistake.code, 2);
    assert!(!mistake.err.contains("hunter2") && !mistake.err.contains("s3cr3t"), "{}", mistake.err);
    assert!(mistake.err.contains("has the scheme `htp`"), "{}", mistake.err);
}

#[test]
fn what_a_failing_command_prints_is_masked_where_it_is_shown() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  c: { kind: command, run: \"echo https://ann:hunter2@h/; exit 1\", outputs: { o: o } }\n",
    );
    let outcome = project.run(&[]);
    assert!(outcome.out.contains("| https://ann:***@h/") && !outcome.out.contains("hunter2"), "{}", outcome.out);
    let events = project.run(&["--json"]).out;
    assert!(!events.contains("hunter2"), "{events}");
    project.edit("exit 1", "echo x > o");
    assert_eq!(project.run(&[]).code, 0);
    assert_eq!(project.athanor(&["logs", "p.yaml", "c"]).out, "https://ann:***@h/\n");
    is_nowhere(&project, &["hunter2"]);
}
