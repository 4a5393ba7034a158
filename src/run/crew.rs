//! Threads that are kept for the next task: a stage that takes a millisecond should not wait for threads to be made.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

type Task = Box<dyn FnOnce() + Send>;

/// As many threads as there ever were tasks at once. They end with the crew, each after the task it is at.
#[derive(Clone, Default)]
pub struct Crew {
    idle: Arc<Mutex<Vec<Sender<Task>>>>,
}

impl Crew {
    /// Does a task on a thread of its own.
    pub fn run(&self, task: impl FnOnce() + Send + 'static) {
        let mut task: Task = Box::new(task);
        while let Some(thread) = lock(&self.idle).pop() {
            // A thread that is gone gives the task back.
            match thread.send(task) {
                Ok(()) => return,
                Err(unsent) => task = unsent.0,
            }
        }
        let idle = Arc::downgrade(&self.idle);
        thread::spawn(move || {
            let (sender, tasks) = channel::<Task>();
            loop {
                task();
                let Some(idle) = idle.upgrade() else { return };
                lock(&idle).push(sender.clone());
                drop(idle);
                match tasks.recv() {
                    Ok(next) => task = next,
                    Err(_) => return,
                }
            }
        });
    }
}

fn lock(idle: &Mutex<Vec<Sender<Task>>>) -> std::sync::MutexGuard<'_, Vec<Sender<Task>>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_at_once_do_not_wait_for_each_other_and_threads_are_used_again() {
        let crew = Crew::default();
        let (meet, met) = channel();
        let (go, gone) = channel::<()>();
        crew.run({
            let meet = meet.clone();
            move || {
                let _ = gone.recv();
                meet.send(thread::current().id()).unwrap();
            }
        });
        crew.run({
            let meet = meet.clone();
            move || meet.send(thread::current().id()).unwrap()
        });
        let second = met.recv().unwrap();
        go.send(()).unwrap();
        let first = met.recv().unwrap();
        assert_ne!(first, second);
        while lock(&crew.idle).len() < 2 {
            thread::yield_now();
        }
        crew.run(move || meet.send(thread::current().id()).unwrap());
        assert!([first, second].contains(&met.recv().unwrap()));
    }
}
