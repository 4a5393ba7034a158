//! The agent: a process on a node that takes requests, runs them as the local executor does, and writes down what happens.

mod host;
mod scratch;
mod work;

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use athanor_cache::{AgentLock, Cache, OutputRecord, explain};

use crate::plan::InstanceId;
use crate::run::executor::job::{Executor, Exit, JobEvent, ResourceUse, Stop};
use crate::run::executor::local::{LocalExecutor, LocalExecutorConfig};
use crate::run::executor::resources::{Allocation, Capacity, Pool};
use crate::run::executor::thread_pool::ThreadPool;

use super::folder::{Shared, StopRequest, append, names, stop_request, take};
use super::messages::{AgentLine, AgentSpec, PROTOCOL, Request, StoppedBy};
pub(crate) use host::AgentHost;
use host::{Identity, capacity, time_limit};
use scratch::{LocalAttempt, NodeScratch};

/// Shortest pause between two looks into the folder, while there is news …
const MIN_PAUSE: Duration = Duration::from_millis(2);
/// … and the longest one.
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// Time for which an agent waits until its node shows what its run has written for it.
const EARLIEST: Duration = Duration::from_secs(60);
/// Time after which a shared folder that is read-only is taken to stay so.
const READ_ONLY: Duration = Duration::from_secs(60);
/// Time for which an agent that is over tries to write its last lines down.
const LAST_FLUSH: Duration = Duration::from_secs(600);
/// Earliest time before its notice at which a cluster may say that the time limit is near: its clock ticks by the minute.
const EARLY: Duration = Duration::from_secs(75);

/// Time for which an end by a signal is held back: a cluster that ends a job may reach a stage before its agent.
const DOUBT: Duration = Duration::from_secs(2);

/// Message to the agent's only thread.
enum Message {
    /// An attempt was laid out in the node's own folder, or not.
    Placed(InstanceId, io::Result<LocalAttempt>),
    /// Event of a job.
    Job(JobEvent),
    /// Outputs of an attempt were stored, or not.
    Stored(InstanceId, Result<Vec<OutputRecord>, Exit>),
    /// The cluster asks it to end.
    Signal,
}

/// Attempt in progress.
struct Running {
    request: Request,
    allocation: Allocation,
    /// The attempt in the node's own folder, if it works there.
    local: Option<LocalAttempt>,
    began: Instant,
    stopped_by: Option<StoppedBy>,
    lock: Option<AgentLock>,
    /// Resources that its processes used, once they have ended.
    used: Option<ResourceUse>,
    /// Duration of its work, once that is done.
    worked: Option<Duration>,
    /// Exit by a signal that nobody here sent, and when it was.
    doubt: Option<(Instant, Exit)>,
}

struct Agent {
    spec: AgentSpec,
    shared: Shared,
    queue: PathBuf,
    folder: PathBuf,
    host: AgentHost,
    cache: Arc<Cache>,
    /// Folder of the node's own for attempts.
    scratch: Option<Arc<NodeScratch>>,
    capacity: Capacity,
    pool: Pool,
    executor: LocalExecutor,
    threads: ThreadPool,
    sender: Sender<Message>,
    begun: Instant,
    /// Time limit of its job, as far as known.
    time: Option<Duration>,
    running: HashMap<InstanceId, Running>,
    next: u32,
    /// Lines to be written.
    lines: Vec<u8>,
    /// When the shared folder was first read-only, until it is not.
    read_only_since: Option<Instant>,
    /// Requests to stop that were followed.
    stopped: Vec<String>,
    signalled: bool,
    /// Reason of the cluster's signal.
    signal: Option<StoppedBy>,
    /// Whether it did an attempt, or gave it up.
    has_worked: bool,
    last_work: Instant,
    last_beat: Instant,
}

/// Runs the agent of the submission `token` in the folder `root` until it has nothing more to do.
///
/// # Errors
/// A sentence, if it cannot begin.
pub(crate) fn main(root: &Path, token: &str, host: AgentHost) -> Result<(), String> {
    let shared = Shared { root: root.to_owned() };
    let path = shared.job(&format!("{token}.json"));
    let text = read_early(&path).map_err(|error| {
        let help = "Does this node see the cache at the same path?";
        format!("`{}` cannot be read: {error}. {help}", path.display())
    })?;
    let spec: AgentSpec = serde_json::from_slice(&text)
        .map_err(|_| format!("`{}` is damaged. Cancel the run, and run again.", path.display()))?;
    if spec.protocol != PROTOCOL {
        return Err("This program is of another version than the one that submitted this job. Use the same version on all nodes.".to_owned());
    }
    let cache = Cache::open(&spec.cache).map_err(|error| error.to_string())?;
    let _use = cache.use_shared().map_err(|error| error.to_string())?;
    let (sender, messages) = channel();
    Agent::begin(shared, spec, token, host, Arc::new(cache), sender)?.run(&messages)
}

/// Reads a file that was written before this process was started, perhaps just now and on another machine.
fn read_early(path: &Path) -> io::Result<Vec<u8>> {
    let begun = Instant::now();
    loop {
        match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound && begun.elapsed() < EARLIEST => {
                std::thread::sleep(MAX_PAUSE);
            }
            other => return other,
        }
    }
}

impl Agent {
    fn begin(
        shared: Shared,
        spec: AgentSpec,
        token: &str,
        host: AgentHost,
        cache: Arc<Cache>,
        sender: Sender<Message>,
    ) -> Result<Agent, String> {
        let identity = Identity::of(&host, token, &shared);
        let Identity { name, queue, job, node } = identity.map_err(|error| {
            format!("`{}` cannot be used: {}", shared.root.display(), explain(&shared.root, &error))
        })?;
        let queue = shared.queue(spec.queue.as_deref().unwrap_or(&queue));
        let open = |written: &String| NodeScratch::open(written, &host, cache.root(), &name, spec.scratch_limit);
        let scratch = spec.scratch.as_ref().map(open);
        let scratch = scratch.transpose()?.map(Arc::new);
        let folder = shared.agent(&name);
        let (capacity, time) = (capacity(&host, &spec), time_limit(&host, &spec));
        let jobs = sender.clone();
        let on_job = Arc::new(move |event| drop(jobs.send(Message::Job(event))));
        let signals = sender.clone();
        // Without a handler the process ends at the first signal, and its stages with it.
        let _ = ctrlc::set_handler(move || drop(signals.send(Message::Signal)));
        let threads = ThreadPool::default();
        let config = LocalExecutorConfig {
            program: host.program.clone(),
            mark: format!("{name}.{job}.{}", std::process::id()),
            within: String::new(),
            log_limit: spec.log_limit,
        };
        let executor = LocalExecutor::new(config, on_job, threads.clone());
        let now = Instant::now();
        let mut agent = Agent {
            spec,
            shared,
            queue,
            folder,
            host,
            cache,
            scratch,
            pool: Pool::new(&capacity),
            capacity,
            executor,
            threads,
            sender,
            begun: now,
            time,
            running: HashMap::new(),
            next: 0,
            lines: Vec::new(),
            read_only_since: None,
            stopped: Vec::new(),
            signalled: false,
            signal: None,
            has_worked: false,
            last_work: now,
            last_beat: now,
        };
        agent.line(&AgentLine::Hello { job, node });
        append(&agent.folder, &mut agent.lines, true).map_err(|error| {
            format!("`{}` cannot be written to: {}", agent.folder.display(), explain(&agent.folder, &error))
        })?;
        Ok(agent)
    }

    /// # Errors
    /// A sentence, if the shared folder stays read-only: nobody learns what this does.
    fn run(mut self, messages: &Receiver<Message>) -> Result<(), String> {
        let mut pause = MIN_PAUSE;
        loop {
            let message = match messages.recv_timeout(pause) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => unreachable!("the agent holds a sender itself"),
            };
            let mut is_news = message.is_some();
            message.into_iter().chain(messages.try_iter()).for_each(|message| self.handle(message));
            self.settle_doubts();
            self.follow_stop_requests();
            is_news |= self.take_requests();
            if self.last_beat.elapsed() >= self.spec.beat {
                self.line(&AgentLine::Beat);
                self.last_beat = Instant::now();
            }
            if !self.flush() {
                // The run has removed the folder: nobody wants what this does.
                self.stop_all(Stop::Now, StoppedBy::Run);
            }
            let is_read_only = self.read_only_since.is_some_and(|since| since.elapsed() >= READ_ONLY);
            if is_read_only {
                self.stop_all(Stop::Now, StoppedBy::Run);
            }
            if self.running.is_empty() && (is_read_only || self.is_over()) {
                self.line(&AgentLine::Left);
                return self.flush_last();
            }
            pause = if is_news { MIN_PAUSE } else { (pause * 3 / 2).min(MAX_PAUSE) };
        }
    }

    /// Whether it ends when nothing of it runs.
    fn is_over(&self) -> bool {
        let is_done = self.spec.is_for_one() && self.has_worked;
        let is_idle = self.last_work.elapsed() >= self.spec.idle;
        self.signalled || is_done || is_idle || !self.folder.exists() || self.shared.is_closed()
    }

    fn line(&mut self, line: &AgentLine) {
        // What cannot be written as JSON is no line of ours.
        if let Ok(mut text) = serde_json::to_vec(line) {
            text.push(b'\n');
            self.lines.append(&mut text);
        }
    }

    /// Writes the lines down; returns false if the folder is gone.
    fn flush(&mut self) -> bool {
        if self.lines.is_empty() {
            return true;
        }
        // A full disk, or a server that is away for a moment: they are written later.
        let written = append(&self.folder, &mut self.lines, false);
        match &written {
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
                self.read_only_since.get_or_insert_with(Instant::now);
            }
            _ => self.read_only_since = None,
        }
        written.is_ok() || self.folder.exists()
    }

    /// Writes the last lines down, without which its work would be done again; gives up after a while, and at once where the folder is
    /// read-only.
    fn flush_last(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        while self.flush() && !self.lines.is_empty() && begun.elapsed() < LAST_FLUSH {
            if self.read_only_since.is_some() {
                let error = std::io::Error::from(ErrorKind::ReadOnlyFilesystem);
                let why = explain(&self.folder, &error);
                return Err(format!("`{}` cannot be written to: {why}", self.folder.display()));
            }
            std::thread::sleep(MAX_PAUSE);
        }
        Ok(())
    }

    /// Time until its job ends, as far as known.
    fn time_left(&self) -> Option<Duration> {
        self.time.map(|time| time.saturating_sub(self.begun.elapsed()))
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Placed(id, placed) => self.placed(id, placed),
            Message::Job(JobEvent::Report(id, report)) => {
                if let Some(running) = self.running.get(&id) {
                    let key = running.request.key.clone();
                    self.line(&AgentLine::Report { key, report });
                }
            }
            Message::Job(JobEvent::BadReport(id, text)) => {
                if let Some(running) = self.running.get(&id) {
                    let key = running.request.key.clone();
                    self.line(&AgentLine::BadReport { key, text });
                }
            }
            Message::Job(JobEvent::Used(id, used)) => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.used = Some(used);
                }
            }
            Message::Job(JobEvent::Exited(id, exit)) => self.exited(id, exit),
            // The local executor sends no others.
            Message::Job(_) => {}
            Message::Stored(id, Ok(outputs)) => self.end(id, Exit::Success, outputs),
            Message::Stored(id, Err(exit)) => self.end(id, exit, Vec::new()),
            Message::Signal => {
                self.signalled = true;
                let near = self.spec.notice + EARLY;
                let is_limit = self.time_left().is_some_and(|left| left <= near);
                let by = if is_limit { StoppedBy::TimeLimit } else { StoppedBy::Cluster };
                self.signal = Some(by);
                self.stop_all(Stop::Gently, by);
            }
        }
    }

    fn stop_all(&mut self, how: Stop, by: StoppedBy) {
        let working = self.running.iter_mut().filter(|(_, running)| running.worked.is_none());
        for (id, running) in working {
            running.stopped_by.get_or_insert(by);
            self.executor.stop(*id, how);
        }
    }

    fn follow_stop_requests(&mut self) {
        if self.running.is_empty() {
            return;
        }
        for name in names(&self.folder) {
            let request = stop_request(&name).filter(|_| !self.stopped.contains(&name));
            let Some(StopRequest { key, how }) = request else { continue };
            let of_key = self.running.iter_mut().find(|(_, running)| running.request.key == key);
            if let Some((id, running)) = of_key.filter(|(_, running)| running.worked.is_none()) {
                running.stopped_by.get_or_insert(StoppedBy::Run);
                self.executor.stop(*id, how);
            }
            self.stopped.push(name);
        }
    }

    /// Takes requests as long as they fit; returns whether it took any.
    fn take_requests(&mut self) -> bool {
        let mut took = false;
        if self.signalled || self.pool.is_exhausted() || (self.spec.is_for_one() && self.has_worked) {
            return false;
        }
        let mut lacks_time = false;
        for name in names(&self.queue) {
            let path = self.queue.join(&name);
            let Ok(text) = std::fs::read(&path) else { continue };
            let Ok(mut request) = serde_json::from_slice::<Request>(&text) else { continue };
            // As on one machine: with fewer CPUs it works more slowly.
            request.resources.cpus = request.resources.cpus.map(|cpus| cpus.min(self.capacity.cpus));
            if !self.has_time_for(&request) {
                lacks_time = true;
                continue;
            }
            if self.cache.has_agent(&request.fingerprint) {
                // An agent of a run that was killed is still at the same work.
                continue;
            }
            let allocation = self.pool.take(&request.resources);
            let is_too_large = allocation.is_none() && self.running.is_empty();
            if allocation.is_none() && !is_too_large {
                break;
            }
            if !take(&path, &self.folder.join(&name)) {
                allocation.iter().for_each(|allocation| self.pool.give_back(allocation));
                continue;
            }
            (took, self.has_worked, self.last_work) = (true, true, Instant::now());
            match allocation {
                Some(allocation) => self.start(request, allocation),
                None => self.refuse(request),
            }
            if self.pool.is_exhausted() || self.spec.is_for_one() {
                break;
            }
        }
        // Others have to be started for what it leaves.
        self.signalled |= lacks_time && !took && self.running.is_empty();
        took
    }

    /// Whether its job lasts long enough for a request.
    fn has_time_for(&self, request: &Request) -> bool {
        let (Some(left), Some(expected)) = (self.time_left(), request.expected) else { return true };
        // A job of its own has the time that was asked for.
        self.spec.is_for_one() || left > expected + expected / 4 + self.spec.notice
    }
}
