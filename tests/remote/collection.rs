//! `athanor cache gc --remote`, from outside.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::ssh::{SERVER, over_ssh};
use super::{PIPELINE, Team, fine, ran};
use crate::support::{Outcome, Project};

const DAY: u64 = 24 * 3600;

impl Team {
    /// Makes all that is shared look older than anything that stays for its age.
    fn age(&self) {
        for area in ["actions", "folders", "packs", "objects", "unfinished"] {
            self.keys(area).iter().for_each(|path| age(path, 60 * DAY));
        }
    }

    /// Checks that every record there has all that it names.
    fn check(&self) {
        let exists = |key: String| assert!(self.path(&key).exists(), "a record or a folder names {key}, which is gone");
        let json = |path: &Path, lines: usize| -> Value {
            let text = fs::read_to_string(path).unwrap();
            serde_json::from_str(text.splitn(lines, '\n').last().unwrap()).unwrap()
        };
        for path in self.keys("actions") {
            let document = json(&path, 2);
            let places = document["places"].as_object().unwrap();
            places.values().for_each(|place| exists(format!("packs/{}", place["pack"].as_str().unwrap())));
            let sealed: Value = serde_json::from_str(document["record"].as_str().unwrap()).unwrap();
            for output in sealed["record"]["outputs"].as_array().unwrap() {
                let artifact = &output["artifact"];
                let digest = artifact["digest"].as_str().unwrap();
                if artifact["kind"] != "folder" {
                    assert!(places.contains_key(digest), "{digest} is in no pack");
                    continue;
                }
                exists(format!("folders/{digest}"));
                for pack in json(&self.path("folders").join(digest), 1)["packs"].as_array().unwrap() {
                    exists(format!("packs/{}", pack["pack"].as_str().unwrap()));
                }
            }
        }
    }

    /// Another place with the same content, as old as here.
    fn copy(&self) -> Team {
        let copy = Team::new();
        let mut command = Command::new("cp");
        command.arg("-a").arg(self.path(".")).arg(copy.path(""));
        assert!(command.status().unwrap().success());
        copy
    }

    /// Number of results that another machine gets whole of those of pipelines with these factors.
    fn whole(&self, factors: &[u32]) -> usize {
        let get = |factor: &&u32| {
            let machine = self.machine("read-only");
            with_factor(&machine, **factor);
            let pulled = machine.athanor(&["cache", "pull", "p.yaml"]);
            // A result may be gone, and one that is there is whole.
            fine(&pulled);
            assert!(machine.athanor(&["cache", "verify"]).out.contains("0 damaged"));
            fine(&machine.run(&[]));
            ran(&machine) == 0
        };
        factors.iter().filter(get).count()
    }
}

/// A key may be gone by now.
fn age(path: &Path, seconds: u64) {
    if let Ok(file) = fs::File::open(path) {
        file.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }
}

/// Gives a machine's pipeline a stage that reads another factor, and with it another result.
fn with_factor(machine: &Project, factor: u32) {
    machine.write("p.yaml", &PIPELINE.replace("factor: 1", &format!("factor: {factor}")));
}

/// A team with the results of two factors, old, of which the machine's last run used the second one.
fn two_results(address: impl Fn(&Team) -> String) -> (Team, Project) {
    let team = Team::new();
    let machine = team.machine_at(&address(&team), "read-write");
    for factor in [1, 2] {
        with_factor(&machine, factor);
        let outcome = over_ssh(&machine, SERVER, &["run", "p.yaml"]);
        assert!(outcome.code == 0 && outcome.out.contains("note: pushed "), "{outcome:?}");
    }
    team.age();
    (team, machine)
}

fn of_folder(team: &Team) -> String {
    format!("file://{}", team.path("").display())
}

fn over_loopback(team: &Team) -> String {
    format!("ssh://host{}", team.path("").display())
}

const COLLECT: [&str; 4] = ["cache", "gc", "--remote", "--keep-runs=1"];

#[test]
fn what_no_run_uses_goes_and_is_listed_first() {
    for address in [of_folder, over_loopback] {
        let (team, machine) = two_results(address);
        let listed = over_ssh(&machine, SERVER, &[&COLLECT[..], &["--dry-run"]].concat());
        fine(&listed);
        assert!(listed.out.starts_with("would go:\n  sum ("), "{listed:?}");
        assert!(listed.out.contains("no recorded run of this cache uses it\n"), "{listed:?}");
        assert!(listed.out.contains("would drop 1 result and "), "{listed:?}");
        assert_eq!(team.keys("actions").len(), 4);
        // The last hundred runs count if nobody says otherwise, and so does what a pin keeps.
        let all = over_ssh(&machine, SERVER, &["cache", "gc", "--remote"]);
        assert!(all.code == 0 && all.out.contains("dropped 0 results") && all.out.contains("; 4 kept\n"), "{all:?}");
        fine(&machine.athanor(&["cache", "pin", "sum"]));
        let pinned = over_ssh(&machine, SERVER, &COLLECT);
        assert!(pinned.out.contains("dropped 0 results"), "{pinned:?}");
        fine(&machine.athanor(&["cache", "unpin", "sum"]));
        let done = over_ssh(&machine, SERVER, &COLLECT);
        assert!(done.code == 0 && done.out.starts_with("going:\n  sum ("), "{done:?}");
        assert!(done.out.contains("dropped 1 result and ") && done.out.contains("; 3 kept\n"), "{done:?}");
        assert_eq!((team.keys("actions").len(), team.keys("leases").len()), (3, 0));
        assert_eq!((team.whole(&[1]), team.whole(&[2])), (0, 1));
    }
}

#[test]
fn what_is_young_or_was_never_told_apart_stays() {
    let (team, machine) = two_results(of_folder);
    let keys = || ["actions", "folders", "packs"].map(|area| team.keys(area).len());
    let before = keys();
    // A machine without runs does not know what is in use.
    let nobody = team.machine("read-write");
    let outcome = nobody.athanor(&COLLECT);
    assert!(outcome.code == 1 && outcome.err.contains("it cannot be told which results are in use"), "{outcome:?}");
    let outcome = machine.athanor(&[&COLLECT[..], &["--older-than=1h"]].concat());
    assert!(outcome.code == 1 && outcome.err.contains("at least 1d"), "{outcome:?}");
    let outcome = machine.athanor(&[&COLLECT[..], &["--older-than=90d"]].concat());
    assert!(outcome.code == 0 && outcome.out.contains("dropped 0 results"), "{outcome:?}");
    let outcome = machine.athanor(&[&COLLECT[..], &["--max-size=1GiB"]].concat());
    assert!(outcome.code == 2 && outcome.err.contains("cannot be used with"), "{outcome:?}");
    for area in ["actions", "folders", "packs"] {
        team.keys(area).iter().for_each(|path| age(path, 2 * DAY));
    }
    let outcome = machine.athanor(&COLLECT);
    assert!(outcome.code == 0 && outcome.out.contains("dropped 0 results"), "{outcome:?}");
    assert_eq!(keys(), before);
    let outcome = machine.athanor(&[&COLLECT[..], &["--older-than=1d"]].concat());
    assert!(outcome.code == 0 && outcome.out.contains("dropped 1 result"), "{outcome:?}");
    let local = Project::new(PIPELINE);
    let outcome = local.athanor(&COLLECT);
    assert!(outcome.code == 2 && outcome.err.contains("there is no remote cache"), "{outcome:?}");
}

#[test]
fn what_a_machine_only_uses_stays_too() {
    let team = Team::with_results();
    team.age();
    // Its run fetched one result of three, and counts on the others.
    let second = team.machine("read-only");
    fine(&second.run(&[]));
    assert_eq!(ran(&second), 0);
    let outcome = second.athanor(&COLLECT);
    assert!(
        outcome.code == 0 && outcome.out.contains("dropped 0 results") && outcome.out.contains("; 3 kept"),
        "{outcome:?}"
    );
    assert_eq!(team.whole(&[1]), 1);
}

#[test]
fn a_connection_that_breaks_off_loses_nothing_that_is_named() {
    let (team, machine) = two_results(of_folder);
    let mut bytes = 60;
    loop {
        let copy = team.copy();
        machine.write("athanor.config.yaml", &format!("remote: \"{}\"\n", over_loopback(&copy)));
        // The client sees the end at once, and the server one of its own.
        let last = format!("sh -c \"$last\" | {{ dd bs=1 count={bytes} status=none; kill -9 $$; }}");
        let cut = SERVER.replace("exec sh -c \"$last\"", &last);
        let outcome = over_ssh(&machine, &cut, &COLLECT);
        copy.check();
        assert_eq!(copy.whole(&[2]), 1, "{bytes}: {outcome:?}");
        if outcome.code == 0 {
            assert!(bytes > 1000 && outcome.out.contains("dropped 1 result"), "{bytes}: {outcome:?}");
            return;
        }
        bytes *= 2;
    }
}

#[test]
fn pushes_and_collections_at_the_same_time_lose_nothing_that_is_named() {
    let team = Team::new();
    let collector = team.machine("read-write");
    with_factor(&collector, 100);
    fine(&collector.run(&[]));
    // Machines that make the same table and folder, so that each relies on what others have put there.
    let factors: Vec<u32> = (1..7).collect();
    let machines: Vec<Project> = factors.iter().map(|_| team.machine("read-write")).collect();
    for (machine, factor) in machines.iter().zip(&factors) {
        with_factor(machine, *factor);
        machine.write("athanor.config.yaml", &machine.read("athanor.config.yaml").replace("read-write", "off"));
        fine(&machine.run(&[]));
    }
    // Nothing that is shared is in use by the collector's next runs.
    collector
        .write("p.yaml", "athanor: 1\nname: p\nstages:\n  a: { kind: command, run: echo 1 > o, outputs: { o: o } }\n");
    fine(&collector.run(&[]));
    let start = |machine: &Project, arguments: &[&str]| {
        let mut command = machine.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for round in 0..4 {
        let mut processes = Vec::new();
        for machine in &machines {
            team.age();
            processes.push(start(&collector, &COLLECT));
            processes.push(start(machine, &["cache", "push", "p.yaml"]));
        }
        while !processes.is_empty() {
            team.age();
            processes.retain_mut(|process| process.try_wait().unwrap().is_none());
        }
        // Some are there and some are gone; none is there in part.
        team.check();
        assert_eq!(team.keys("leases").len(), 0, "round {round}");
    }
    machines.iter().for_each(|machine| fine(&machine.athanor(&["cache", "push", "p.yaml"])));
    assert_eq!(team.whole(&factors), factors.len());
}

#[test]
fn a_killed_collection_is_gone_on_with() {
    let (team, machine) = two_results(of_folder);
    for name in ["collection", "push-of-somebody"] {
        fs::create_dir_all(team.path("leases")).unwrap();
        fs::write(team.path("leases").join(name), "").unwrap();
        age(&team.path("leases").join(name), 3600);
    }
    let outcome: Outcome = machine.athanor(&COLLECT);
    assert!(outcome.code == 0 && outcome.out.contains("  1 file left by killed processes\n"), "{outcome:?}");
    assert!(outcome.out.contains("dropped 1 result"), "{outcome:?}");
    assert_eq!((team.whole(&[2]), team.keys("leases").len()), (1, 0));
}
