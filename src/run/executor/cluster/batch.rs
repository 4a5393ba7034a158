//! The cluster's own queue: what is asked of it, and the thread that waits for its answers.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::placing::JobOptions;

/// Submissions that may follow each other at once …
const BURST: f64 = 10.0;
/// … and a second, after these.
const RATE: f64 = 2.0;
/// Pause after a submission that the queue could not take; each further one is twice as long …
const FIRST_BACKOFF: Duration = Duration::from_secs(2);
/// … up to this.
const MAX_BACKOFF: Duration = Duration::from_secs(120);

/// Submission of a job, or of an array of jobs.
#[derive(Debug, Clone)]
pub(super) struct Submission {
    /// Token that its agents are started with.
    pub token: String,
    /// Number of jobs, if it is an array.
    pub array: Option<usize>,
    /// Options.
    pub options: JobOptions,
    /// Nodes that are left out.
    pub exclude: Vec<String>,
    /// Time before the limit at which the signal comes.
    pub notice: Duration,
    /// Script.
    pub script: String,
    /// File for what the jobs print.
    pub output: PathBuf,
}

/// State of a job in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum JobState {
    /// It waits.
    Waiting,
    /// It runs, or is about to, or is ending.
    Running,
    /// It was cancelled.
    Cancelled,
    /// It reached its time limit.
    TimedOut,
    /// It was killed when it ran out of memory.
    OutOfMemory,
    /// Its node failed.
    NodeFailed,
    /// It was preempted for good, or lost in another way.
    Lost,
    /// It ended, well or not.
    Ended,
}

/// A job as the queue tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JobStatus {
    /// State.
    pub state: JobState,
    /// State in the queue's words.
    pub word: String,
    /// Reason why it waits, in the queue's words.
    pub reason: Option<String>,
    /// Nodes that it has or had.
    pub nodes: String,
}

impl JobStatus {
    /// Whether its processes ended by themselves and well, as far as the queue tells.
    pub(super) fn is_in_good_order(&self) -> bool {
        self.state == JobState::Ended && self.word == "COMPLETED"
    }
}

/// Refusal of the queue.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// Its words.
    pub message: String,
    /// Whether it may answer otherwise later.
    pub is_for_now: bool,
    /// Whether the queue was asked: its command was there and began.
    pub is_of_queue: bool,
}

impl Refusal {
    /// Refusal of a command that ended well and did not print the number of a job.
    pub(super) fn no_number(called: &str, printed: &str) -> Refusal {
        let printed = printed.trim();
        let printed = if printed.is_empty() { "nothing".to_owned() } else { format!("`{printed}`") };
        let message = format!("{called} printed {printed} in place of a job's number");
        Refusal { message, is_for_now: false, is_of_queue: true }
    }

    /// Refusal of an option of a user's, in place of the queue.
    pub(super) fn of_option(option: &str) -> Refusal {
        let message = format!(
            "the option `{option}` of `slurm.extra` is not for users to give, since runs rely on their own. Remove it"
        );
        Refusal { message, is_for_now: false, is_of_queue: true }
    }

    /// Whether fewer jobs at once may be taken.
    pub(super) fn is_of_number(&self) -> bool {
        let is_full = ["MaxSubmit", "submit limit"].iter().any(|sign| self.message.contains(sign));
        // Slurm's sentence about any limit names all sorts of them, also of those that a job exceeds by itself.
        self.message.contains("Invalid job array") || (is_full && self.is_for_now)
    }
}

/// A queue of jobs.
pub(super) trait BatchSystem: Send {
    /// Whether one submission may be for several jobs.
    fn has_arrays(&self) -> bool;
    /// Submits; returns the job's number.
    fn submit(&self, submission: &Submission) -> Result<String, Refusal>;
    /// All jobs that the queue knows of, by number.
    fn poll(&self) -> Result<HashMap<String, JobStatus>, Refusal>;
    /// States of jobs that the queue has forgotten, as far as anybody knows them.
    fn recall(&self, jobs: &[String]) -> HashMap<String, JobStatus>;
    /// Cancels jobs.
    fn cancel(&self, jobs: &[String]);
    /// Cancels all jobs of the run; returns whether the queue heard it.
    fn cancel_all(&self) -> bool;
    /// Takes a job that an earlier run submitted for one of its own.
    fn adopt(&self, _job: &str) {}
}

/// Order to the thread.
enum Order {
    Submit(Box<Submission>),
    Poll(Vec<String>),
    Cancel(Vec<String>),
    CancelAll,
    Adopt(String),
}

/// Answer of the queue.
#[derive(Debug)]
pub(super) enum Answer {
    /// A submission was taken.
    Submitted {
        /// Token of the submission.
        token: String,
        /// Number of its job.
        job: String,
    },
    /// A submission was refused for good.
    Refused {
        /// Token of the submission.
        token: String,
        /// The refusal.
        refusal: Refusal,
    },
    /// An array is larger than the queue takes, or than it takes at present; this is its token.
    TooLarge(String),
    /// The queue does not answer for now, as this sentence says.
    Busy(String),
    /// All jobs that it knows of, with those it had forgotten and somebody else knows.
    Polled(HashMap<String, JobStatus>),
    /// It cannot be asked at present, for this reason.
    NotPolled(Refusal),
}

/// Client of the queue: its commands may take seconds, and the executor does not wait.
pub(super) struct BatchClient {
    orders: Option<Sender<Order>>,
    thread: Option<JoinHandle<bool>>,
    /// Whether one submission may be for several jobs.
    pub(super) has_arrays: bool,
}

impl BatchClient {
    /// A client that sends answers to `on_answer`.
    pub(super) fn start(
        system: Box<dyn BatchSystem>,
        on_answer: impl Fn(Answer) + Send + 'static,
    ) -> std::io::Result<BatchClient> {
        let (orders, received) = channel();
        let has_arrays = system.has_arrays();
        let thread = std::thread::Builder::new().spawn(move || serve(&*system, &received, &on_answer))?;
        Ok(BatchClient { orders: Some(orders), thread: Some(thread), has_arrays })
    }

    fn send(&self, order: Order) {
        // The thread outlives this end of the channel.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }

    /// Submits.
    pub(super) fn submit(&self, submission: Submission) {
        self.send(Order::Submit(Box::new(submission)));
    }

    /// Asks for all jobs, of which these are expected to be known.
    pub(super) fn poll(&self, jobs: Vec<String>) {
        self.send(Order::Poll(jobs));
    }

    /// Cancels jobs.
    pub(super) fn cancel(&self, jobs: Vec<String>) {
        self.send(Order::Cancel(jobs));
    }

    /// Takes a job of an earlier run for one of this run's.
    pub(super) fn adopt(&self, job: String) {
        self.send(Order::Adopt(job));
    }

    /// Cancels whatever is left, and waits for that; returns whether the queue heard it.
    pub(super) fn finish(&mut self) -> bool {
        self.send(Order::CancelAll);
        self.orders = None;
        // It has ended in good order.
        self.thread.take().is_none_or(|thread| thread.join().unwrap_or(true))
    }
}

/// Token bucket, with a pause after refusals.
struct Bucket {
    tokens: f64,
    filled: Instant,
    backoff: Duration,
}

impl Bucket {
    fn new() -> Bucket {
        Bucket { tokens: BURST, filled: Instant::now(), backoff: FIRST_BACKOFF }
    }

    /// Time to wait for the next token, which is taken.
    fn take(&mut self, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * RATE).min(BURST) - 1.0;
        self.filled = now;
        Duration::from_secs_f64((-self.tokens / RATE).max(0.0))
    }

    fn refused(&mut self) -> Duration {
        let pause = self.backoff;
        self.backoff = (pause * 2).min(MAX_BACKOFF);
        pause
    }
}

/// A submission that waits for its time.
struct Waiting {
    submission: Box<Submission>,
    due: Instant,
}

/// Serves orders until there can be no more; returns whether the queue heard the last one, to cancel all.
fn serve(system: &dyn BatchSystem, orders: &Receiver<Order>, on_answer: &dyn Fn(Answer)) -> bool {
    let mut is_heard = true;
    let mut bucket = Bucket::new();
    let mut waiting: Vec<Waiting> = Vec::new();
    loop {
        let now = Instant::now();
        let due = waiting.iter().map(|waiting| waiting.due).min();
        let pause = due.map_or(Duration::from_secs(3600), |due| due.saturating_duration_since(now));
        match orders.recv_timeout(pause) {
            Ok(Order::Submit(submission)) => {
                let due = now + bucket.take(now);
                waiting.push(Waiting { submission, due });
            }
            Ok(Order::Poll(expected)) => on_answer(poll(system, &expected)),
            Ok(Order::Cancel(jobs)) => system.cancel(&jobs),
            Ok(Order::Adopt(job)) => system.adopt(&job),
            Ok(Order::CancelAll) => {
                waiting.clear();
                is_heard = system.cancel_all();
            }
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
            Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => return is_heard,
        }
        let now = Instant::now();
        let (due, later): (Vec<Waiting>, Vec<Waiting>) = waiting.into_iter().partition(|waiting| waiting.due <= now);
        waiting = later;
        for Waiting { submission, .. } in due {
            let token = submission.token.clone();
            match system.submit(&submission) {
                Ok(job) => {
                    bucket.backoff = FIRST_BACKOFF;
                    on_answer(Answer::Submitted { token, job });
                }
                Err(refusal) if submission.array.is_some() && refusal.is_of_number() => {
                    on_answer(Answer::TooLarge(token));
                }
                Err(Refusal { message, is_for_now: true, .. }) => {
                    on_answer(Answer::Busy(message));
                    waiting.push(Waiting { submission, due: Instant::now() + bucket.refused() });
                }
                Err(refusal) => on_answer(Answer::Refused { token, refusal }),
            }
        }
    }
}

fn poll(system: &dyn BatchSystem, expected: &[String]) -> Answer {
    match system.poll() {
        Ok(mut jobs) => {
            let forgotten: Vec<String> = expected.iter().filter(|job| !jobs.contains_key(*job)).cloned().collect();
            if !forgotten.is_empty() {
                jobs.extend(system.recall(&forgotten));
            }
            Answer::Polled(jobs)
        }
        Err(refusal) => Answer::NotPolled(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn submissions_come_in_bursts_and_then_at_a_rate() {
        let mut bucket = Bucket::new();
        let now = bucket.filled;
        let waits: Vec<u64> = (0..13).map(|_| bucket.take(now).as_millis() as u64).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 500, 1000, 1500]);
        assert_eq!(bucket.take(now + Duration::from_secs(100)), Duration::ZERO);
        let pauses: Vec<u64> = (0..8).map(|_| bucket.refused().as_secs()).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 32, 64, 120, 120]);
    }
}
