//! The controller: alone holds the state of a run's jobs on a cluster, on a thread of its own.
//!
//! It writes requests, reads what agents write, and asks the cluster's queue about what is silent. Where it does not know, it
//! waits: an attempt ends when its last line is there, or when the queue says that its job is over and no line has come since.

mod adoption;
mod array_size;
mod attempts;
mod ends;
mod excluded;
mod jobs;
mod unwritable;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use athanor_cache::{Digest, StatSnapshot};
use athanor_stages::context::StageReport;

use crate::plan::InstanceId;
use crate::run::executor::job::{Exit, Job, JobEvent, JobListener, Stop};

use super::batch::{Answer, BatchClient, JobStatus};
use super::folder::LineReader;
use super::messages::Ended;
use super::placing::{Assignment, Earlier};
use super::{ClusterConfig, ClusterFolder};
use array_size::ArraySize;

/// Shortest pause between two looks, while there is news …
const MIN_PAUSE: Duration = Duration::from_millis(2);
/// … and the longest one.
const MAX_PAUSE: Duration = Duration::from_millis(500);
/// Longest interval of the lines that say that an agent lives.
const MAX_BEAT: Duration = Duration::from_secs(10);
/// Time for which outputs that an agent reports are waited for, until the file system shows them.
const VISIBLE: Duration = Duration::from_secs(90);
/// Time that an attempt which is to be killed has.
const KILL_TIME: Duration = Duration::from_secs(10);

/// Command to the controller.
pub(super) enum Command {
    /// Starts a job.
    Start(Box<Job>),
    /// No more are started for now.
    Flush,
    /// Stops a job.
    Stop(InstanceId, Stop),
    /// Answer of the cluster's queue.
    Answer(Answer),
    /// Cancels whatever is left, and ends.
    Close,
}

/// Number of times that attempts of an instance were ended by something that another attempt may be spared.
#[derive(Default)]
struct EarlierEnds {
    /// Time limits of their jobs.
    time_limits: u32,
    /// Signals of the cluster's.
    signals: u32,
    /// Losses of their agents, for no known reason.
    losses: u32,
}

/// Step that an attempt has reached.
enum Step {
    /// It waits for a job of its own to be submitted.
    New,
    /// Its request is in this queue.
    Queued(String),
    /// An agent has it.
    Taken(String),
    /// A signal from the cluster ended it on this agent; the queue is to say why.
    Signalled(String),
    /// It ended on this agent, and its outputs are not seen yet.
    Settling(String, Box<Ended>, Instant),
}

/// Attempt in progress.
struct Attempt {
    key: String,
    /// Name of its request.
    file: String,
    fingerprint: Digest,
    assignment: Assignment,
    step: Step,
    log: PathBuf,
    /// Log of the run that it was taken over from.
    earlier_log: Option<PathBuf>,
    /// Root of its folder.
    folder: PathBuf,
    /// State that was kept of the work when it began.
    state: Option<StatSnapshot>,
    /// Folder of that state.
    state_folder: PathBuf,
    /// Whether its agent took the cluster's signal for that of the time limit.
    was_near_limit: bool,
    stop: Option<Stop>,
    kill_by: Option<Instant>,
    /// Place in the queue as it was told last.
    told: Option<(String, Option<String>)>,
    request: Vec<u8>,
}

/// Job of the cluster.
struct ClusterJob {
    token: String,
    /// Number in the cluster's queue.
    number: Option<String>,
    /// Queue that its agent takes from.
    queue: String,
    is_own: bool,
    /// Whether it was submitted for all nodes but those that failed.
    leaves_nodes_out: bool,
    status: Option<JobStatus>,
    /// Its latest agent.
    agent: Option<String>,
    /// Number of looks into the queue, one after the other, in which it was not there.
    missing: u32,
    /// Last sign of life.
    heard: Instant,
    is_over: bool,
    /// Whether a run that was killed submitted it and did not note its number.
    is_unnoted: bool,
    /// When the queue first said that it is over.
    over_since: Option<Instant>,
    /// Work whose next attempt it waits for, since it was put back into the cluster's queue.
    wanted: Option<Digest>,
}

/// An agent's lines.
struct AgentFile {
    job: String,
    reader: LineReader,
    number: String,
    node: String,
    has_left: bool,
    /// Whether nothing is expected of it any more.
    is_gone: bool,
}

/// Work that a killed run has left with an agent.
struct Left {
    key: String,
    /// Its request.
    request: Vec<u8>,
    agent: Option<String>,
    /// Its request, if no agent has it yet.
    queued: Option<QueuedRequest>,
    log: PathBuf,
    folder: PathBuf,
    /// Reports so far.
    reports: Vec<StageReport>,
    ended: Option<Ended>,
}

/// Request that lies in a queue.
struct QueuedRequest {
    /// Name of the queue.
    queue: String,
    /// Name of its file.
    file: String,
}

/// Controller of a run's jobs.
pub(super) struct Controller {
    config: ClusterConfig,
    folder: ClusterFolder,
    events: JobListener,
    batch: BatchClient,
    attempts: HashMap<InstanceId, Attempt>,
    by_key: HashMap<String, InstanceId>,
    jobs: BTreeMap<String, ClusterJob>,
    agents: HashMap<String, AgentFile>,
    /// Work of a killed run, by fingerprint.
    left: HashMap<Digest, Left>,
    /// Fingerprint of that work, by key.
    left_keys: HashMap<String, Digest>,
    earlier: HashMap<InstanceId, Earlier>,
    /// Earlier ends of attempts that another one followed, by instance.
    ends: HashMap<InstanceId, EarlierEnds>,
    next_token: u32,
    next_key: u32,
    /// Jobs that failed before their agents began, one after the other.
    failed_starts: u32,
    /// Nodes that failed, which further jobs leave out.
    excluded: BTreeSet<String>,
    array_size: ArraySize,
    poll_after: Duration,
    /// When the queue was last asked, or answered.
    polled: Instant,
    /// When it was last asked.
    asked: Instant,
    is_polling: bool,
    /// Whether somebody waits for the queue's word.
    is_urgent: bool,
    /// Sentences that were told.
    told: HashSet<String>,
    /// Number of submissions that the queue may know of.
    submissions: usize,
    /// Number of times, one after the other, that the queue could not be asked.
    failed_polls: u32,
    /// Whether everything was started that can be for now: alike attempts become one array.
    is_complete: bool,
    /// When it was last tried whether the shared folder can be written to.
    checked: Instant,
    /// When it first could not, until it can.
    unwritable_since: Option<Instant>,
}

impl Controller {
    pub(super) fn new(
        config: ClusterConfig,
        folder: ClusterFolder,
        events: JobListener,
        batch: BatchClient,
    ) -> Controller {
        let poll_after = config.slurm.poll;
        Controller {
            config,
            folder,
            events,
            batch,
            attempts: HashMap::new(),
            by_key: HashMap::new(),
            jobs: BTreeMap::new(),
            agents: HashMap::new(),
            left: HashMap::new(),
            left_keys: HashMap::new(),
            earlier: HashMap::new(),
            ends: HashMap::new(),
            next_token: 0,
            next_key: 0,
            failed_starts: 0,
            excluded: BTreeSet::new(),
            array_size: ArraySize::new(),
            poll_after,
            polled: Instant::now(),
            asked: Instant::now(),
            is_polling: false,
            is_urgent: false,
            told: HashSet::new(),
            submissions: 0,
            failed_polls: 0,
            is_complete: true,
            checked: Instant::now(),
            unwritable_since: None,
        }
    }

    /// Serves commands until it is closed.
    pub(super) fn run(mut self, commands: &Receiver<Command>) {
        self.adopt();
        let mut pause = MIN_PAUSE;
        loop {
            let first = match commands.recv_timeout(pause) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            let mut is_news = first.is_some();
            let mut is_closed = false;
            for command in first.into_iter().chain(commands.try_iter()) {
                match command {
                    Command::Start(job) => self.start(*job),
                    Command::Flush => self.is_complete = true,
                    Command::Stop(id, how) => self.stop(id, how),
                    Command::Answer(answer) => self.answered(answer),
                    Command::Close => is_closed = true,
                }
            }
            if is_closed {
                break;
            }
            is_news |= self.look();
            is_news |= self.settle();
            self.submit();
            self.poll();
            self.check_folder();
            pause = if is_news { MIN_PAUSE } else { (pause * 3 / 2).min(MAX_PAUSE) };
        }
        self.close();
    }

    fn close(mut self) {
        self.folder.shared.close();
        if self.submissions > 0 && !self.batch.finish() {
            let name = &self.folder.name;
            let text = format!(
                "the jobs of this run could not be cancelled, and some may still be in the queue: `scancel --name=athanor-{name}` cancels \
                 them. One that starts ends at once, since there is nothing to do"
            );
            self.notice(text);
        }
        self.folder.remove();
    }

    fn tell(&self, event: JobEvent) {
        (self.events)(event);
    }

    /// Tells the user something about the run as a whole, once.
    fn notice(&mut self, text: String) {
        if self.told.insert(text.clone()) {
            self.tell(JobEvent::Notice(text));
        }
    }

    /// Interval of the lines that say that an agent lives.
    fn beat(&self) -> Duration {
        self.config.slurm.poll.min(MAX_BEAT)
    }

    /// Time after which an agent counts as silent: it has missed a few of these lines.
    fn silence(&self) -> Duration {
        self.beat() * 7 / 2
    }

    /// Number of jobs that are in the queue, or are about to be.
    fn live_jobs(&self) -> usize {
        self.jobs.values().filter(|job| !job.is_over).count()
    }

    /// Ends an attempt.
    fn exit(&mut self, id: InstanceId, exit: Exit) {
        let Some(attempt) = self.attempts.remove(&id) else { return };
        self.by_key.remove(&attempt.key);
        attempt.bring_log();
        self.tell(JobEvent::Exited(id, exit));
    }
}

impl Attempt {
    /// Puts the log of a run that was killed in the place of this run's.
    fn bring_log(&self) {
        if let Some(earlier) = &self.earlier_log {
            // The place has a link, so that the log could be followed. A log that is gone is an empty one.
            let _ = std::fs::remove_file(&self.log);
            let _ = std::fs::copy(earlier, &self.log);
        }
    }

    /// Whether the state that is kept of the work changed since the attempt began.
    fn changed_state(&self) -> bool {
        match (&self.state, StatSnapshot::of(&self.state_folder).ok()) {
            (Some(before), Some(now)) => before.shows_change(&now, None),
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}
