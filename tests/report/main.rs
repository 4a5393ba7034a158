//! What is kept of runs, and what reports, lists and comparisons make of it.

mod comparison;
mod gone;
mod mlflow;
mod resumed;
#[path = "../support/mod.rs"]
mod support;
mod tensorboard;
mod unnamed;
mod written_over;

use athanor::run::attempts::annex::Annex;
use athanor::run::attempts::facts::Facts;
use athanor_cache::{ActionRecord, Cache};
use serde_json::{Value, json};
use support::{Outcome, Project};

const PIPELINE: &str = r#"
athanor: 1
name: p
vars: { epochs: 3 }
stages:
  data:
    kind: command
    run: seq 3 > ${{ outputs.o }}
    outputs: { o: o }
  model:
    kind: command
    matrix: { fold: [0, 1] }
    inputs: { i: data }
    run: |
      for epoch in $(seq ${{ vars.epochs }}); do
        echo '{"event":"metric","name":"loss","value":0.'${epoch}${{ matrix.fold }}',"step":'$epoch'}' >> $ATHANOR_EVENTS
      done
      cat ${{ inputs.i }} > ${{ outputs.o }}
    outputs: { o: o }
  report:
    kind: command
    inputs: { models: model }
    run: |
      echo '{"event":"metric","name":"f1","value":0.${{ vars.epochs }}}' >> $ATHANOR_EVENTS
      echo '{"event":"figure","name":"t","figure":{"title":"T","kind":"table","columns":["a"],"rows":[[1],["<x>"]]}}' >> $ATHANOR_EVENTS
      echo > ${{ outputs.o }}
    outputs: { o: o }
"#;

fn records(project: &Project) -> Vec<(ActionRecord, Facts, Annex)> {
    let cache = Cache::open(&project.path(".athanor")).unwrap();
    let records = cache.records().unwrap().into_iter();
    let mut all: Vec<_> = records
        .map(|record| {
            let (facts, annex) = (Facts::of(&record), Annex::of(&cache, &record));
            (record, facts, annex)
        })
        .collect();
    all.sort_by_key(|(one, ..)| name(one));
    all
}

fn name(record: &ActionRecord) -> String {
    record.recipe["instance"].as_str().unwrap().to_owned()
}

fn ok(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome
}

/// The data in the page of a report.
fn data(project: &Project, arguments: &[&str]) -> Value {
    data_of(project, "p.yaml", arguments)
}

/// The data in the page of a report about a pipeline file.
fn data_of(project: &Project, file: &str, arguments: &[&str]) -> Value {
    let arguments = [&["report", file, "-o", "out.html"], arguments].concat();
    assert_eq!(ok(project.athanor(&arguments)).out, "out.html\n");
    page_data(project, "out.html")
}

/// The data in a page.
fn page_data(project: &Project, name: &str) -> Value {
    let page = project.read(name);
    let begin = page.find("id=\"data\">").unwrap() + "id=\"data\">".len();
    let end = begin + page[begin..].find("</script>").unwrap();
    serde_json::from_str(&page[begin..end]).unwrap()
}

/// Files of summaries of runs, in the order of their names.
fn summaries(project: &Project) -> String {
    let histories = std::fs::read_dir(project.path(".athanor/pipelines")).unwrap();
    let files = histories.map(|entry| entry.unwrap().path().join("summaries.jsonl"));
    files.filter_map(|path| std::fs::read_to_string(path).ok()).collect()
}

#[test]
fn a_record_says_why_with_what_and_where_it_was_made() {
    let project = Project::new(PIPELINE);
    ok(project.run(&[]));
    let all = records(&project);
    let (_, facts, annex) = &all[3];
    assert_eq!(serde_json::to_value(&facts.why).unwrap(), json!([{ "reason": "never_ran" }]));
    let used = facts.used.unwrap();
    assert!(used.peak_memory > 500_000, "{used:?}");
    assert!(used.read.is_none_or(|read| read > 0) && used.gpu.is_none(), "{used:?}");
    assert_eq!(facts.cpus, 1);
    let provenance = facts.provenance.as_ref().unwrap();
    assert!(provenance.program.starts_with("athanor ") && provenance.system.starts_with("Linux "), "{provenance:?}");
    assert!(provenance.cpus > 0 && provenance.memory > 0);
    assert_eq!(annex.figures["t"].title, "T");
    assert_eq!(all[1].2.curves["loss"], [(1, 0.1), (2, 0.2), (3, 0.3)]);
    project.edit("epochs: 3", "epochs: 4");
    ok(project.run(&[]));
    let why: Vec<Value> = records(&project)
        .iter()
        .filter(|(record, ..)| name(record) == "model[fold=0]")
        .map(|(_, facts, _)| serde_json::to_value(&facts.why).unwrap()[0]["reason"].clone())
        .collect();
    assert!(why.contains(&json!("never_ran")) && why.contains(&json!("parameter")), "{why:?}");
}

#[test]
fn the_commit_is_kept_where_there_is_one() {
    let project = Project::new(PIPELINE);
    let git = |arguments: &[&str]| {
        let mut command = std::process::Command::new("git");
        command.current_dir(project.path(".")).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(arguments);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").output().is_ok_and(|output| output.status.success())
    };
    if !(git(&["init", "-q", "-b", "main"]) && git(&["add", "p.yaml"]) && git(&["commit", "-q", "-m", "one"])) {
        return support::skips("there is no git");
    }
    ok(project.run(&[]));
    let commit = records(&project)[0].1.provenance.clone().unwrap().commit.unwrap();
    assert_eq!((commit.branch.as_deref(), commit.dirty, commit.id.len()), (Some("main"), false, 40));
    project.edit("seq 3", "seq 4");
    ok(project.run(&[]));
    let all = records(&project);
    let commits = all.iter().map(|(_, facts, _)| facts.provenance.clone().unwrap().commit.unwrap());
    assert!(commits.into_iter().any(|commit| commit.dirty));
    assert_eq!(project.athanor(&["runs", "p.yaml"]).out.lines().count(), 3);
}

#[test]
fn a_run_with_nothing_to_do_adds_nothing() {
    let project = Project::new(PIPELINE);
    ok(project.run(&[]));
    let before = summaries(&project);
    assert_eq!(before.lines().count(), 1, "{before}");
    ok(project.run(&[]));
    assert_eq!(summaries(&project), before);
    let runs: Value = serde_json::from_str(&ok(project.athanor(&["runs", "p.yaml", "--json"])).out).unwrap();
    assert_eq!(runs.as_array().unwrap().len(), 1);
    assert_eq!(runs[0]["headline"], json!([["report", "f1", 0.3]]));
    assert_eq!(runs[0]["counts"]["ran"], 4);
}

#[test]
fn runs_are_listed_and_compared() {
    let project = Project::new(PIPELINE);
    ok(project.run(&[]));
    ok(project.run(&["--set", "epochs=5"]));
    ok(project.run(&[]));
    let runs = ok(project.athanor(&["runs", "p.yaml"])).out;
    let lines: Vec<&str> = runs.lines().collect();
    assert_eq!(lines.len(), 4, "{runs}");
    assert!(lines[2].contains("epochs=5") && lines[2].contains("report.f1 = 0.5000"), "{runs}");
    assert!(lines[1].contains("4 cached") && lines[1].contains("report.f1 = 0.3000"), "{runs}");
    let compared = ok(project.athanor(&["compare", "p.yaml", "last~2", "last~1"])).out;
    assert!(compared.contains("model[fold=0]:\n  - parameter `run` changed"), "{compared}");
    let row = compared.lines().find(|line| line.starts_with("report")).unwrap_or_default();
    let found: Vec<&str> = compared.lines().filter(|line| line.contains("f1")).collect();
    assert!(found.iter().any(|line| line.ends_with("0.3000  0.5000  +0.2000")), "{row} {compared}");
    let csv = ok(project.athanor(&["compare", "p.yaml", "last~2", "last", "--csv"])).out;
    assert!(csv.contains("report,f1,0.3,0.3\n"), "{csv}");
    let unknown = project.athanor(&["compare", "p.yaml", "1", "77"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("there is no run `77` of this pipeline; the last one is `0000"), "{}", unknown.err);
}

#[test]
fn metrics_are_shown_sorted_and_for_programs() {
    let project = Project::new(PIPELINE);
    let none = ok(project.athanor(&["metrics", "p.yaml"])).out;
    assert_eq!(none, "no metrics yet\n4 instances not up to date: `athanor status` says why\n");
    ok(project.run(&[]));
    let shown = ok(project.athanor(&["metrics", "p.yaml"])).out;
    assert!(shown.contains("INSTANCE       f1      loss\n"), "{shown}");
    assert!(shown.contains("model[fold=0]          0.3000 ▁▄█\n") || shown.contains("▁▅█"), "{shown}");
    let csv = ok(project.athanor(&["metrics", "p.yaml", "model", "--csv", "--sort", "loss"])).out;
    assert_eq!(csv, "instance,loss\nmodel[fold=0],0.3\nmodel[fold=1],0.31\n");
    let json: Value = serde_json::from_str(&ok(project.athanor(&["metrics", "p.yaml", "--json"])).out).unwrap();
    assert_eq!(json[0]["curves"]["loss"], json!([[1, 0.1], [2, 0.2], [3, 0.3]]));
    let unknown = project.athanor(&["metrics", "p.yaml", "--sort", "los"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.err.contains("no instance has a metric `los`") && unknown.err.contains("`loss`"),
        "{}",
        unknown.err
    );
}

#[test]
fn results_under_other_variables_are_not_those_of_the_file() {
    let project = Project::new(PIPELINE);
    ok(project.run(&[]));
    ok(project.run(&["--set", "epochs=5"]));
    let shown = ok(project.athanor(&["metrics", "p.yaml", "report", "--csv"])).out;
    assert_eq!(shown, "instance,f1\nreport,0.3\n");
    let of_other = ok(project.athanor(&["metrics", "p.yaml", "report", "--csv", "--set", "epochs=5"])).out;
    assert_eq!(of_other, "instance,f1\nreport,0.5\n");
    let never_made = ok(project.athanor(&["metrics", "p.yaml", "--set", "epochs=7"])).out;
    assert_eq!(never_made, "no metrics yet\n3 instances not up to date: `athanor status` says why\n");

    let now = data(&project, &[]);
    assert_eq!(now["headline"][0]["value"], 0.3);
    assert_eq!(now["instances"]["state"], json!(["cached", "cached", "cached", "cached"]));
    let changed = data(&project, &["--diff", "last"]);
    assert!(changed["changes"][0]["what"][0].as_str().unwrap().contains("parameter `run` changed"), "{changed}");
    // Parameters are those of the run, and not those of the file.
    let of_run = |run: &str| data(&project, &["--run", run])["params"].to_string();
    assert!(of_run("last").contains("seq 5") && !of_run("last").contains("seq 3)"), "{}", of_run("last"));
    assert!(of_run("1").contains("seq 3)"), "{}", of_run("1"));

    ok(project.athanor(&["export", "mlflow", "runs", "p.yaml"]));
    let exported = mlflow::texts(&project.path("runs"), "*/*/params/run");
    assert!(
        exported.len() == 3 && exported.iter().all(|script| !script.contains("seq 5") && !script.contains("0.5")),
        "{exported:?}"
    );
}

#[test]
fn a_sweep_shows_all_results_that_the_cache_has() {
    let project = Project::new(PIPELINE);
    ok(project.run(&[]));
    ok(project.run(&["--set", "epochs=5"]));
    let swept = ok(project.athanor(&["metrics", "p.yaml", "--sweep", "report", "--sort", "f1"])).out;
    let lines: Vec<&str> = swept.lines().collect();
    assert!(lines[0].contains("run") && lines[0].ends_with("f1"), "{swept}");
    assert!(lines.len() == 3 && lines[1].ends_with("0.5000") && lines[2].ends_with("0.3000"), "{swept}");
    // Another pipeline has a stage of the same name, and one that was served with a result of this one under another name.
    let other = PIPELINE.replace("name: p", "name: q").replace("epochs: 3", "epochs: 4").replace("seq 3", "seq 2");
    project
        .write("q.yaml", &(other + "  lines: { kind: command, run: 'seq 3 > ${{ outputs.o }}', outputs: { o: o } }\n"));
    ok(project.athanor(&["run", "q.yaml"]));
    let again = ok(project.athanor(&["metrics", "p.yaml", "--sweep", "report", "--sort", "f1"])).out;
    assert_eq!(again, swept, "results of other pipelines are not this one's");
    let of_other = ok(project.athanor(&["metrics", "q.yaml", "--sweep", "report"])).out;
    assert!(of_other.lines().count() == 2 && of_other.trim_end().ends_with("0.4000"), "{of_other}");
    let served = ok(project.athanor(&["metrics", "q.yaml", "--sweep", "lines", "--json"])).out;
    assert_eq!(serde_json::from_str::<Value>(&served).unwrap()[0]["instance"], "lines");
    let unknown = project.athanor(&["metrics", "p.yaml", "--sweep", "repor"]);
    assert!(unknown.code == 2 && unknown.err.contains("no stage is called `repor`"), "{}", unknown.err);
}

#[test]
fn a_report_tells_what_came_from_where() {
    let project = Project::new(PIPELINE);
    let none = data(&project, &[]);
    assert_eq!((&none["run"], &none["instances"]["state"][0]), (&Value::Null, &json!("waiting")));
    ok(project.run(&[]));
    ok(project.run(&["--set", "epochs=5"]));
    ok(project.run(&[]));
    let report = data(&project, &["--diff", "last~1"]);
    assert_eq!(report["pipeline"], "p");
    assert_eq!(report["instances"]["state"], json!(["cached", "cached", "cached", "cached"]));
    assert_eq!(
        report["headline"][0],
        json!({ "instance": "report", "metric": "f1", "value": 0.3, "before": 0.5, "best_of": 1 })
    );
    assert_eq!(report["stages"][2]["reads"], json!([1]));
    assert_eq!(report["curves"].as_array().unwrap().len(), 2 + 2, "those of the other run are there, too");
    assert_eq!(report["curves"][0]["y"], json!([0.1, 0.2, 0.3]));
    assert_eq!(report["figures"][0]["figure"]["rows"], json!([[1.0], ["<x>"]]));
    assert_eq!(report["reasons"], json!(["never ran"]), "why a cached result was made");
    assert_eq!(report["environments"].as_array().unwrap().len(), 1);
    assert!(report["changes"][0]["what"][0].as_str().unwrap().contains("parameter `run` changed"), "{report}");
    let first = data(&project, &["--run", "1"]);
    assert_eq!(first["instances"]["state"], json!(["done", "done", "done", "done"]));
    assert_eq!(first["timeline"]["spans"]["i"].as_array().unwrap().len(), 4);
    assert_eq!(first["timeline"]["critical"].as_array().unwrap().len(), 3);
    assert_eq!(first["instances"]["cpu_ms"].as_array().unwrap().len(), 4);
    assert_eq!(first["timeline"]["cached"]["i"], json!([]));
    let second = data(&project, &["--run", "last~1"]);
    let hits = json!({ "i": [0], "at": [0] });
    assert_eq!(second["timeline"]["cached"], hits, "what an earlier run had left is in the timeline, too");
    assert_eq!(second["run"]["set"], json!(["epochs=5"]));
    assert_eq!(second["headline"][0]["value"], 0.5);
}

#[test]
fn a_cached_run_has_the_metrics_of_the_run_that_made_them() {
    let project = Project::new(PIPELINE);
    ok(project.run(&["--tensorboard", "made"]));
    let json = |arguments: &[&str]| -> Value { serde_json::from_str(&ok(project.athanor(arguments)).out).unwrap() };
    let made = json(&["metrics", "p.yaml", "--json"]);
    assert_eq!(made.as_array().unwrap().len(), 3);
    let report = data(&project, &[]);
    // Another pipeline has no history yet: all that it knows is in the cache.
    project.write("q.yaml", &PIPELINE.replace("name: p", "name: q"));
    let outcome = ok(project.athanor(&["run", "q.yaml", "--tensorboard", "cached"]));
    assert!(outcome.out.contains("4 cached"), "{outcome:?}");
    assert_eq!(json(&["metrics", "q.yaml", "--json"]), made, "with their curves");
    assert_eq!(json(&["runs", "q.yaml", "--json"])[0]["headline"], json!([["report", "f1", 0.3]]));
    let cached = data_of(&project, "q.yaml", &[]);
    assert_eq!(cached["instances"]["state"], json!(["cached", "cached", "cached", "cached"]));
    let hits: Vec<_> = ["i", "at"].map(|name| cached["timeline"]["cached"][name].as_array().unwrap().clone()).into();
    assert!((0..4).all(|i| hits[0].contains(&json!(i))) && hits[1].len() == 4, "{hits:?}");
    assert!(hits[1].iter().all(|after| (0..600_000).contains(&after.as_i64().unwrap())), "{hits:?}");
    assert_eq!(cached["timeline"]["spans"]["i"], json!([]));
    for part in ["headline", "metrics", "curves", "figures", "reasons", "environments"] {
        assert_eq!(cached[part], report[part], "{part}");
    }
    let files = |folder: &str| {
        let of_model = project.path(folder).join("model[fold=0]");
        let files = std::fs::read_dir(of_model).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.collect::<Vec<_>>()
    };
    assert!(files("made").len() == 1 && files("made") == files("cached"));
}

#[test]
fn a_comparison_of_variants_is_spoken_for_by_the_best_one() {
    let project = Project::new(
        r#"
athanor: 1
name: p
stages:
  model:
    kind: command
    matrix: { rate: [1, 5, 3] }
    run: |
      echo '{"event":"metric","name":"loss","value":0.${{ matrix.rate }}}' >> $ATHANOR_EVENTS
      echo '{"event":"metric","name":"accuracy","value":0.${{ matrix.rate }}}' >> $ATHANOR_EVENTS
      echo > ${{ outputs.o }}
    outputs: { o: o }
"#,
    );
    ok(project.run(&[]));
    let runs = ok(project.athanor(&["runs", "p.yaml"])).out;
    assert!(runs.ends_with("model[rate=5].accuracy = 0.5000\n"), "{runs}");
    let best = json!({ "instance": "model[rate=5]", "metric": "accuracy", "value": 0.5, "before": null, "best_of": 3 });
    let report = data(&project, &[]);
    assert_eq!((&report["headline"], &report["metric_order"]), (&json!([best]), &json!(["accuracy", "loss"])));
    let md = ok(project.athanor(&["report", "p.yaml", "--md"])).out;
    assert!(md.contains("| model\\[rate=5\\], the best of 3 | accuracy | 0.5000 |"), "{md}");
    project.edit("rate: [1, 5, 3]", "rate: [2]");
    assert_eq!(data(&project, &[])["headline"], json!([]), "what is not made has no metrics");
}

#[test]
fn a_failed_run_is_reported_with_its_log_and_as_markdown() {
    let project = Project::new(PIPELINE);
    project.edit("seq 3 >", "echo '</script>' ; echo 'https://u:secret@h/' ; exit 3 >");
    let failed = project.run(&["--junit", "junit.xml"]);
    assert_eq!(failed.code, 1);
    let report = data(&project, &[]);
    assert_eq!(report["run"]["outcome"], "failed");
    assert_eq!(report["instances"]["state"], json!(["failed", "skipped", "skipped", "skipped"]));
    assert_eq!(report["failures"][0]["instance"], "data");
    assert_eq!(report["failures"][0]["log"], json!(["</script>", "https://u:***@h/"]));
    assert!(!project.read("out.html").contains("secret"));
    let md = ok(project.athanor(&["report", "p.yaml", "--md"])).out;
    assert!(md.starts_with("## p\n\nrun `000001-") && md.contains("### data failed"), "{md}");
    let junit = project.read("junit.xml");
    assert!(junit.contains("tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"3\""), "{junit}");
    assert!(
        junit.contains("<testcase classname=\"p.data\" name=\"data\"") && junit.contains("&lt;/script&gt;"),
        "{junit}"
    );
    assert!(!junit.contains("name=\"data\" time=\"0.000\""), "a failure has taken its time: {junit}");
}

/// A machine that reads the file would else count what was not even tried as passed.
#[test]
fn what_was_not_started_has_not_passed() {
    let stage = |name: &str, more: &str| {
        format!("  {name}: {{ kind: command, {more} > ${{{{ outputs.o }}}}', outputs: {{ o: o }} }}\n")
    };
    let many = stage("many", "matrix: { n: [1, 2, 3, 4, 5, 6, 7, 8, 9] }, run: 'cat go && echo ${{ matrix.n }}");
    let project = Project::new(&format!("athanor: 1\nname: p\nstages:\n{}{many}", stage("fine", "run: 'echo")));
    ok(project.run(&["fine"]));
    let failed = project.run(&["-j", "1", "--junit", "junit.xml"]);
    let junit = project.read("junit.xml");
    let failures = junit.matches("<failure").count();
    assert_eq!((failed.code, failures), (1, 1), "{failed:?} {junit}");
    assert_eq!(junit.matches("it was not started").count(), 9 - failures, "{junit}");
    assert!(junit.contains("name=\"fine\" time=\"0.000\"/>"), "{junit}");
}

#[test]
fn bad_figures_are_named_and_left_out() {
    let project = Project::new(PIPELINE);
    project.edit("\"rows\":[[1],[\"<x>\"]]", "\"rows\":[[1,2]]");
    let outcome = ok(project.run(&[]));
    assert!(outcome.out.contains("row 1 of the table has 2 cells of 1"), "{}", outcome.out);
    let figures = records(&project).into_iter().filter(|(.., annex)| !annex.figures.is_empty()).count();
    assert_eq!(figures, 0);
}

#[test]
fn hooks_are_told_how_a_run_ended() {
    let project = Project::new(PIPELINE);
    project.write(
        "athanor.config.yaml",
        "hooks: { on_success: 'cat > won.json', on_failure: 'cat > lost.json; exit 1' }\n",
    );
    ok(project.run(&[]));
    let won: Value = serde_json::from_str(&project.read("won.json")).unwrap();
    assert_eq!(
        (&won["outcome"], &won["pipeline"], &won["counts"]["ran"]),
        (&json!("up_to_date"), &json!("p"), &json!(4))
    );
    project.edit("seq 3", "exit 3");
    let failed = project.run(&[]);
    assert_eq!(failed.code, 1, "the hook's exit status is not the run's");
    assert!(failed.err.contains("the hook `cat > lost.json; exit 1` failed"), "{}", failed.err);
    assert!(project.read("lost.json").contains("\"outcome\":\"failed\""));
}

#[test]
fn the_picture_of_the_graph_has_the_layout_of_the_report() {
    let project = Project::new(PIPELINE);
    let graph = data(&project, &[])["graph"]["wide"].clone();
    let svg = ok(project.athanor(&["graph", "p.yaml", "--format", "svg"])).out;
    assert!(
        svg.contains(&format!(
            "viewBox=\"0 0 {} {}\"",
            graph["width"].as_f64().unwrap(),
            graph["height"].as_f64().unwrap()
        )),
        "{svg}"
    );
    for each in graph["boxes"].as_array().unwrap() {
        let place = ["x", "y", "w", "h"].map(|name| each[name].as_f64().unwrap());
        let [x, y, w, h] = place;
        assert!(svg.contains(&format!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\"")), "{each}: {svg}");
    }
    for each in graph["edges"].as_array().unwrap() {
        assert!(svg.contains(&format!("<path d={} ", each["path"])), "{each}: {svg}");
    }
    assert_eq!(graph["edges"].as_array().unwrap().len(), 2);
}

#[test]
fn top_says_what_runs_and_what_waits_for_what() {
    let project = Project::new(PIPELINE);
    // Outside of the project: what a script names of it is an input.
    let signs = tempfile::tempdir().unwrap();
    let sign = |name: &str| signs.path().join(name);
    let (up, go) = (sign("up").display().to_string(), sign("go").display().to_string());
    let waits =
        format!("seq 3 > ${{{{ outputs.o }}}}; echo printed; echo > {up}; while [ ! -e {go} ]; do sleep 0.05; done");
    project.edit("seq 3 > ${{ outputs.o }}", &waits);
    let mut run = project.start(&[]);
    support::wait_for(&sign("up"), &mut run);
    let shown = ok(project.athanor(&["top", "p.yaml"])).out;
    for piece in [
        ": running",
        "0 of 4 up to date",
        "running 1",
        "waiting 3",
        "waits for data",
        "waits for model[fold=0] and 1 more",
        "log of data",
        "printed",
    ] {
        assert!(shown.contains(piece), "{piece}: {shown}");
    }
    std::fs::write(sign("go"), "").unwrap();
    assert!(run.wait().unwrap().success());
    let shown = ok(project.athanor(&["top", "p.yaml"])).out;
    assert!(shown.contains(": up to date") && shown.contains("4 of 4 up to date"), "{shown}");
}
