//! Runs of the program in which stages write to what they are only to read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use athanor_cache::Digest;

use super::actions::Action;
use super::made::Made;
use super::model::{Computation, Computed, Key};
use super::program::Case;
use super::project_dir::{Broken, ProjectDir, Ran};
use super::request::Request;
use super::shelf::digests;

/// How long processes may outlive a run that was killed.
const GRACE: Duration = Duration::from_secs(30);

/// What work does to its stored inputs, by its first word.
type Spoiling = HashMap<u32, Action>;

/// What the model says of such a run.
struct Expected {
    /// Everything as it should be, whatever fails.
    right: Computation,
    /// What can be done if what was executed again was lost.
    possible: Computation,
    /// What others may have read something else in.
    touched: HashSet<Digest>,
}

impl Case {
    /// A run in which some stages write to what they are only to read; perhaps one that is killed or interrupted, or ends at the
    /// first failure. Then one that goes through, in which they do not.
    pub(crate) fn spoilt(&mut self) -> Result<(), String> {
        let spoiling: Spoiling =
            (0..self.rng.u32(1..3)).map(|_| (self.rng.u32(0..4), Action::any(&mut self.rng))).collect();
        let broken: Broken = spoiling.iter().map(|(word, action)| (*word, action.lines())).collect();
        let cut = self.rng.u32(0..4) == 0 || self.collects_always;
        let request = Request { keep_going: self.rng.u32(0..4) > 0, ..self.request() };
        self.is_spoiling = true;
        let mut going = self.start(&request, &broken);
        self.is_spoiling = false;
        if cut {
            going.hear(self.rng.u32(0..16));
            std::thread::sleep(Duration::from_micros(self.rng.u64(0..15_000)));
            if self.rng.u32(0..4) == 0 {
                going.interrupt();
            } else {
                going.kill();
                self.kills += 1;
            }
        }
        let ran = self.end_of(going);
        let explain = |problem: String| format!("{problem}\n{spoiling:?}\n{}", ran.said);
        nobody_is_late(&self.place, ran.code.is_none()).map_err(explain)?;
        let whole = !cut && request.keep_going;
        let (certain, begun) = self.nothing_is_spoilt(&spoiling, &ran, whole).map_err(explain)?;
        // A stored file that was changed may be in folders that nobody uses now.
        self.is_doubtful = true;
        self.perhaps_collected()?;
        let again = self.whole_after(&certain, &begun).map(drop);
        again.map_err(|problem| format!("{problem}\nafter {spoiling:?}\n{}", ran.said))
    }

    fn expected(&mut self, spoiling: &Spoiling, ran: &Ran, all_may_have_begun: bool) -> Result<Expected, String> {
        let changes = |word: u32, input: &Made| spoiling.get(&word).is_some_and(|action| action.spoil.changes(input));
        let right = self.computed_with(ran, &|_| false, &changes, true, &HashSet::new())?;
        let executed = right.keys_of(&ran.started);
        let possible = self.computed_with(ran, &|_| false, &changes, false, &executed)?;
        let mut touched = HashSet::new();
        for one in right.instances.iter().filter(|one| all_may_have_begun || ran.started.contains(&one.name)) {
            let Some(action) = spoiling.get(&one.word).filter(|_| self.is_command(one)) else { continue };
            touched.extend(one.exposed.iter().filter(|input| action.spoil.touches(input)).flat_map(digests));
        }
        Ok(Expected { right, possible, touched })
    }

    /// Whatever is recorded is right, nobody fails for what others did, nothing is made again that nobody touched; if the run
    /// went through (`whole`), all is done that can be.
    fn nothing_is_spoilt(
        &mut self,
        spoiling: &Spoiling,
        ran: &Ran,
        whole: bool,
    ) -> Result<(HashSet<String>, HashSet<String>), String> {
        let Expected { right, possible, touched } = self.expected(spoiling, ran, !whole)?;
        let is_touched = |made: &Made| !digests(made).is_disjoint(&touched);
        let is_lost = |one: &Computed| one.contents.iter().any(|made| made.iter().any(is_touched));
        let by_name = right.by_name();
        // What a built-in kind makes is known when it is said to be finished, and then what reads it.
        let is_clear = |name: &&String| by_name[name.as_str()].key.is_some() || whole;
        if let Some(name) = ran.failed.iter().filter(is_clear).find(|name| !by_name[name.as_str()].fails) {
            return Err(format!("`{name}` failed for what others did"));
        }
        if let Some(name) = ran.finished.iter().find(|name| by_name[name.as_str()].fails) {
            return Err(format!("`{name}` was recorded, but changes its inputs"));
        }
        let mut times: BTreeMap<&Key, usize> = BTreeMap::new();
        for (name, count) in ran.times.iter().filter(|(name, _)| is_clear(name)) {
            let one = by_name[name.as_str()];
            let Some(key) = &one.key else { return Err(format!("`{name}` cannot be begun")) };
            if self.known.contains(key) && !is_lost(one) {
                return Err(format!("`{name}` was made again, though nobody touched it"));
            }
            let same = right.instances.iter().filter(|other| other.key.as_ref() == Some(key)).count();
            let is_touched = is_lost(one) || right.read_by(one).any(is_touched);
            let most = match (one.fails, is_touched) {
                (true, _) => same * (1 + usize::from(is_touched)),
                (false, true) => same + 1,
                (false, false) => 1,
            };
            let times = times.entry(key).or_default();
            *times += count;
            if *times > most {
                return Err(format!("`{name}` was made {times} times, where at most {most} are allowed"));
            }
        }
        if whole {
            if ran.code != Some(i32::from(!ran.failed.is_empty())) {
                return Err(format!("it ended with {:?}", ran.code));
            }
            let is_missing = |one: &&Computed| one.contents.is_some() && !ran.current.contains(&one.name);
            if let Some(missing) = possible.instances.iter().find(is_missing) {
                return Err(format!("`{}` was not done", missing.name));
            }
            self.place.holds(&self.project, &possible, |_| true)?;
        }
        Ok(self.take_note(&right, &possible, ran, (whole, &is_lost)))
    }

    /// What is recorded now, for all that is known, and what may be. Says which instances are certain to be, and which may be
    /// for all that is known of a run that was cut off.
    fn take_note(
        &mut self,
        right: &Computation,
        possible: &Computation,
        ran: &Ran,
        (whole, is_lost): (bool, &dyn Fn(&Computed) -> bool),
    ) -> (HashSet<String>, HashSet<String>) {
        let known = std::mem::take(&mut self.known);
        let is_kept = |one: &&Computed| one.key.as_ref().is_some_and(|key| known.contains(key)) && !is_lost(one);
        let kept: Vec<Key> = right.instances.iter().filter(is_kept).filter_map(|one| one.key.clone()).collect();
        // Whatever else was recorded may have lost something.
        self.maybe.extend(known);
        if whole {
            let done = possible.instances.iter().filter(|one| one.contents.is_some());
            self.known = done.filter_map(|one| one.key.clone()).collect();
            return (HashSet::new(), HashSet::new());
        }
        self.known = kept.into_iter().collect();
        let is_certain = |one: &&Computed| ran.finished.contains(&one.name) && one.contents.is_some() && !is_lost(one);
        let certain: HashSet<String> = right.instances.iter().filter(is_certain).map(|one| one.name.clone()).collect();
        let begun = right.instances.iter().filter(|one| !one.fails && ran.started.contains(&one.name));
        (certain, begun.map(|one| one.name.clone()).collect())
    }
}

/// No process of a stage goes on that holds a file open to write to it later. Where the run itself was killed, those that look
/// after its processes need a moment.
fn nobody_is_late(place: &ProjectDir, was_killed: bool) -> Result<(), String> {
    let names = std::fs::read_dir(place.folder.join("broken")).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let processes: Vec<String> = names.filter_map(|name| name.strip_prefix("late-").map(str::to_owned)).collect();
    let lives = |process: &String| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("late-writer")
    };
    let patience = Instant::now() + if was_killed { GRACE } else { Duration::ZERO };
    while let Some(process) = processes.iter().find(|process| lives(process)) {
        if Instant::now() >= patience {
            return Err(format!("process {process} of a stage has outlived the run"));
        }
        std::thread::yield_now();
    }
    Ok(())
}
