//! The global thread pool that computes and hashes, with as many threads as the system gives.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use rayon::{ThreadBuilder, ThreadPoolBuilder};

use crate::heap::back_thread_with_huge_pages;
use crate::run::executor::os_limits;

/// Makes the process's pool of at most `wanted` threads; one that exists stays. Where the system gives fewer, it uses half of
/// them. An error has the remedy.
pub(crate) fn make_pool(wanted: usize) -> Result<(), String> {
    let mut spawned: Vec<Sender<ThreadBuilder>> = Vec::new();
    let mut refusal = None;
    while spawned.len() < wanted.max(1) && refusal.is_none() {
        match spawn() {
            Ok(thread) => spawned.push(thread),
            Err(error) => refusal = Some(error),
        }
    }
    if let Some(error) = refusal {
        spawned.truncate(spawned.len().div_ceil(2));
        if spawned.is_empty() {
            let advice = os_limits::advice(&error).map(|advice| format!(" {advice}")).unwrap_or_default();
            return Err(format!("No thread can be started: {error}.{advice}"));
        }
    }
    let (count, spawned) = (spawned.len(), Mutex::new(spawned));
    let give = |work| {
        let thread = spawned.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let sent = thread.and_then(|thread| thread.send(work).ok());
        sent.ok_or_else(|| io::Error::other("a thread of the pool has gone"))
    };
    // Fails only when a pool exists already, and then that one serves.
    let _ = ThreadPoolBuilder::new().num_threads(count).spawn_handler(give).build_global();
    Ok(())
}

/// Starts a thread that waits for its work, and ends when none can come any more.
fn spawn() -> io::Result<Sender<ThreadBuilder>> {
    let (sender, work) = channel::<ThreadBuilder>();
    let body = move || {
        back_thread_with_huge_pages();
        if let Ok(work) = work.recv() {
            work.run();
        }
    };
    thread::Builder::new().spawn(body).map(|_| sender)
}
