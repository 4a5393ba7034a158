//! A cache that two users of a team share. Needs the superuser, to be two others, with `fs.protected_hardlinks` as it is.

mod support;

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use athanor_cache::Digest;
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
        if !support::is_root() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let (cache, program) = (folder.path().join("cache"), folder.path().join("athanor"));
        std::fs::create_dir(&cache).unwrap();
        chown(&cache, None, Some(TEAM)).unwrap();
        // By another process: one that this one starts meanwhile would have the copy open, and nobody could start it.
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_athanor")).arg(&program).status().unwrap().success());
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

    /// A file in the folder of results of a user.
    fn result(&self, user: u32, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{user}/results/p/d/{name}"))).unwrap()
    }

    fn shell(&self, user: u32, line: &str) -> Outcome {
        let mut shell = Command::new("sh");
        let output = shell
            .args(["-c", line])
            .uid(user)
            .gid(TEAM)
            .env("NO_COLOR", "1")
            .env("HOME", self.folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .output()
            .unwrap();
        Outcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The only file of this name below a folder of the cache.
fn find(team: &Team, below: &str, name: &str) -> PathBuf {
    let line = format!("find {}/{below} -name '{name}'", team.cache().display());
    let found = succeeds(team.shell(USERS[0], &line));
    assert_eq!(found.lines().count(), 1, "{below}, {name}: {found}");
    PathBuf::from(found.trim_end())
}

/// Flips a bit, as a disk does: whoever owns the file, and leaving owner and mode as they are.
fn let_rot(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[0] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Writes into a kept plan what another line would have left there, with the seal that the program gave the plan.
fn forge(plan: &Path, line: &str, by: &str) {
    const HEAD: usize = 80;
    let bytes = std::fs::read(plan).unwrap();
    let (magic, key, body) = (&bytes[..16], &bytes[16..48], &bytes[HEAD..]);
    assert_eq!(line.len(), by.len(), "a plan knows lengths");
    let at = body.windows(line.len()).position(|window| window == line.as_bytes()).expect("the line is in the plan");
    let body = [&body[..at], by.as_bytes(), &body[at + line.len()..]].concat();
    let digits: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let seal = Digest::keyed(&digits.parse().unwrap(), &body);
    let forged = [magic, key, seal.bytes(), &body].concat();
    // As a member of the team would: another file in its place, in a folder that the team may write.
    std::fs::remove_file(plan).unwrap();
    std::fs::write(plan, forged).unwrap();
    set_mode(plan, 0o644);
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn succeeds(outcome: Outcome) -> String {
    assert_eq!(outcome.code, 0, "{outcome:?}");
    outcome.out
}

#[test]
fn what_one_has_made_the_other_uses_verifies_and_collects_as_root() {
    let Some(team) = Team::new("002") else { return };
    let [one, other] = USERS;
    succeeds(team.athanor(one, "run p.yaml"));
    assert!(succeeds(team.athanor(other, "run p.yaml")).contains("1 ran, 1 cached"));
    succeeds(team.athanor(one, "run p.yaml --set v=7"));
    assert!(
        succeeds(team.athanor(other, "cache gc --keep-runs=1")).contains("dropped 1 result"),
        "another one's folders go, too"
    );
    assert!(succeeds(team.athanor(one, "cache verify")).contains(" 0 damaged"));
    let quarantine = team.cache().join("quarantine");
    assert_eq!(quarantine.read_dir().unwrap().count(), 0, "nothing sound is set aside");
    // A file that rots is found by whoever looks, and made again by either.
    let find = format!("find {}/trees -name same", team.cache().display());
    let found = succeeds(team.shell(one, &find));
    let rotten = Path::new(found.lines().next().unwrap());
    std::fs::write(rotten, "rot!\n").unwrap();
    let verified = team.athanor(other, "cache verify");
    assert!(verified.out.contains("damaged folder"), "{verified:?}");
    succeeds(team.athanor(one, "run p.yaml --set v=7"));
    succeeds(team.athanor(other, "run p.yaml"));
    assert!(succeeds(team.athanor(one, "cache verify")).contains(" 0 damaged"));
}

#[test]
fn a_cache_made_without_sharing_is_refused_with_what_mends_it_as_root() {
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
    succeeds(shared.athanor(other, "cache gc --keep-runs=1"));
}

#[test]
fn each_finds_and_mends_what_rots_of_the_others_as_root() {
    let Some(team) = Team::new("002") else { return };
    let [one, other] = USERS;
    for (maker, finder) in [(one, other), (other, one)] {
        succeeds(team.athanor(maker, "run p.yaml"));
        let line = format!("grep -l {maker} {}/trees/*/*/own", team.cache().display());
        let_rot(Path::new(succeeds(team.shell(finder, &line)).trim_end()));
        let verified = team.athanor(finder, "cache verify");
        assert!(verified.code == 1 && verified.out.contains("damaged folder"), "{verified:?}");
        succeeds(team.athanor(finder, "run p.yaml"));
        succeeds(team.athanor(maker, "run p.yaml"));
        assert_eq!(team.result(maker, "own"), format!("{maker}\n"));
        assert!(succeeds(team.athanor(finder, "cache gc")).contains("set aside as damaged"), "quarantine is freed");
        assert!(succeeds(team.athanor(finder, "cache verify")).contains(" 0 damaged"));
    }
    let file = find(&team, "objects", &Digest::of(b"same\n").to_string());
    let_rot(&file);
    let verified = team.athanor(other, "cache verify");
    assert!(verified.code == 1 && verified.out.contains("damaged file"), "{verified:?}");
    for user in USERS {
        succeeds(team.athanor(user, "run p.yaml"));
        assert!(succeeds(team.athanor(user, "cache verify")).contains(" 0 damaged"));
    }
}

#[test]
fn a_plan_that_another_user_has_forged_is_never_run_as_root() {
    let Some(team) = Team::new("002") else { return };
    let [one, other] = USERS;
    succeeds(team.athanor(one, "status p.yaml"));
    let made_with_plan_of = |owner: u32, mode: u32| {
        let plan = find(&team, "pipelines", "plan");
        forge(&plan, "echo same", "echo evil");
        chown(&plan, Some(owner), Some(TEAM)).unwrap();
        set_mode(&plan, mode);
        // Whatever is remembered of earlier runs, this one goes by the plan.
        succeeds(team.athanor(one, "run p.yaml --force file"));
        team.result(one, "same")
    };
    assert_eq!(made_with_plan_of(other, 0o644), "same\n");
    assert_eq!(made_with_plan_of(0, 0o644), "same\n");
    // Where others may write, it may be theirs.
    assert_eq!(made_with_plan_of(one, 0o664), "same\n");
    assert_eq!(made_with_plan_of(one, 0o600), "evil\n", "else this test would show nothing");
}

#[test]
fn content_that_may_not_be_read_is_not_called_damaged_as_root() {
    let Some(team) = Team::new("002") else { return };
    let [one, other] = USERS;
    succeeds(team.athanor(one, "run p.yaml"));
    let file = find(&team, "objects", &Digest::of(b"same\n").to_string());
    set_mode(&file, 0o400);
    let verified = team.athanor(other, "cache verify");
    assert_eq!(verified.code, 1, "{verified:?}");
    assert!(
        verified.err.contains("Permission denied") && verified.err.contains(file.to_str().unwrap()),
        "{verified:?}"
    );
    assert_eq!(team.cache().join("quarantine").read_dir().unwrap().count(), 0, "nothing sound is set aside");
    set_mode(&file, 0o444);
    assert!(succeeds(team.athanor(other, "cache verify")).contains(" 0 damaged"));
}
