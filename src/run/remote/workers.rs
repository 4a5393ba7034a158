//! A few threads for work that waits for a network.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::fatal_errors::or_exit;

type Task = Box<dyn FnOnce() + Send>;

/// Up to a number of threads, which end when nothing is left to do.
#[derive(Clone)]
pub(super) struct Workers {
    state: Arc<Mutex<State>>,
    most: usize,
}

#[derive(Default)]
struct State {
    tasks: VecDeque<Task>,
    threads: usize,
}

impl Workers {
    pub(super) fn new(most: usize) -> Workers {
        Workers { state: Arc::default(), most }
    }

    /// Does a task on one of the threads. Where the system gives none, it is done before this returns.
    pub(super) fn run(&self, task: impl FnOnce() + Send + 'static) {
        let mut state = lock(&self.state);
        state.tasks.push_back(Box::new(task));
        if state.threads >= self.most {
            return;
        }
        state.threads += 1;
        drop(state);
        let shared = Arc::clone(&self.state);
        if thread::Builder::new().spawn(move || work(&shared)).is_err() {
            work(&self.state);
        }
    }
}

fn work(shared: &Mutex<State>) {
    loop {
        let mut state = lock(shared);
        let Some(task) = state.tasks.pop_front() else {
            state.threads -= 1;
            return;
        };
        drop(state);
        or_exit(task);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn all_tasks_are_done_by_a_few_threads() {
        let workers = Workers::new(3);
        let (sender, done) = channel();
        for number in 0..100 {
            let sender = sender.clone();
            workers.run(move || sender.send((number, thread::current().id())).unwrap());
        }
        drop(sender);
        let mut numbers: Vec<u32> = done.iter().map(|(number, _)| number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
}
