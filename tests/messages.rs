//! Every message of commands that end early, as users see it: what happened, where, and what to do.

#[path = "messages/cluster.rs"]
mod cluster;
#[path = "messages/containers.rs"]
mod containers;
#[path = "cluster/fake.rs"]
#[allow(dead_code, reason = "not all of it is for messages")]
mod fake;
#[path = "messages/remote.rs"]
mod remote;
#[path = "messages/sandbox.rs"]
mod sandbox;
#[path = "messages/settings.rs"]
mod settings;
#[path = "messages/shown.rs"]
mod shown;
#[path = "containers/stand_in.rs"]
#[allow(dead_code, reason = "not all of it is for messages")]
mod stand_in;
mod support;

use support::Project;

const PIPELINE: &str = r#"athanor: 1
name: p
vars: { n: 1 }
profiles: { small: { vars: { n: 2 } } }
stages:
  a:
    kind: command
    run: |
      echo '{"event":"metric","name":"f1","value":0.5}' >> $ATHANOR_EVENTS
      echo ${{ vars.n }} > ${{ outputs.o }}
    outputs: { o: o.txt }
  b: { kind: command, matrix: { m: [1, 2] }, inputs: { i: a }, run: 'cp ${{ inputs.i }} ${{ outputs.o }}', outputs: { o: o.txt } }
results: { a.txt: a }
"#;

/// A project that has run once, with things beside it that commands are given by mistake.
fn project() -> Project {
    let project = Project::new(PIPELINE);
    project.write("v.yaml", "other: 1\n");
    project.write("broken.yaml", "vars: [");
    std::fs::write(project.path("latin.yaml"), b"name: caf\xe9\n").unwrap();
    std::fs::create_dir(project.path("folder")).unwrap();
    project.write("mine.html", "mine\n");
    project.write("data/f", "x");
    let made = project.run(&[]);
    assert_eq!(made.code, 0, "{made:?}");
    project
}

/// Messages about each command line, with its exit status. Names of runs and the folder differ from run to run.
fn said(project: &Project, lines: &[&str]) -> String {
    let folder = std::fs::canonicalize(project.path(".")).unwrap().display().to_string();
    let mut all = String::new();
    for line in lines {
        let outcome = project.athanor(&line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>());
        let err = outcome.err.replace(&folder, "<project>");
        let words = err.split_inclusive(['`', ' ', '\n']).map(|word| {
            let is_run = word.starts_with("0000") && word.len() > 20;
            if is_run { format!("<run>{}", &word[word.len() - 1..]) } else { word.to_owned() }
        });
        all += &format!("$ athanor {line}\n{}[{}]\n\n", words.collect::<String>(), outcome.code);
    }
    all
}

#[test]
fn files_and_folders_that_are_not_what_they_should_be() {
    let shown = said(
        &project(),
        &[
            "run q.yaml",
            "run folder/q.yaml",
            "check folder",
            "check latin.yaml",
            "check broken.yaml",
            "run p.yaml --vars w.yaml",
            "run p.yaml --vars folder",
            "run p.yaml --cache data",
            "init p.yaml",
            "init no/p.yaml",
            "report p.yaml -o no/such/x.html",
            "report p.yaml -o mine.html",
            "report p.yaml -o folder",
            "run p.yaml --junit no/x.xml",
            "export mlflow mine.html p.yaml",
            "restore q.yaml --run 1",
        ],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn names_that_there_are_not() {
    let shown = said(
        &project(),
        &[
            "run p.yaml c",
            "run p.yaml b[m=9]",
            "run p.yaml b[m='1']",
            "run p.yaml --force c",
            "run p.yaml --fresh-state c",
            "run p.yaml --profile big",
            "run p.yaml --set m=1",
            "run p.yaml --set x",
            "run p.yaml --set n=[",
            "run p.yaml --set +n=1",
            "run p.yaml --vars v.yaml",
            "report p.yaml --run 99",
            "compare p.yaml 1 last~9",
            "restore p.yaml --run 9",
            "metrics p.yaml --sort f2",
            "metrics p.yaml --sort nothing",
            "metrics p.yaml --sweep c",
            "explain p.yaml c",
            "logs p.yaml c",
            "shell p.yaml b",
            "kinds nothing",
            "kinds train",
            "help nothing",
            "cache pin nothing",
            "cache unpin nothing",
            "cache gc --forget nothing",
            "cache pull p.yaml",
            "cache gc --remote",
        ],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn values_that_options_do_not_take() {
    let shown = said(
        &project(),
        &[
            "run p.yaml -j 0",
            "run p.yaml -j many",
            "run p.yaml --memory 5",
            "run p.yaml --memory lots",
            "run p.yaml --stop-after soon",
            "run p.yaml --executor pbs",
            "cache gc --max-size 10",
            "cache gc --keep-runs -1",
            "cache gc --older-than x",
            "graph p.yaml --format x",
            "watch p.yaml --listen here",
        ],
    );
    insta::assert_snapshot!(shown);
}

#[test]
fn settings_that_are_wrong() {
    let project = project();
    let with = |text: &str| {
        project.write("athanor.config.yaml", text);
        said(&project, &["run p.yaml"])
    };
    let files = ["cache: 5\n", "nope: 5\n", "cache: [", "log_limit: 5\n", "cache: !here x\n"].map(with);
    std::fs::remove_file(project.path("athanor.config.yaml")).unwrap();
    let variables =
        [("ATHANOR_SANDBOX", "maybe"), ("ATHANOR_EXECUTOR", "x"), ("ATHANOR_GPU_API", "x")].map(|(name, value)| {
            let outcome = support::Outcome::of({
                let mut command = project.command(&["run", "p.yaml"]);
                command.env(name, value);
                command
            });
            format!("$ {name}={value} athanor run p.yaml\n{}[{}]\n", outcome.err, outcome.code)
        });
    insta::assert_snapshot!(files.concat() + &variables.join("\n"));
}
