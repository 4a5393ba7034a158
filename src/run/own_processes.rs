//! Processes that this one starts for itself, such as connections to a remote cache. A run looks after all its children, and these
//! are nobody's leftovers, whatever mark they inherit.

use std::collections::HashSet;
use std::io;
use std::process::{Child, Command};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use super::program_search::start_error;

static RUNNING: LazyLock<Mutex<HashSet<u32>>> = LazyLock::new(Mutex::default);

/// Starts a process of our own.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    // Under the lock, so that nobody finds a child that is not yet known.
    let mut running = running();
    let child = command.spawn().map_err(|error| start_error(command, error))?;
    running.insert(child.id());
    Ok(child)
}

/// Notes that a process of our own has ended and was waited for.
pub(crate) fn ended(process: u32) {
    running().remove(&process);
}

/// Whether a child, which was found before this is asked, is a process of our own.
pub(crate) fn is_own(process: i32) -> bool {
    u32::try_from(process).is_ok_and(|process| running().contains(&process))
}

fn running() -> MutexGuard<'static, HashSet<u32>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}
