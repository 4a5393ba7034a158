//! Several pipelines in one cache: a collection keeps what each uses, forgets those that are gone, and frees the rest.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use athanor_cache::Digest;
use tempfile::TempDir;

use support::{Outcome, Project};

const PIPELINE: &str = "athanor: 1\nname: p\nvars: { word: one }\nstages:\n  a: { kind: command, run: \"echo ${{ vars.word }} > ${{ outputs.o }}\", outputs: { o: o.txt } }\n\
    profiles: { big: { vars: { word: big } } }\nresults: { o.txt: a }\n";

/// A folder with projects and a cache beside them.
struct Place(TempDir);

impl Place {
    fn new(projects: &[&str]) -> Place {
        let place = Place(tempfile::tempdir().unwrap());
        for project in projects {
            fs::create_dir_all(place.path(project)).unwrap();
            fs::write(place.path(project).join("p.yaml"), PIPELINE).unwrap();
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn athanor(&self, project: &str, arguments: &[&str]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_athanor"));
        command.current_dir(self.path(project)).arg("--cache").arg(self.path("cache")).args(arguments);
        let output = command.env("NO_COLOR", "1").output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Outcome { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs and asserts that this many instances are made.
    fn makes(&self, project: &str, arguments: &[&str], made: usize) {
        let outcome = self.athanor(project, &[&["run", "p.yaml"], arguments].concat());
        let how = if made == 0 { "1 cached".to_owned() } else { format!("{made} ran") };
        assert!(outcome.code == 0 && outcome.out.contains(&how), "{outcome:?}");
    }

    /// What a collection says, which has to succeed.
    fn collected(&self, arguments: &[&str]) -> String {
        let outcome = self.athanor("one", &[&["cache", "gc", "--keep-runs=1"], arguments].concat());
        assert_eq!(outcome.code, 0, "{outcome:?}");
        outcome.out
    }

    /// Histories in the cache.
    fn histories(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("cache/pipelines")).unwrap().map(|entry| entry.unwrap().path());
        let mut histories: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
        histories.sort();
        histories
    }

    /// The history of the pipeline of a project.
    fn history(&self, project: &str) -> PathBuf {
        let folder = self.path(project).canonicalize().unwrap();
        let names_it = |history: &PathBuf| {
            let identity = fs::read_to_string(history.join("pipeline.json")).unwrap();
            identity.contains(&format!("{}\"", folder.display()))
        };
        self.histories().into_iter().find(names_it).unwrap()
    }
}

#[test]
fn every_pipeline_and_every_profile_keeps_what_it_uses() {
    let place = Place::new(&["one", "two"]);
    place.makes("one", &[], 1);
    place.makes("one", &["--profile", "big"], 1);
    place.makes("two", &["--set", "word=two"], 1);
    assert!(place.collected(&[]).starts_with("dropped 0 results"));
    place.makes("one", &["--profile", "big"], 0);
    place.makes("two", &["--set", "word=two"], 0);
    place.makes("one", &[], 0);
    let listed = place.athanor("one", &["cache", "ls"]).out;
    for pipeline in ["one (profile big)", "one\n", "two\n"] {
        assert!(listed.contains(&format!("p.yaml in {}", place.path(pipeline).display())), "{listed}");
    }
}

#[test]
fn pipelines_whose_file_is_gone_are_forgotten_and_listed_first() {
    let place = Place::new(&["one", "two", "three"]);
    for (project, word) in [("one", "1"), ("two", "2"), ("three", "3")] {
        place.makes(project, &["--set", &format!("word={word}")], 1);
    }
    // Nothing is needed of a history whose pipeline is gone.
    fs::write(place.history("two").join("instances.json"), "damaged").unwrap();
    fs::remove_dir_all(place.path("two")).unwrap();
    fs::remove_file(place.path("three/p.yaml")).unwrap();
    let promised = place.collected(&["--dry-run"]);
    let name = |project: &str| format!("p.yaml in {}: its file is gone\n", place.path(project).display());
    assert!(promised.contains(&format!("would forget {}", name("two"))), "{promised}");
    assert_eq!(place.histories().len(), 3);
    let said = place.collected(&[]);
    let expected = [format!("forgot {}", name("three")), format!("forgot {}", name("two"))];
    assert!(
        said.starts_with(&expected.concat()) || said.starts_with(&[&*expected[1], &*expected[0]].concat()),
        "{said}"
    );
    assert!(said.contains("\ndropped 2 results and 4 B of 6 B; 1 kept\n"), "{said}");
    assert_eq!(said.matches("no pipeline's last run used it\n").count(), 2, "{said}");
    assert_eq!(said, promised.replace("would forget", "forgot").replace("would drop", "dropped"));
    assert_eq!(place.histories(), [place.history("one")]);
    place.makes("one", &["--set", "word=1"], 0);
}

#[test]
fn a_project_that_moved_with_its_cache_is_not_gone() {
    let place = Place::new(&["all/one"]);
    let run = |folder: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_athanor"));
        command.current_dir(place.path(folder)).args(["--cache", "../cache"]).args(arguments);
        String::from_utf8(command.env("NO_COLOR", "1").output().unwrap().stdout).unwrap()
    };
    assert!(run("all/one", &["run", "p.yaml", "--set", "word=earlier"]).contains("1 ran"));
    assert!(run("all/one", &["run", "p.yaml"]).contains("1 ran"));
    fs::rename(place.path("all"), place.path("elsewhere")).unwrap();
    assert!(run("elsewhere/one", &["cache", "gc"]).starts_with("dropped 0 results"));
    // Its runs come along, and with them what they used.
    assert_eq!(run("elsewhere/one", &["runs", "p.yaml"]).matches("1 ran").count(), 2);
    assert!(run("elsewhere/one", &["run", "p.yaml"]).contains("1 cached"));
    assert!(run("elsewhere/one", &["cache", "gc"]).starts_with("dropped 0 results"));
    assert!(run("elsewhere/one", &["run", "p.yaml", "--set", "word=earlier"]).contains("1 cached"));
    let histories = fs::read_dir(place.path("elsewhere/cache/pipelines")).unwrap();
    assert_eq!(histories.filter(|history| history.as_ref().unwrap().path().is_dir()).count(), 1);
}

#[test]
fn state_of_a_run_before_the_last_stays() {
    let place = Place::new(&["one"]);
    let stage = "d: { kind: command, state: true, run: \"echo 1 > $ATHANOR_STATE/k; [ ${{ vars.n }} = 2 ]; echo > x\", outputs: { x: x } }";
    let pipeline = format!("athanor: 1\nname: p\nvars: {{ n: 1 }}\nstages:\n  {stage}\n");
    fs::write(place.path("one/p.yaml"), pipeline).unwrap();
    assert_eq!(place.athanor("one", &["run", "p.yaml"]).code, 1);
    place.makes("one", &["--set", "n=2"], 1);
    let states = || {
        let shards = fs::read_dir(place.path("cache/unfinished")).unwrap().map(|shard| shard.unwrap().path());
        let works = shards.flat_map(|shard| fs::read_dir(shard).unwrap()).map(|work| work.unwrap().path());
        works.filter(|work| work.join("state/k").exists()).count()
    };
    assert_eq!(states(), 1, "that of the stage which failed");
    assert!(place.athanor("one", &["cache", "gc"]).out.starts_with("dropped 0 results"));
    assert_eq!(states(), 1);
    place.collected(&[]);
    assert_eq!(states(), 0, "of the last run alone there is none");
}

#[test]
fn a_pipeline_file_that_cannot_be_looked_for_is_there() {
    let place = Place::new(&["one", "hidden/two"]);
    place.makes("one", &[], 1);
    place.makes("hidden/two", &["--set", "word=two"], 1);
    fs::rename(place.path("hidden"), place.path("away")).unwrap();
    // A file in the place of a folder is not the same as nothing.
    fs::write(place.path("hidden"), "").unwrap();
    assert!(place.collected(&[]).starts_with("dropped 0 results"));
}

/// In a private place of mounts and of the machine's name; needs root.
#[test]
fn pipelines_on_an_unmounted_disk_or_another_machine_are_out_of_reach_as_root() {
    let place = Place::new(&["one", "disk", "theirs"]);
    place.makes("one", &["--set", "word=1"], 1);
    let script = r#"
        cd "$1" && echo ours > /proc/sys/kernel/hostname || exit 77
        rm disk/p.yaml && mount -t tmpfs disk disk && cp one/p.yaml disk && (cd disk && "$0" --cache ../cache run p.yaml --set word=2) || exit 77
        umount -l disk
        echo theirs > /proc/sys/kernel/hostname && (cd theirs && "$0" --cache ../cache run p.yaml --set word=3) && rm theirs/p.yaml
        echo ours > /proc/sys/kernel/hostname && cd one && "$0" --cache ../cache cache gc --keep-runs 1
    "#;
    let mut command = Command::new("unshare");
    command.args(["-m", "-u", "sh", "-c", script, env!("CARGO_BIN_EXE_athanor")]).arg(place.path(""));
    let output = match command.env("NO_COLOR", "1").output() {
        Ok(output) if output.status.code() != Some(77) && !output.stdout.is_empty() => output,
        found => return support::skips(&format!("nothing can be mounted: {found:?}")),
    };
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{out}{}", String::from_utf8_lossy(&output.stderr));
    let disk = place.path("disk").canonicalize().unwrap();
    for expected in [
        format!("its folder was on the file system at `{}`, which is not mounted now\n", disk.display()),
        "it is a pipeline of the machine `theirs`\n".to_owned(),
        "\ndropped 0 results and 0 B of 6 B; 3 kept\n".to_owned(),
    ] {
        assert!(out.contains(&expected), "{expected}\n{out}");
    }
    let forget =
        |line: &str| line.strip_prefix("    If it is gone for good: athanor cache gc --forget ").map(str::to_owned);
    let keys: Vec<String> = out.lines().filter_map(forget).collect();
    assert_eq!(keys.len(), 2, "{out}");
    for key in keys {
        assert!(place.collected(&["--forget", &key]).starts_with("forgot p.yaml in "));
    }
    place.makes("one", &["--set", "word=1"], 0);
}

#[test]
fn what_nobody_can_read_stops_a_collection_until_it_is_told_to_forget() {
    let place = Place::new(&["one", "two"]);
    place.makes("one", &["--set", "word=1"], 1);
    place.makes("two", &[], 1);
    let list = place.history("two").join("instances.json");
    // A folder in its place can be read by nobody, whoever runs this test.
    fs::remove_file(&list).unwrap();
    fs::create_dir(&list).unwrap();
    for arguments in [&[][..], &["-n"], &["--max-size", "0"], &["--forget", "p.yaml"]] {
        let outcome = place.athanor("one", &[&["cache", "gc", "--keep-runs=1"], arguments].concat());
        assert_eq!(outcome.code, 1, "{arguments:?}: {outcome:?}");
        let key = place.history("two").file_name().unwrap().to_str().unwrap().to_owned();
        for part in [list.to_str().unwrap(), "p.yaml in ", "nothing was removed", &format!("cache gc --forget {key}")] {
            assert!(outcome.err.contains(part), "{part}: {outcome:?}");
        }
        assert_eq!(place.histories().len(), 2);
    }
    let outcome = place.athanor("one", &["cache", "gc", "--keep-runs=1", "--forget", "q.yaml"]);
    assert!(outcome.code == 1 && outcome.err.contains("No pipeline of this cache is `q.yaml`"), "{outcome:?}");
    let said = place.collected(&["--forget", "../two/p.yaml"]);
    assert!(said.starts_with("forgot p.yaml in ") && said.contains("dropped 1 result"), "{said}");
    place.makes("one", &["--set", "word=1"], 0);
    place.makes("two", &[], 1);
}

#[test]
fn a_pipeline_can_be_forgotten_by_its_name_whatever_is_left_of_it() {
    let place = Place::new(&["one", "two"]);
    place.makes("one", &["--set", "word=1"], 1);
    place.makes("two", &[], 1);
    let history = place.history("two");
    fs::write(history.join("pipeline.json"), "{").unwrap();
    fs::write(history.join("instances.json"), "{").unwrap();
    fs::remove_dir_all(history.join("runs")).unwrap();
    let key = history.file_name().unwrap().to_str().unwrap();
    let outcome = place.athanor("one", &["cache", "gc", "--keep-runs=1"]);
    assert!(outcome.code == 1 && outcome.err.contains(&format!("the pipeline {key}")), "{outcome:?}");
    assert_eq!(place.athanor("one", &["cache", "ls"]).code, 0);
    assert!(place.collected(&["--forget", key]).contains("dropped 1 result"));
}

#[test]
fn without_any_history_nothing_is_removed() {
    let place = Place::new(&["one"]);
    place.makes("one", &[], 1);
    fs::remove_dir_all(place.path("cache/pipelines")).unwrap();
    for _ in 0..2 {
        let outcome = place.athanor("one", &["cache", "gc", "--keep-runs=1"]);
        assert!(outcome.code == 1 && outcome.err.contains("pipelines` is missing or empty"), "{outcome:?}");
        let _ = fs::create_dir(place.path("cache/pipelines"));
    }
    place.makes("one", &[], 0);
    assert!(place.collected(&[]).contains("; 1 kept"));
}

#[test]
fn a_result_that_had_a_pin_and_no_pipeline_goes_once_the_pin_is_gone() {
    let place = Place::new(&["one"]);
    let fine = |arguments: &[&str]| {
        let outcome = place.athanor("one", arguments);
        assert_eq!(outcome.code, 0, "{arguments:?}: {outcome:?}");
    };
    place.makes("one", &[], 1);
    place.makes("one", &["--set", "word=two"], 1);
    fine(&["cache", "pin", "a"]);
    assert!(place.collected(&["--forget", "p.yaml"]).contains("; 2 kept\n"));
    assert!(place.histories().is_empty());
    fine(&["cache", "unpin", "a"]);
    assert!(place.collected(&["--dry-run"]).starts_with("would drop 2 results"));
    // A pipeline that uses one of them again, and whose history is lost, leaves the matter in doubt.
    place.makes("one", &[], 0);
    let history = place.history("one");
    fs::rename(&history, place.path("lost")).unwrap();
    let outcome = place.athanor("one", &["cache", "gc", "--keep-runs=1"]);
    assert!(outcome.code == 1 && outcome.err.contains("pipelines` is missing or empty"), "{outcome:?}");
    fs::rename(place.path("lost"), &history).unwrap();
    fine(&["cache", "pin", "a"]);
    assert!(place.collected(&["--forget", "p.yaml"]).contains("; 2 kept\n"));
    fine(&["cache", "unpin", "a"]);
    assert!(place.collected(&[]).starts_with("dropped 2 results"));
    assert!(place.collected(&[]).starts_with("dropped 0 results"));
    place.makes("one", &[], 1);
}

#[test]
fn results_of_a_run_whose_log_is_damaged_cut_short_or_gone_stay() {
    let damages: [&dyn Fn(&Path); 5] = [
        &|log| fs::write(log, "garbage").unwrap(),
        &|log| fs::write(log, "").unwrap(),
        &|log| fs::write(log, &fs::read(log).unwrap()[..30]).unwrap(),
        &|log| fs::remove_file(log).unwrap(),
        &|log| fs::remove_dir_all(log.parent().unwrap()).unwrap(),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let place = Place::new(&["one"]);
        for word in ["1", "2", "3"] {
            place.makes("one", &["--set", &format!("word={word}")], 1);
        }
        let mut runs: Vec<PathBuf> =
            fs::read_dir(place.history("one").join("runs")).unwrap().map(|run| run.unwrap().path()).collect();
        runs.sort();
        damage(&runs[0].join("events.jsonl"));
        let outcome = place.athanor("one", &["cache", "gc"]);
        assert!(outcome.out.contains("; 3 kept"), "damage {number}: {outcome:?}");
        place.makes("one", &["--set", "word=1"], 0);
    }
}

#[test]
fn quarantine_and_what_killed_processes_left_are_freed() {
    let place = Place::new(&["one"]);
    place.makes("one", &[], 1);
    let shard = fs::read_dir(place.path("cache/objects")).unwrap().next().unwrap().unwrap().path();
    let object = fs::read_dir(shard).unwrap().next().unwrap().unwrap().path();
    fs::set_permissions(&object, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&object, "onx\n").unwrap();
    assert_eq!(place.athanor("one", &["cache", "verify"]).code, 1);
    assert!(place.athanor("one", &["cache", "ls"]).out.contains("4 B in quarantine"));
    let half_written = place.history("one").join("instances.json.4711-12");
    for left in [place.path("cache/tmp/.tmpAb12Cd"), half_written.clone(), place.path("cache/tmp/of-the-user")] {
        fs::write(left, "half").unwrap();
    }
    let promised = place.collected(&["-n"]);
    let said = place.collected(&[]);
    assert!(said.starts_with("freed 4 B set aside as damaged (1 item)\n"), "{said}");
    assert!(said.contains("freed 4 B left by killed processes (1 item)\n"), "{said}");
    assert_eq!(promised, said.replace("freed", "would free").replace("dropped", "would drop"));
    assert!(!half_written.exists() && place.path("cache/tmp/of-the-user").exists());
    assert_eq!(fs::read_dir(place.path("cache/quarantine")).unwrap().count(), 0);
}

#[test]
fn a_plan_that_somebody_else_may_have_kept_runs_no_command() {
    let project = Project::new(PIPELINE);
    let forge = |plan: &Path| {
        let bytes = fs::read(plan).unwrap();
        let (magic, key, body) = (&bytes[..16], &bytes[16..48], bytes[80..].to_vec());
        let text = b"echo ";
        let at = body.windows(text.len()).position(|window| window == text).unwrap();
        let mut body = body;
        body[at..at + text.len()].copy_from_slice(b"date ");
        let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let seal = Digest::keyed(&digits.parse().unwrap(), &body);
        fs::write(plan, [magic, key, seal.bytes(), &body].concat()).unwrap();
    };
    assert_eq!(project.athanor(&["status", "p.yaml"]).code, 0);
    let plans =
        fs::read_dir(project.path(".athanor/pipelines")).unwrap().map(|entry| entry.unwrap().path().join("plan"));
    let plan = plans.filter(|plan| plan.exists()).last().unwrap();
    forge(&plan);
    let status = project.athanor(&["explain", "p.yaml", "a"]).out;
    fs::set_permissions(&plan, fs::Permissions::from_mode(0o666)).unwrap();
    assert_eq!(project.made(&[]), ["a"], "{status}");
    assert_eq!(project.read("results/p/o.txt"), "one\n");
    if rustix::process::geteuid().is_root() {
        forge(&plan);
        std::os::unix::fs::chown(&plan, Some(12345), Some(12345)).unwrap();
        assert!(project.made(&[]).is_empty());
        assert_eq!(project.made(&["--force", "a"]), ["a"]);
        assert_eq!(project.read("results/p/o.txt"), "one\n");
    } else {
        support::skips("in part: only root can give a file away");
    }
}

#[test]
fn a_project_path_that_is_no_text_is_a_project_path() {
    use std::os::unix::ffi::OsStrExt;

    let place = Place::new(&[]);
    let folder = place.0.path().join(std::ffi::OsStr::from_bytes(b"\xffx"));
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("p.yaml"), PIPELINE).unwrap();
    let athanor = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_athanor"));
        let output = command.current_dir(&folder).args(arguments).env("NO_COLOR", "1").output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(athanor(&["run", "p.yaml"]).contains("1 ran"));
    assert!(athanor(&["status", "p.yaml"]).contains("1 of 1 fresh"));
    assert!(athanor(&["explain", "p.yaml", "a", "--set", "word=two"]).contains("echo two"));
    athanor(&["logs", "p.yaml", "a"]);
    assert!(athanor(&["cache", "gc", "--keep-runs=1"]).contains("; 1 kept"));
    assert!(athanor(&["run", "p.yaml"]).contains("1 cached"));
}
