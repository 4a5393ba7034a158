//! A cache that two users of a team share. Needs the superuser, to be two others.

mod support;

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::Outcome;

const TEAM: u32 = 64_100;
const USERS: [u32; 2] = [64_101, 64_102];

const PIPELINE: &str = r#"
athanor: 1
name: p
vars: { v: 1 }
stages:
  file: { kind: command, run: "echo same > ${{ outputs.o }}", outputs: { o: o.txt } }
  folder: { kind: command, inputs: { o: file }, run: "mkdir d; cp ${{ inputs.o }} d/same; echo ${{ vars.v }} > d/own", outputs: { d: d } }
results: { d: folder }
"#;

/// Two users with a project each, and a cache for both.
struct Team {
    folder: tempfile::TempDir,
    umask: &'static str,
}

impl Team {
    fn new(umask: &'static str) -> Option<Team> {
        let folder = tempfile::tempdir().unwrap();
        let (cache, program) = (folder.path().join("cache"), folder.path().join("athanor"));
        std::fs::create_dir(&cache).unwrap();
        if chown(&cache, None, Some(TEAM)).is_err() {
            println!("skipped: only the superuser can be two other users");
            return None;
        }
        std::fs::copy(env!("CARGO_BIN_EXE_athanor"), &program).unwrap();
        set_mode(folder.path(), 0o755);
        set_mode(&program, 0o755);
        set_mode(&cache, 0o2775);
        for user in USERS {
            let project = folder.path().join(user.to_string());
            std::fs::create_dir(&project).unwrap();
            std::fs::write(project.join("p.yaml"), PIPELINE.replace("v: 1", &format!("v: {user}"))).unwrap();
            chown(&project, Some(user), None).unwrap();
        }
        Some(Team { folder, umask })
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn athanor(&self, user: u32, arguments: &str) -> Outcome {
        let (umask, folder) = (self.umask, self.folder.path().display());
        self.shell(
            user,
            &format!("umask {umask}; cd {folder}/{user}; {folder}/athanor --cache {folder}/cache {arguments}"),
        )
    }

    fn shell(&self, user: u32, line: &str) -> Outcome {
        let mut shell = Command::new("sh");
        let output = shell.args(["-c", line]).uid(user).gid(TEAM).env("NO_COLOR", "1").output().unwrap();
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn succeeds(outcome: Outcome) -> String {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome.out
}

#[test]
fn what_one_has_made_the_other_uses_verifies_and_collects() {
    let Some(team) = Team::new("002") else { return };
    let [one, other] = USERS;
    succeeds(team.athanor(one, "run p.yaml"));
    assert!(succeeds(team.athanor(other, "run p.yaml")).contains("1 ran, 1 cached"));
    succeeds(team.athanor(one, "run p.yaml --set v=7"));
    assert!(succeeds(team.athanor(other, "cache gc")).contains("dropped 1 result"), "another one's folders go, too");
    assert!(succeeds(team.athanor(one, "cache verify")).contains(" 0 damaged"));
    let quarantine = team.cache().join("quarantine");
    assert_eq!(quarantine.read_dir().unwrap().count(), 0, "nothing sound is set aside");
    // A file that rots is found by whoever looks, and made again by either.
    let find = format!("find {}/trees -name same", team.cache().display());
    let found = succeeds(team.shell(one, &find));
    let rotten = Path::new(found.lines().next().unwrap());
    std::fs::write(rotten, "rot!\n").unwrap();
    let verified = team.athanor(other, "cache verify");
    assert!(verified.out.contains("damaged folder") && verified.out.contains("quarantine"), "{verified:?}");
    succeeds(team.athanor(one, "run p.yaml --set v=7"));
    succeeds(team.athanor(other, "run p.yaml"));
    assert!(succeeds(team.athanor(one, "cache verify")).contains(" 0 damaged"));
}

#[test]
fn a_cache_made_without_sharing_is_refused_with_what_mends_it() {
    let Some(team) = Team::new("022") else { return };
    let [one, other] = USERS;
    succeeds(team.athanor(one, "run p.yaml"));
    let refused = team.athanor(other, "run p.yaml");
    assert_eq!((refused.code, refused.err.lines().count()), (1, 1), "one message: {refused:?}");
    let (_, commands) = refused.err.split_once("run: `").unwrap_or_else(|| panic!("{refused:?}"));
    let (commands, rest) = commands.split_once('`').unwrap();
    assert!(rest.contains("umask 002"), "{refused:?}");
    succeeds(team.shell(one, commands));
    let shared = Team { umask: "002", ..team };
    assert!(succeeds(shared.athanor(other, "run p.yaml")).contains("1 ran, 1 cached"));
    assert!(succeeds(shared.athanor(other, "cache verify")).contains(" 0 damaged"));
    succeeds(shared.athanor(one, "run p.yaml --set v=9"));
    succeeds(shared.athanor(other, "cache gc"));
}
