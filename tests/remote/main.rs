//! The remote cache, from outside: two machines with caches of their own and a folder that they share.

mod collection;
mod lies;
mod ssh;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use support::{Outcome, Project, events, wait_until};
use tempfile::TempDir;

/// Makes a table, a folder of 200 files from it, and a number from that, which is the result.
const PIPELINE: &str = "\
athanor: 1
name: p
vars: { factor: 1 }
stages:
  table:
    kind: command
    run: seq 200 > ${{ outputs.o }}; echo line of the log; echo x >> $ATHANOR_PROJECT/ran
    outputs: { o: table.txt }
  folder:
    kind: command
    inputs: { t: table.o }
    run: mkdir ${{ outputs.o }}; while read n; do echo file $n > ${{ outputs.o }}/$n; done < ${{ inputs.t }}; echo x >> $ATHANOR_PROJECT/ran
    outputs: { o: files/ }
  sum:
    kind: command
    inputs: { f: folder.o }
    run: cat ${{ inputs.f }}/* | wc -l | awk -v k=${{ vars.factor }} '{ print $1 * k }' > ${{ outputs.o }}; echo x >> $ATHANOR_PROJECT/ran
    outputs: { o: sum.txt }
results: { sum.txt: sum.o }
";

/// Machines that share a folder.
struct Team {
    folder: TempDir,
}

impl Team {
    fn new() -> Team {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("team")).unwrap();
        Team { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("team").join(name)
    }

    /// A machine that uses the folder in this mode.
    fn machine(&self, mode: &str) -> Project {
        self.machine_at(&format!("file://{}", self.path("").display()), mode)
    }

    fn machine_at(&self, address: &str, mode: &str) -> Project {
        let project = Project::new(PIPELINE);
        project.write("athanor.config.yaml", &format!("remote: {{ url: \"{address}\", mode: {mode} }}\n"));
        project
    }

    /// The folder after one machine has made and pushed everything.
    fn with_results() -> Team {
        let team = Team::new();
        let outcome = team.machine("read-write").run(&[]);
        assert!(outcome.code == 0 && outcome.out.contains("note: pushed 3 results"), "{outcome:?}");
        team
    }

    fn keys(&self, area: &str) -> Vec<PathBuf> {
        fs::read_dir(self.path(area)).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
    }
}

/// Number of stages that were carried out.
fn ran(project: &Project) -> usize {
    fs::read_to_string(project.path("ran")).unwrap_or_default().lines().count()
}

fn fine(outcome: &Outcome) {
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

/// Bytes in a machine's store.
fn stored(project: &Project) -> u64 {
    fn size(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries
            .map(|entry| if entry.path().is_dir() { size(&entry.path()) } else { entry.metadata().unwrap().len() })
            .sum()
    }
    size(&project.path(".athanor/objects"))
}

#[test]
fn a_second_machine_makes_nothing_and_fetches_only_the_result() {
    let team = Team::with_results();
    let second = team.machine("read-only");
    let outcome = second.run(&["--json"]);
    fine(&outcome);
    assert_eq!((ran(&second), events(&outcome.out, "cached").len()), (0, 3));
    assert_eq!(second.read("results/p/sum.txt"), "200\n");
    assert!(stored(&second) < 1000, "{}", stored(&second));
    // What is here is here without the folder; the rest is asked for again, and made where nobody answers.
    fine(&second.run(&[]));
    assert_eq!(ran(&second), 0);
    fine(&second.athanor(&["cache", "pull", "p.yaml"]));
    fs::remove_dir_all(team.path("")).unwrap();
    let outcome = second.run(&[]);
    assert!(outcome.code == 0 && ran(&second) == 0 && !outcome.out.contains("remote"), "{outcome:?}");
    let verified = second.athanor(&["cache", "verify"]);
    assert!(verified.out.contains("0 damaged"), "{verified:?}");
}

#[test]
fn a_stage_that_runs_gets_what_it_reads_and_no_more() {
    let team = Team::with_results();
    let second = team.machine("read-write");
    second.edit("factor: 1", "factor: 3");
    let outcome = second.run(&[]);
    fine(&outcome);
    assert_eq!((ran(&second), second.read("results/p/sum.txt").as_str()), (1, "600\n"));
    // What it made is there for the next one.
    let third = team.machine("read-only");
    third.edit("factor: 1", "factor: 3");
    fine(&third.run(&[]));
    assert_eq!((ran(&third), third.read("results/p/sum.txt").as_str()), (0, "600\n"));
}

#[test]
fn push_and_pull_say_what_they_did() {
    let team = Team::new();
    let [first, second] = ["read-only", "off"].map(|mode| team.machine(mode));
    let nothing = first.athanor(&["cache", "push", "p.yaml"]);
    assert!(nothing.code == 0 && nothing.out.contains("pushed 0 results"), "{nothing:?}");
    assert!(nothing.out.contains("3 instances are not up to date"), "{nothing:?}");
    fine(&first.run(&[]));
    let pushed = first.athanor(&["cache", "push", "p.yaml", "folder"]);
    assert!(
        pushed.code == 0 && pushed.out.starts_with("pushed 2 results (") && !pushed.out.contains("there already"),
        "{pushed:?}"
    );
    let pushed = first.athanor(&["cache", "push", "p.yaml"]);
    assert!(pushed.out.starts_with("pushed 1 result (") && pushed.out.contains(", 2 there already"), "{pushed:?}");
    // With `off`, runs ask nobody.
    let pulled = second.athanor(&["cache", "pull", "p.yaml", "sum"]);
    assert!(pulled.code == 0 && pulled.out.starts_with("pulled 1 result (4 B)"), "{pulled:?}");
    let pulled = second.athanor(&["cache", "pull", "p.yaml"]);
    assert!(pulled.out.starts_with("pulled 2 results (") && pulled.out.contains("1 here already"), "{pulled:?}");
    fine(&second.run(&[]));
    assert_eq!(ran(&second), 0);
    assert!(second.athanor(&["logs", "p.yaml", "table"]).out.contains("line of the log"));
    second.edit("factor: 1", "factor: 9");
    let pulled = second.athanor(&["cache", "pull", "p.yaml"]);
    assert!(pulled.code == 0 && pulled.out.contains("not in the remote cache: sum\n"), "{pulled:?}");
}

#[test]
fn without_a_remote_cache_there_is_nothing_to_push_to() {
    let project = Project::new(PIPELINE);
    for command in [&["cache", "push", "p.yaml"][..], &["cache", "pull", "p.yaml"], &["status", "p.yaml", "--remote"]] {
        let outcome = project.athanor(command);
        assert!(outcome.code == 2 && outcome.err.contains("there is no remote cache"), "{outcome:?}");
    }
    let none = project.athanor(&["status", "p.yaml"]);
    assert!(!none.out.contains("remote"), "{none:?}");
}

#[test]
fn status_asks_only_if_it_is_told_to() {
    let team = Team::with_results();
    let second = team.machine("read-only");
    let status = second.athanor(&["status", "p.yaml"]);
    assert!(
        status.out.contains("0 of 3 fresh\nnote: the remote cache was not asked; `--remote` asks it\n"),
        "{status:?}"
    );
    let status = second.athanor(&["status", "p.yaml", "--remote"]);
    assert!(status.out.contains("0 of 3 fresh, 3 in the remote cache\n"), "{status:?}");
    let explained = second.athanor(&["explain", "p.yaml", "sum", "--remote"]);
    assert!(explained.out.contains("sum is in the remote cache: a run fetches what it needs of it."), "{explained:?}");
    let json = second.athanor(&["status", "p.yaml", "--remote", "--json"]);
    assert_eq!(json.out.matches("\"standing\": \"remote\"").count(), 3, "{json:?}");
    assert_eq!(stored(&second), 0);
}

#[test]
fn a_promise_that_is_not_kept_is_made_good_here() {
    let team = Team::with_results();
    for area in ["packs", "folders"] {
        for path in team.keys(area) {
            fs::remove_file(path).unwrap();
        }
        let second = team.machine("read-only");
        let outcome = second.run(&[]);
        fine(&outcome);
        assert_eq!((ran(&second), second.read("results/p/sum.txt").as_str()), (3, "200\n"), "{outcome:?}");
        assert_eq!(outcome.out.matches("does not hold what it promises").count(), 1, "{outcome:?}");
        // The same for what a stage reads.
        let third = team.machine("read-only");
        third.edit("factor: 1", "factor: 2");
        fine(&third.run(&[]));
        assert_eq!((ran(&third), third.read("results/p/sum.txt").as_str()), (3, "400\n"));
        assert!(third.athanor(&["cache", "verify"]).out.contains("0 damaged"));
        fine(&third.run(&[]));
        assert_eq!(ran(&third), 3);
    }
    // Who made it mends it.
    let first = team.machine("read-write");
    fine(&first.run(&[]));
    fine(&first.athanor(&["cache", "push", "p.yaml", "--again"]));
    let second = team.machine("read-only");
    fine(&second.run(&[]));
    assert_eq!(ran(&second), 0);
}

#[test]
fn what_is_damaged_is_told_and_not_used() {
    let team = Team::with_results();
    for area in ["packs", "actions"] {
        for path in team.keys(area) {
            let mut bytes = fs::read(&path).unwrap();
            for byte in &mut bytes {
                *byte ^= 1;
            }
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
        }
        let second = team.machine("read-only");
        let outcome = second.run(&[]);
        fine(&outcome);
        assert_eq!((ran(&second), second.read("results/p/sum.txt").as_str()), (3, "200\n"), "{outcome:?}");
        assert_eq!(outcome.out.matches("holds a damaged file").count(), 1, "{outcome:?}");
        assert!(second.athanor(&["cache", "verify"]).out.contains("0 damaged"));
        let pulled = team.machine("read-only").athanor(&["cache", "pull", "p.yaml"]);
        assert!(pulled.code == 1 && pulled.err.contains("holds a damaged file"), "{pulled:?}");
    }
}

#[test]
fn a_remote_cache_that_is_not_there_harms_nobody() {
    let team = Team::new();
    fs::remove_dir(team.path("")).unwrap();
    for (mode, lines) in [("read-only", 1), ("read-write", 1)] {
        let project = team.machine(mode);
        let outcome = project.run(&[]);
        fine(&outcome);
        assert_eq!((ran(&project), project.read("results/p/sum.txt").as_str()), (3, "200\n"));
        assert_eq!(outcome.out.matches("is not there. Is it mounted?").count(), lines, "{outcome:?}");
        assert_eq!(outcome.out.contains("3 results not pushed"), mode == "read-write", "{outcome:?}");
        assert!(!team.path("").exists());
        let pulled = project.athanor(&["cache", "pull", "p.yaml", "--cache", "other"]);
        assert!(pulled.code == 1 && pulled.err.contains("is not there. Is it mounted?"), "{pulled:?}");
    }
    let ssh = team.machine_at("ssh://nobody.invalid/x", "read-only");
    let outcome = Outcome::of({
        let mut command = ssh.command(&["run", "p.yaml"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", ssh::fake_ssh(&ssh, "echo no route to host >&2; exit 255")));
        command
    });
    fine(&outcome);
    assert_eq!(outcome.out.matches("cannot be reached: no route to host").count(), 1, "{outcome:?}");
}

#[test]
fn a_remote_cache_into_which_nothing_fits_harms_nobody() {
    let team = Team::new();
    // Where folders were, there is a file: whatever is put there is refused.
    fs::write(team.path("packs"), "").unwrap();
    let project = team.machine("read-write");
    let outcome = project.run(&[]);
    fine(&outcome);
    assert_eq!((ran(&project), project.read("results/p/sum.txt").as_str()), (3, "200\n"));
    assert!(outcome.out.contains("`athanor cache push` pushes what is not there"), "{outcome:?}");
    assert!(team.keys("actions").is_empty());
}

#[test]
fn only_the_teams_results_count_where_it_has_a_key() {
    let team = Team::with_results();
    let with_key = |project: &Project, key: &str, arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.env("ATHANOR_REMOTE_KEY", key);
        Outcome::of(command)
    };
    let second = team.machine("read-write");
    let outcome = with_key(&second, "the key of this team", &["run", "p.yaml"]);
    assert_eq!((outcome.code, ran(&second)), (0, 3), "{outcome:?}");
    assert_eq!(outcome.out.matches("was not sealed with the team's key").count(), 1, "{outcome:?}");
    assert!(outcome.out.contains("pushed 3 results"), "{outcome:?}");
    let third = team.machine("read-only");
    assert_eq!(with_key(&third, "the key of this team", &["run", "p.yaml"]).code, 0);
    assert_eq!(ran(&third), 0);
    let stranger = team.machine("read-only");
    assert_eq!(with_key(&stranger, "the key of another team", &["run", "p.yaml"]).code, 0);
    assert_eq!(ran(&stranger), 3);
    let short = with_key(&stranger, "short", &["run", "p.yaml"]);
    assert!(short.code == 2 && short.err.contains("at least 16 characters"), "{short:?}");
    let file = team.machine("read-only");
    file.write("key", "the key of this team\n");
    file.write("athanor.config.yaml", &(file.read("athanor.config.yaml") + "remote.key_file: key\n"));
    fine(&file.run(&[]));
    assert_eq!(ran(&file), 0);
}

#[test]
fn a_collection_takes_nothing_that_is_needed() {
    let team = Team::with_results();
    let second = team.machine("read-only");
    second.edit("factor: 1", "factor: 3");
    fine(&second.run(&[]));
    fine(&second.athanor(&["cache", "gc"]));
    fine(&second.run(&[]));
    assert_eq!((ran(&second), second.read("results/p/sum.txt").as_str()), (1, "600\n"));
    // Nothing is left of what was elsewhere: it is made.
    fs::remove_dir_all(team.path("")).unwrap();
    fine(&second.athanor(&["cache", "gc"]));
    fs::remove_dir_all(second.path("results")).unwrap();
    fine(&second.run(&[]));
    assert_eq!(second.read("results/p/sum.txt"), "600\n");
}

#[test]
fn forced_instances_are_made_whatever_is_elsewhere() {
    let team = Team::with_results();
    let second = team.machine("read-only");
    assert_eq!(second.made(&["--force", "folder"]), ["folder"]);
    assert_eq!(second.read("results/p/sum.txt"), "200\n");
}

#[test]
fn equal_work_is_asked_for_once_and_made_once() {
    let pipeline = "athanor: 1\nname: p\nstages:\n  a:\n    kind: command\n    matrix: { n: [1, 2, 3] }\n    run: echo x > ${{ outputs.o }}; echo x >> $ATHANOR_PROJECT/ran\n    outputs: { o: o.txt }\n";
    let team = Team::new();
    let project = team.machine("read-write");
    project.write("p.yaml", pipeline);
    let outcome = project.run(&[]);
    fine(&outcome);
    assert_eq!(ran(&project), 1, "{outcome:?}");
    let second = team.machine("read-only");
    second.write("p.yaml", pipeline);
    let outcome = second.run(&["--json"]);
    assert_eq!((outcome.code, ran(&second), events(&outcome.out, "cached").len()), (0, 0, 3), "{outcome:?}");
}

/// Number of files in a machine's store.
fn files(project: &Project) -> usize {
    let list = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    list(project.path(".athanor/objects")).map(|shard| list(shard).count()).sum()
}

#[test]
fn a_killed_pull_leaves_nothing_wrong() {
    let team = Team::with_results();
    let second = team.machine("read-only");
    for objects in [0, 1, 40, 120, 201] {
        let mut pull = second.command(&["cache", "pull", "p.yaml"]).spawn().unwrap();
        wait_until("enough is pulled", || files(&second) >= objects || pull.try_wait().unwrap().is_some());
        let _ = pull.kill();
        pull.wait().unwrap();
        let verified = second.athanor(&["cache", "verify"]);
        assert!(verified.out.contains("0 damaged"), "{verified:?}");
    }
    fine(&second.athanor(&["cache", "pull", "p.yaml"]));
    fine(&second.run(&[]));
    assert_eq!(ran(&second), 0);
}
