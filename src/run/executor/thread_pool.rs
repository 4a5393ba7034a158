//! A pool of cached threads: a stage that takes a millisecond should not wait for threads to be made.

use std::collections::VecDeque;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::fatal_errors::or_exit;

type Task = Box<dyn FnOnce() + Send>;

/// Pool of as many threads as there ever were tasks at once, as long as the system gives them. They end with the pool, each
/// after its present task.
#[derive(Clone, Default)]
pub struct ThreadPool(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    idle: Vec<Sender<Task>>,
    /// Tasks for which there was no thread.
    waiting: VecDeque<Task>,
    /// Number of threads, idle or not.
    threads: usize,
}

impl ThreadPool {
    /// Runs a task on a thread of its own. Where the system gives no more threads, the task waits for one, and where there is
    /// none at all, it is done before this returns.
    pub fn run(&self, task: impl FnOnce() + Send + 'static) {
        let mut task: Task = Box::new(task);
        while let Some(thread) = lock(&self.0).idle.pop() {
            // A thread that has ended gives the task back.
            match thread.send(task) {
                Ok(()) => return,
                Err(unsent) => task = unsent.0,
            }
        }
        if let Err(task) = self.spawn(task) {
            let mut state = lock(&self.0);
            if state.threads > 0 {
                return match state.idle.pop() {
                    // One has become idle meanwhile; it looks for what waits before it ends.
                    Some(thread) => drop(thread.send(task)),
                    None => state.waiting.push_back(task),
                };
            }
            drop(state);
            task();
        }
    }

    /// Starts a thread that begins with a task; gives the task back if the system refuses.
    fn spawn(&self, task: Task) -> Result<(), Task> {
        lock(&self.0).threads += 1;
        let first = Arc::new(Mutex::new(Some(task)));
        let (pool, task) = (Arc::downgrade(&self.0), Arc::clone(&first));
        let spawned = thread::Builder::new().spawn(move || {
            let Some(mut task) = lock(&task).take() else { return };
            let (sender, tasks) = channel::<Task>();
            let _leave = ThreadExit(pool.clone());
            loop {
                or_exit(task);
                let Some(pool) = pool.upgrade() else { return };
                let next = {
                    let mut state = lock(&pool);
                    let next = state.waiting.pop_front();
                    if next.is_none() {
                        state.idle.push(sender.clone());
                    }
                    next
                };
                drop(pool);
                match next.map_or_else(|| tasks.recv(), Ok) {
                    Ok(next) => task = next,
                    Err(_) => return,
                }
            }
        });
        if spawned.is_ok() {
            return Ok(());
        }
        lock(&self.0).threads -= 1;
        lock(&first).take().map_or(Ok(()), Err)
    }
}

/// Guard that counts a thread out when it ends.
struct ThreadExit(std::sync::Weak<Mutex<State>>);

impl Drop for ThreadExit {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            lock(&pool).threads -= 1;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_at_once_do_not_wait_for_each_other_and_threads_are_used_again() {
        let pool = ThreadPool::default();
        let (meet, met) = channel();
        let (go, gone) = channel::<()>();
        pool.run({
            let meet = meet.clone();
            move || {
                let _ = gone.recv();
                meet.send(thread::current().id()).unwrap();
            }
        });
        pool.run({
            let meet = meet.clone();
            move || meet.send(thread::current().id()).unwrap()
        });
        let second = met.recv().unwrap();
        go.send(()).unwrap();
        let first = met.recv().unwrap();
        assert_ne!(first, second);
        while lock(&pool.0).idle.len() < 2 {
            thread::yield_now();
        }
        pool.run(move || meet.send(thread::current().id()).unwrap());
        assert!([first, second].contains(&met.recv().unwrap()));
    }
}
