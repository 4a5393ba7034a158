//! Events of commands: metrics, progress and messages, lines that are none, and curves in the annex of a record.

mod support;

use athanor::run::attempts::annex::Annex;
use athanor::run::attempts::curves::MAX_POINTS;
use athanor_cache::{ActionRecord, Cache};
use serde_json::Value;
use support::Project;

/// A pipeline with one stage, which does this.
fn stage(line: &str) -> Project {
    let line = line.replace('\n', "\n      ");
    Project::new(&format!(
        "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    run: |\n      {line}\n      echo > ${{{{ outputs.o }}}}\n    outputs: {{ o: o.txt }}\n"
    ))
}

/// The only record, and its annex.
fn record(project: &Project) -> (ActionRecord, Annex) {
    let cache = Cache::open(&project.path(".athanor")).unwrap();
    let record = cache.records().unwrap().remove(0);
    let annex = record.annex.map(|annex| serde_json::from_slice(&cache.read_annex(&annex).unwrap()).unwrap());
    (record, annex.unwrap_or_default())
}

/// Events of one type.
fn of_type(out: &str, event: &str) -> Vec<Value> {
    let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["event"] == event).collect()
}

#[test]
fn progress_metrics_and_messages_arrive() {
    let project = stage(
        r#"echo '{"event":"progress","done":3,"total":9,"unit":"epochs"}' >> $ATHANOR_EVENTS
exec 3> $ATHANOR_EVENTS
echo '{"event":"metric","name":"loss","value":0.5,"step":1}' >&3
echo '{"event":"metric","name":"loss","value":0.25,"step":2}' >&3
echo '{"event":"metric","name":"accuracy","value":1}' >&3
printf %s '{"event":"message","text":"half \u001b[31mof it"}' >&3"#,
    );
    let outcome = project.run(&["--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let progress = &of_type(&outcome.out, "progress")[0];
    assert_eq!((&progress["done"], &progress["total"]), (&3.into(), &9.into()));
    assert_eq!(of_type(&outcome.out, "metric").len(), 3);
    assert_eq!(of_type(&outcome.out, "message")[0]["text"], "half \u{1b}[31mof it");
    assert!(of_type(&outcome.out, "advice").is_empty(), "{}", outcome.out);
    let (record, annex) = record(&project);
    assert_eq!(record.metrics["loss"], 0.25);
    assert_eq!(record.metrics["accuracy"], 1.0);
    assert_eq!(annex.curves.len(), 1);
    assert_eq!(annex.curves["loss"], [(1, 0.5), (2, 0.25)]);
    let shown = project.run(&["--force", "a"]).out;
    assert!(shown.contains("message      a: half \\u{1b}[31mof it\n"), "{shown}");
    assert!(shown.contains("accuracy = 1"), "{shown}");
}

#[test]
fn bad_lines_are_warned_of_and_stop_nothing() {
    let project = stage(
        r#"echo junk >> $ATHANOR_EVENTS
echo '{"event":"metric","name":"loss","value":NaN,"step":1}' >> $ATHANOR_EVENTS
echo '{"event":"metric","name":"loss","value":1,"step":2}' >> $ATHANOR_EVENTS
{ head -c 3000000 /dev/zero | tr '\0' y; echo; } >> $ATHANOR_EVENTS
seq 100 >> $ATHANOR_EVENTS"#,
    );
    let outcome = project.run(&["--json"]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let warnings: Vec<String> =
        of_type(&outcome.out, "advice").iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect();
    assert_eq!(warnings.len(), 6, "{warnings:?}");
    assert!(warnings[0].starts_with("line 1 of its events is passed over") && warnings[0].ends_with(": junk"));
    assert!(warnings[1].starts_with("line 2 ") && warnings[1].contains("JSON has no NaN"), "{warnings:?}");
    assert!(warnings[2].starts_with("line 4 ") && warnings[2].contains("yyyy"), "{warnings:?}");
    assert!(warnings[5].ends_with("no further ones are named"), "{warnings:?}");
    assert_eq!(record(&project).1.curves["loss"], [(2, 1.0)]);
}

#[test]
fn a_long_curve_keeps_its_peaks_and_its_end_and_the_log_stays_small() {
    let project = stage(
        r#"seq 0 49999 | sed 's/.*/{"event":"metric","name":"up","value":&,"step":&}/' > $ATHANOR_EVENTS
seq 0 49999 | sed -e '/^31337$/!s/.*/{"event":"metric","name":"peak","value":0,"step":&}/' -e 's/^31337$/{"event":"metric","name":"peak","value":9,"step":31337}/' > $ATHANOR_EVENTS"#,
    );
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let (record, annex) = record(&project);
    assert_eq!(record.metrics["up"], 49999.0);
    for (name, curve) in &annex.curves {
        assert!(curve.len() <= MAX_POINTS && curve.len() > 500, "{name}: {}", curve.len());
        assert_eq!((curve[0].0, curve[curve.len() - 1].0), (0, 49999));
    }
    assert!(annex.curves["peak"].contains(&(31337, 9.0)));
    let logged = logged_metrics(&project.path(".athanor"));
    assert!((2 * 4096..2 * 16_000).contains(&logged), "{logged}");
}

/// Number of metrics in the files below a folder.
fn logged_metrics(folder: &std::path::Path) -> usize {
    if !folder.is_dir() {
        let text = std::fs::read(folder).unwrap_or_default();
        return String::from_utf8_lossy(&text).matches("\"event\":\"metric\"").count();
    }
    std::fs::read_dir(folder).unwrap().flatten().map(|entry| logged_metrics(&entry.path())).sum()
}

#[test]
fn secrets_are_in_no_message_and_no_warning() {
    let project = stage(
        r#"echo "{\"event\":\"message\",\"text\":\"it is $KEY\"}" >> $ATHANOR_EVENTS
echo "junk $KEY" >> $ATHANOR_EVENTS"#,
    );
    project.edit("    outputs:", "    env_passthrough: [KEY]\n    outputs:");
    let mut command = project.command(&["run", "p.yaml", "--json"]);
    command.env("KEY", "open-sesame");
    let outcome = support::Outcome::of(command);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert!(outcome.out.contains("it is ***") && !outcome.out.contains("sesame"), "{}", outcome.out);
}
