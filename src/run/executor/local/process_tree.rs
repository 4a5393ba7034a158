//! The process tree of a run: processes that it started, and orphans of theirs.
//!
//! The run is the reaper of all its descendants, so a process whose parent has ended becomes a child of the run, whatever
//! session or group it made for itself. When an attempt's leader has ended, its orphans are therefore found among the run's
//! own children: they are killed and looked for again until none is left.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;

use crate::run::executor::local::kept_state::PassedOn;
use crate::run::executor::local::landlock::Restriction;
use crate::run::executor::local::process_mark::{ATTEMPT_VARIABLE, RunMark, works_in};
use crate::run::own_processes;

/// First wait for processes that were killed; each further one is twice as long …
const FIRST_WAIT: Duration = Duration::from_micros(100);
/// … up to this.
const LONGEST_WAIT: Duration = Duration::from_millis(20);

/// Process tree of a run.
pub(super) struct ProcessTree {
    mark: RunMark,
    children: Children,
    starting: Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    attempts: u32,
    /// Leaders of running attempts, by number.
    running: HashMap<u32, Leader>,
    /// Children that belong to no attempt, or that cannot be killed.
    exempt: HashSet<i32>,
    /// Whether the run had children from the beginning: what these leave behind shows no mark either.
    had_children: bool,
}

/// Leader of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leader {
    /// Being started: any unknown child may be it.
    Starting,
    /// Process of this number.
    Process(i32),
    /// Reaped, or never started.
    Gone,
}

/// Process that cannot be killed, as it is another user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unkillable {
    /// Process id.
    pub process: i32,
    /// Name of its program.
    pub name: String,
}

impl ProcessTree {
    /// Makes this process the reaper of its descendants. Children that it has already are exempt.
    pub(super) fn new(mark: RunMark) -> ProcessTree {
        // If that is refused, orphans go to init, as usual.
        let _ = nix::sys::prctl::set_child_subreaper(true);
        let children = Children::open();
        let exempt: HashSet<i32> = children.list().into_iter().collect();
        let had_children = !exempt.is_empty();
        let state = State { exempt, had_children, ..State::default() };
        ProcessTree { mark, children, starting: Mutex::default(), state: Mutex::new(state) }
    }

    /// The run's mark.
    pub(super) fn mark(&self) -> &RunMark {
        &self.mark
    }

    /// Exempts a child that belongs to no attempt.
    pub(super) fn exempt(&self, process: i32) {
        self.state().exempt.insert(process);
    }

    /// Registers an attempt that is about to be started; returns its number.
    pub(super) fn begin(&self) -> u32 {
        let mut state = self.state();
        state.attempts += 1;
        let number = state.attempts;
        state.running.insert(number, Leader::Starting);
        number
    }

    /// Starts the attempt's leader, which has the attempt's marks, and its `restriction`, from its first instruction. It and what
    /// it starts have the file `inherited` open.
    pub(super) fn start(
        &self,
        number: u32,
        command: &mut Command,
        restriction: Option<Restriction>,
        inherited: Option<BorrowedFd<'_>>,
    ) -> std::io::Result<Child> {
        // One mark is a property of this process that children inherit, so that only one can be started at a time.
        let started = {
            let _alone = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
            self.mark.pass_on(number);
            command.env(ATTEMPT_VARIABLE, self.mark.variable(number));
            let passed_on = inherited.map(PassedOn::begin).transpose()?;
            let started = match restriction {
                Some(restriction) => restriction.spawn(command),
                None => command.spawn(),
            };
            drop(passed_on);
            started
        };
        if let Ok(leader) = &started {
            self.state().running.insert(number, Leader::Process(leader.id().cast_signed()));
        }
        started
    }

    /// Whether other attempts than this one have a process.
    pub(super) fn others_run(&self, number: u32) -> bool {
        self.state().running.iter().any(|(other, leader)| *other != number && matches!(leader, Leader::Process(_)))
    }

    /// Living processes of this run that belong to no leader any more.
    pub(super) fn living_orphans(&self) -> Vec<i32> {
        let state = self.state();
        self.orphans(&state).into_iter().filter(|process| !is_dead(*process)).collect()
    }

    /// Whether an attempt whose leader is gone has living orphans.
    pub(super) fn has_orphans_of(&self, number: u32) -> bool {
        self.living_orphans().into_iter().any(|process| self.mark.attempt_of(process) == Some(number))
    }

    /// Ends an attempt whose leader is gone and which worked in `folder`: returns when all its orphans are gone, too, except
    /// those that cannot be killed.
    pub(super) fn end(&self, number: u32, folder: &Path) -> Vec<Unkillable> {
        let mut sweep = Sweep { number, folder, dead: HashSet::new(), unkillable: Vec::new() };
        let mut wait = FIRST_WAIT;
        self.state().running.insert(number, Leader::Gone);
        loop {
            match self.pass(&mut sweep) {
                SweepResult::Nothing => break,
                SweepResult::Dead => {}
                SweepResult::Dying => {
                    std::thread::sleep(wait);
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        self.state().running.remove(&number);
        sweep.unkillable
    }

    /// Reaps orphans that have ended.
    pub(super) fn reap(&self) {
        let state = self.state();
        if state.nobody_starts() {
            for process in self.orphans(&state).into_iter().filter(|process| is_dead(*process)) {
                forget(process);
            }
        }
    }

    /// Looks at the orphans once. No child is reaped but under the lock, so that no number is another process's meanwhile.
    fn pass(&self, sweep: &mut Sweep<'_>) -> SweepResult {
        let mut state = self.state();
        let mut found = SweepResult::Nothing;
        for process in self.orphans(&state) {
            if is_dead(process) {
                // It may have left orphans of its own since the list was read.
                if sweep.dead.insert(process) {
                    found = found.max(SweepResult::Dead);
                }
                if state.nobody_starts() {
                    forget(process);
                    sweep.dead.remove(&process);
                }
            } else if self.belongs(process, sweep, &state) {
                match kill(Pid::from_raw(process), Signal::SIGKILL) {
                    Err(Errno::EPERM) => {
                        state.exempt.insert(process);
                        sweep.unkillable.push(Unkillable { process, name: name_of(process) });
                    }
                    _ => found = SweepResult::Dying,
                }
            }
        }
        found
    }

    /// Children that are neither exempt nor leaders.
    fn orphans(&self, state: &State) -> Vec<i32> {
        let mut orphans = self.children.list();
        orphans.retain(|process| {
            !own_processes::is_own(*process)
                && !state.exempt.contains(process)
                && !state.running.values().any(|leader| *leader == Leader::Process(*process))
        });
        orphans
    }

    /// Whether a living orphan is what the attempt has left behind.
    fn belongs(&self, process: i32, sweep: &Sweep<'_>, state: &State) -> bool {
        match self.mark.attempt_of(process) {
            Some(number) => number == sweep.number || !state.running.contains_key(&number),
            None => works_in(process, sweep.folder) || (state.running.len() == 1 && !state.had_children),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether every attempt's leader is known, so that no other child can be one.
    fn nobody_starts(&self) -> bool {
        self.running.values().all(|leader| *leader != Leader::Starting)
    }
}

/// Sweep of the orphans of one attempt.
struct Sweep<'f> {
    number: u32,
    folder: &'f Path,
    /// Dead processes that are not reaped.
    dead: HashSet<i32>,
    unkillable: Vec<Unkillable>,
}

/// Result of a look at the orphans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum SweepResult {
    /// Nothing of the attempt.
    Nothing,
    /// Processes that had ended.
    Dead,
    /// Processes that were killed and have yet to end.
    Dying,
}

/// List of this process's children.
enum Children {
    /// List by the kernel of the main thread's children, to which all orphans are given; other threads start the leaders.
    Listed(File),
    /// Search through all processes, where the kernel has no lists.
    Searched,
}

impl Children {
    fn open() -> Children {
        let process = std::process::id();
        File::open(format!("/proc/self/task/{process}/children")).map_or(Children::Searched, Children::Listed)
    }

    fn list(&self) -> Vec<i32> {
        let Children::Listed(file) = self else { return search() };
        let mut text = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = file.read_at(&mut chunk, text.len() as u64) {
            text.extend(&chunk[..count]);
        }
        let numbers =
            text.split(|byte| *byte == b' ').filter_map(|number| std::str::from_utf8(number).ok()?.parse().ok());
        numbers.collect()
    }
}

fn search() -> Vec<i32> {
    let us = std::process::id().cast_signed();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers.filter(|process| parent_of(*process) == Some(us)).collect()
}

/// Parent of a process, if that exists.
pub(super) fn parent_of(process: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The program's name is in parentheses and may hold anything.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// Name of a process's program.
pub(super) fn name_of(process: i32) -> String {
    fs::read_to_string(format!("/proc/{process}/comm"))
        .map_or_else(|_| "unknown".to_owned(), |name| name.trim().to_owned())
}

/// Whether a child has ended; it is not reaped.
fn is_dead(process: i32) -> bool {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(Pid::from_raw(process)), look), Ok(WaitStatus::StillAlive))
}

fn forget(process: i32) {
    // A process that is no child any more has been reaped.
    let _ = waitpid(Pid::from_raw(process), Some(WaitPidFlag::WNOHANG));
}
