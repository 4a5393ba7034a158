//! A control group for the processes of a run, where the system grants one.
//!
//! A process can shed its marks, its parent and its folder; it stays in its group, and so do those that it starts. The
//! run enters a group of its own before its first stage; the reaper, which stays outside, kills the group whole when the run
//! has been killed. One group a run costs two moves; one an attempt would cost more than a small stage itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::run::executor::machine::control_group::MemoryGroup;

/// How names of such groups begin.
const PREFIX: &str = "athanor-run-";
/// Names of a group's list of processes, …
const PROCESSES: &str = "cgroup.procs";
/// … and of its switch.
const KILL: &str = "cgroup.kill";
/// Text that a process writes to a list to be on it itself.
const THIS_PROCESS: &str = "0";
/// Pause before a group whose processes are still ending is removed again.
const END_PAUSE: Duration = Duration::from_millis(5);
/// Number of attempts to remove a group after which it stays.
const MAX_REMOVALS: u32 = 200;

/// Control group of a run, which is made, and perhaps entered.
#[derive(Debug)]
pub(super) struct RunGroup {
    /// Folder of the group that the run was in before.
    home: PathBuf,
    folder: PathBuf,
    entered: bool,
}

impl RunGroup {
    /// Makes a group for the run called `name` below the one that this process is in; `None` where there is no version 2, this
    /// user may not make one, or the kernel (before 5.14) cannot kill it whole.
    pub(super) fn make(name: &str) -> Option<RunGroup> {
        let home = MemoryGroup::find_unified(Path::new("/"))?;
        sweep(&home);
        let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let folder = home.join(format!("{PREFIX}{}-{name}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = RunGroup { home, folder, entered: false };
        group.folder.join(KILL).exists().then_some(group)
    }

    /// Folder of the group.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Moves this process into the group; the processes that it has started stay where they are.
    pub(super) fn enter(mut self) -> Option<RunGroup> {
        self.entered = fs::write(self.folder.join(PROCESSES), THIS_PROCESS).is_ok();
        self.entered.then_some(self)
    }
}

impl Drop for RunGroup {
    fn drop(&mut self) {
        // What cannot be left or removed harms nobody: the next run in the same place removes it when it is empty.
        if self.entered {
            let _ = fs::write(self.home.join(PROCESSES), THIS_PROCESS);
        }
        remove_tree(&self.folder);
    }
}

/// Kills every process in the group `folder` of a run that is gone, also in groups below, and removes it.
pub(super) fn kill_all(folder: &Path) {
    for _ in 0..MAX_REMOVALS {
        if fs::write(folder.join(KILL), "1").is_err() || remove_tree(folder) {
            return;
        }
        std::thread::sleep(END_PAUSE);
    }
}

/// Removes empty groups that killed runs have left in `home`.
fn sweep(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let run = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        // One that is about to be entered is empty, too.
        if run.is_some_and(|run| !Path::new("/proc").join(run.to_string()).exists()) {
            remove_tree(&entry.path());
        }
    }
}

/// Removes a group and those below it; returns whether it is gone. The kernel refuses for groups with processes, so that
/// nothing that is in use goes.
fn remove_tree(folder: &Path) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_tree(&entry.path());
    }
    fs::remove_dir(folder).is_ok()
}
