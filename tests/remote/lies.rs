//! Records of a remote cache that are sealed as they should be, and say what is not so; and settings of which no request can be made.

use athanor_cache::{ActionRecord, Digest};
use serde_json::{Value, json};

use super::*;

/// Two stages that read nothing of each other, and one that reads what the first has made.
const PIPELINE: &str = "\
athanor: 1
name: p
stages:
  a:
    kind: command
    run: seq 3 > ${{ outputs.o }}; head -c 2000000 /dev/zero > ${{ outputs.big }}; echo x >> $ATHANOR_PROJECT/ran
    outputs: { o: o.txt, big: big.bin }
  b:
    kind: command
    inputs: { o: a.o }
    run: cat ${{ inputs.o }} > ${{ outputs.p }}; echo x >> $ATHANOR_PROJECT/ran
    outputs: { p: p.txt }
  other:
    kind: command
    run: echo 1 > ${{ outputs.o }}; echo x >> $ATHANOR_PROJECT/ran
    outputs: { o: o.txt }
results: { o: a.o, big: a.big, p: b, other: other }
";

fn machine(team: &Team, mode: &str) -> Project {
    let project = team.machine(mode);
    project.write("p.yaml", PIPELINE);
    project
}

fn fields(path: &Path) -> (ActionRecord, Value) {
    let text = fs::read_to_string(path).unwrap();
    let document: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    let record = ActionRecord::unsealed(document["record"].as_str().unwrap().as_bytes()).unwrap();
    (record, document["places"].clone())
}

/// Path of the record of the instance called `name`.
fn record_of(team: &Team, name: &str) -> PathBuf {
    team.keys("actions").into_iter().find(|path| fields(path).0.recipe["instance"] == name).unwrap()
}

/// Changes the record of the stage `a`, and the places of its small files.
fn lie(team: &Team, change: &dyn Fn(&mut ActionRecord, &mut Value)) {
    let path = record_of(team, "a");
    let (mut record, mut places) = fields(&path);
    change(&mut record, &mut places);
    let line = String::from_utf8(record.seal().unwrap().line().to_vec()).unwrap();
    let body = serde_json::to_vec(&json!({ "record": line, "places": places })).unwrap();
    let key = format!("actions/{}", record.fingerprint);
    let covered = [b"athanor remote document 1\0", key.as_bytes(), b"\0", &body].concat();
    fs::write(&path, [format!("{}\n", Digest::of(&covered)).into_bytes(), body].concat()).unwrap();
}

/// Gives an output of a record another size.
fn resize(record: &mut ActionRecord, name: &str, bytes: u64) -> Digest {
    let output = record.outputs.iter_mut().find(|output| output.name == name).unwrap();
    output.artifact.bytes = bytes;
    output.artifact.digest
}

/// Change of a record, and of the rest of its file.
type Lie = dyn Fn(&mut ActionRecord, &mut Value);

#[test]
fn lies_are_told_and_harm_nobody() {
    let lies: [&Lie; 5] = [
        &|record, _| {
            resize(record, "big", 1 << 62);
        },
        &|record, _| {
            resize(record, "big", u64::MAX);
        },
        &|record, places| {
            let digest = resize(record, "o", 1 << 60).to_string();
            places[digest]["bytes"] = json!(1u64 << 60);
        },
        &|record, _| record.outputs.retain(|output| output.name != "o"),
        &|record, _| record.outputs.clear(),
    ];
    for (at, change) in lies.into_iter().enumerate() {
        let team = Team::new();
        let first = machine(&team, "read-write");
        fine(&first.run(&[]));
        lie(&team, change);
        let second = machine(&team, "read-only");
        let outcome = second.run(&[]);
        // What `b` makes is the content about whose size one of them lies.
        assert!(outcome.code == 0 && (1..=2).contains(&ran(&second)), "lie {at}: {outcome:?}");
        assert_eq!(outcome.out.matches("note: The remote cache").count(), 1, "lie {at}: {outcome:?}");
        assert_eq!(second.read("results/p/p"), "1\n2\n3\n");
        let third = machine(&team, "read-only");
        let pulled = third.athanor(&["cache", "pull", "p.yaml"]);
        assert!(pulled.code == 1 && pulled.err.contains("error: a: The remote cache"), "lie {at}: {pulled:?}");
        // As the message says, whoever has the result mends it.
        fine(&first.athanor(&["cache", "push", "p.yaml", "--again"]));
        fine(&third.athanor(&["cache", "pull", "p.yaml"]));
        fine(&third.run(&[]));
        assert_eq!(ran(&third), 0, "lie {at}");
    }
}

#[test]
fn a_damaged_record_keeps_no_other_from_being_pulled() {
    let team = Team::new();
    fine(&machine(&team, "read-write").run(&[]));
    fs::write(record_of(&team, "a"), "damaged\n").unwrap();
    let second = machine(&team, "read-only");
    let pulled = second.athanor(&["cache", "pull", "p.yaml"]);
    assert_eq!(pulled.code, 1, "{pulled:?}");
    assert!(pulled.out.starts_with("pulled 1 result "), "{pulled:?}");
    assert!(pulled.out.contains("1 instance is not asked for"), "{pulled:?}");
    assert_eq!(pulled.err.matches("error: a: ").count(), 1, "{pulled:?}");
    fine(&second.run(&[]));
    assert_eq!(ran(&second), 1);
}

#[test]
fn settings_that_no_request_can_be_made_of_are_told_and_end_nothing() {
    let of = |address: &str, variables: &[(&str, &str)]| {
        let machine = Team::new().machine_at(address, "read-write");
        let mut command = machine.command(&["run", "p.yaml"]);
        command.env("AWS_ACCESS_KEY_ID", "a").env("AWS_SECRET_ACCESS_KEY", "b").envs(variables.iter().copied());
        let outcome = Outcome::of(command);
        assert_eq!((outcome.code, ran(&machine)), (0, 3), "{variables:?}: {outcome:?}");
        assert!(!outcome.err.contains("panicked"), "{variables:?}: {outcome:?}");
        outcome.out
    };
    for address in ["minio.lab:9000", "http://", "http://127.0.0.1:99999", "http://127.0.0.1:1/ x"] {
        let out = of("s3://bucket/x", &[("AWS_ENDPOINT_URL", address)]);
        let told = format!("cannot be used: `AWS_ENDPOINT_URL` is `{address}`, and not the address of a server");
        assert!(out.contains(&told), "{out}");
    }
    let out = of("s3://bucket/x", &[("AWS_ENDPOINT_URL", "http://127.0.0.1:1"), ("AWS_SESSION_TOKEN", "t\n")]);
    assert!(out.contains("cannot be used: the value of `AWS_SESSION_TOKEN` has a line break in it"), "{out}");
}
