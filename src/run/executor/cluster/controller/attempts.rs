//! Attempts on their way: requests, and what agents write about them.

use std::time::{Duration, Instant};

use athanor_cache::{StatSnapshot, explain};

use crate::plan::{InstanceId, Work};
use crate::run::executor::job::{Exit, Job, JobEvent, Launch, Placement, Stop};

use super::super::folder::{LineReader, names};
use super::super::messages::{Access, AgentLine, Ended, Request};
use super::super::placing::{Assignment, assign};
use super::{AgentFile, Attempt, ClusterJob, Controller, KILL_TIME, Step};

/// Signal number of a gentle and of a forced end.
const TERM: i32 = 15;
const KILL: i32 = 9;

impl Controller {
    /// Starts a job, or takes it over from a run that was killed.
    pub(super) fn start(&mut self, job: Job) {
        let id = job.id;
        self.is_complete = false;
        let earlier = self.earlier.get(&id).copied().unwrap_or_default();
        let instance = &self.config.instances[id.index()];
        let assignment = assign(instance, self.config.expected[id.index()], earlier, &self.config.slurm);
        let attempt = self.attempt(job, assignment);
        self.by_key.insert(attempt.key.clone(), id);
        let fingerprint = attempt.fingerprint;
        self.attempts.insert(id, attempt);
        if let Some(left) = self.left.remove(&fingerprint) {
            return self.take_over(id, left);
        }
        self.start_new(id);
    }

    /// Queues an attempt that nobody has.
    pub(super) fn start_new(&mut self, id: InstanceId) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        let fingerprint = attempt.fingerprint;
        let queue = match attempt.assignment.is_own {
            // A job that was put back into the cluster's queue waits for another attempt at the same work.
            true => self.jobs.iter().find(|(_, job)| job.waits_for(fingerprint)).map(|(name, _)| name.clone()),
            false => Some(attempt.assignment.options.queue()),
        };
        let Some(queue) = queue else { return };
        if let Some(job) = self.jobs.get_mut(&queue) {
            job.wanted = None;
        }
        self.enqueue(id, queue);
    }

    /// Puts the request of an attempt into a queue.
    pub(super) fn enqueue(&mut self, id: InstanceId, queue: String) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        match self.folder.shared.enqueue(&queue, &attempt.file, &attempt.request) {
            Ok(()) => attempt.step = Step::Queued(queue),
            Err(error) => {
                let root = &self.folder.shared.root;
                let why = format!("Its request cannot be written to `{}`: {}", root.display(), explain(root, &error));
                self.exit(id, Exit::NotStarted(why));
            }
        }
    }

    fn attempt(&mut self, job: Job, assignment: Assignment) -> Attempt {
        self.next_key += 1;
        let instance = self.config.instances[job.id.index()].clone();
        let key = format!("{}.{}-{}", job.fingerprint, self.config.run, self.next_key);
        let cache = &self.config.cache;
        let state_folder = match instance.work {
            Work::Command(_) => cache.program_state_path(&job.fingerprint),
            Work::BuiltIn { .. } => cache.resume_state_path(&job.fingerprint),
        };
        let (worker, image) = match job.launch {
            Launch::Worker(mut worker) => {
                worker.shared_kernels = job.attempt.parent().map(|folder| folder.join("kernels"));
                (Some(worker), None)
            }
            Launch::Script(script) => (None, script.container.map(|container| container.image)),
        };
        let request = Request {
            key: key.clone(),
            fingerprint: job.fingerprint,
            instance,
            worker,
            image,
            attempt: job.attempt.clone(),
            log: job.log.clone(),
            access: job.access.as_ref().map(Access::of),
            resources: assignment.resources.clone(),
            expected: self.config.expected[job.id.index()],
            state: job.state.is_some(),
        };
        Attempt {
            file: format!("{:08}.{key}", self.next_key),
            key,
            fingerprint: job.fingerprint,
            assignment,
            step: Step::New,
            log: job.log,
            earlier_log: None,
            folder: job.attempt,
            state: StatSnapshot::of(&state_folder).ok(),
            state_folder,
            was_near_limit: false,
            stop: None,
            kill_by: None,
            told: None,
            // Every part of a request can be written as JSON.
            request: serde_json::to_vec(&request).unwrap_or_default(),
        }
    }

    /// Stops an attempt.
    pub(super) fn stop(&mut self, id: InstanceId, how: Stop) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.stop = Some(how);
        let number = if how == Stop::Now { KILL } else { TERM };
        let over = Exit::Signal { number, out_of_memory: false };
        match &attempt.step {
            Step::New | Step::Signalled(..) => self.exit(id, over),
            Step::Queued(queue) => {
                let queue = queue.clone();
                if self.folder.shared.withdraw(&queue, &attempt.file) {
                    self.cancel_own(&queue);
                    self.exit(id, over);
                }
                // Else an agent has taken it meanwhile.
            }
            Step::Taken(agent) => {
                let (agent, key) = (agent.clone(), attempt.key.clone());
                // An agent whose folder is gone has nothing to stop.
                let _ = self.folder.shared.ask_to_stop(&agent, &key, how == Stop::Now);
                if how == Stop::Now {
                    attempt.kill_by = Some(Instant::now() + KILL_TIME);
                }
            }
            // What is done is done.
            Step::Settling(..) => {}
        }
    }

    /// Cancels a job that is there for one attempt only.
    pub(super) fn cancel_own(&mut self, name: &str) {
        if let Some(job) = self.jobs.get_mut(name).filter(|job| job.is_own && !job.is_over) {
            job.is_over = true;
            self.batch.cancel(job.number.iter().cloned().collect());
        }
    }

    /// Reads what agents have written; returns whether there was anything.
    pub(super) fn look(&mut self) -> bool {
        let mut is_news = false;
        for name in names(&self.folder.shared.root.join("agents")) {
            if !self.agents.contains_key(&name) {
                self.meet(&name);
            }
            is_news |= self.read(&name);
        }
        self.kill_overdue();
        is_news
    }

    /// Reads what an agent has written, unless it is gone; returns whether there was anything.
    pub(super) fn read(&mut self, name: &str) -> bool {
        let Some(agent) = self.agents.get_mut(name).filter(|agent| !agent.is_gone) else { return false };
        let lines = agent.reader.read(&self.folder.shared.agent(name));
        if let Some(job) = self.jobs.get_mut(&agent.job).filter(|_| !lines.is_empty()) {
            job.heard = Instant::now();
        }
        for line in lines.iter().filter_map(|line| serde_json::from_slice::<AgentLine>(line).ok()) {
            self.line(name, line);
        }
        !lines.is_empty()
    }

    /// Notes a new agent.
    pub(super) fn meet(&mut self, name: &str) {
        let job = name.rsplit_once(".r").map_or(name, |(job, _)| job).to_owned();
        let reader = LineReader::default();
        let (number, node) = (String::new(), String::new());
        let agent = AgentFile { job, reader, number, node, has_left: false, is_gone: false };
        self.agents.insert(name.to_owned(), agent);
    }

    /// An agent has begun: one that its job had before is gone.
    fn begins(&mut self, name: &str, number: String, node: String) {
        self.failed_starts = 0;
        let Some(agent) = self.agents.get_mut(name) else { return };
        (agent.number, agent.node) = (number, node);
        let (job, number) = (agent.job.clone(), agent.number.clone());
        // Queues other than Slurm do not tell their jobs who they are.
        let is_number = number.starts_with(|first: char| first.is_ascii_digit());
        let before = self.jobs.get(&job).and_then(|job| job.agent.clone());
        let earlier = before.as_ref().and_then(|before| self.agents.get(before));
        if is_number && earlier.is_some_and(|before| before.number != number && !before.has_left && !before.is_gone) {
            return self.begins_twice(name, &job, number);
        }
        if let Some(job) = self.jobs.get_mut(&job) {
            job.agent = Some(name.to_owned());
        }
        if is_number {
            self.note_number(&job, number);
        }
        if let Some(before) = before {
            self.agent_gone(&before, "was put back into the queue by the cluster");
        }
    }

    /// An agent has begun whose job was submitted twice, since the answer to the first time was lost. It is there besides.
    fn begins_twice(&mut self, name: &str, first: &str, number: String) {
        let twin = format!("{first}+{number}");
        let Some(job) = self.jobs.get(first) else { return };
        let job = ClusterJob::twin(job, number, name);
        self.jobs.insert(twin.clone(), job);
        if let Some(agent) = self.agents.get_mut(name) {
            agent.job = twin;
        }
    }

    /// Takes the number of a job from its agent, where it was not noted, or is that of another submission of it.
    fn note_number(&mut self, name: &str, number: String) {
        let Some(job) = self.jobs.get_mut(name).filter(|job| job.number.as_ref() != Some(&number)) else { return };
        if std::mem::take(&mut job.is_unnoted) {
            job.is_over = false;
            self.batch.adopt(number.clone());
        }
        job.number = Some(number);
    }

    fn line(&mut self, agent: &str, line: AgentLine) {
        match line {
            AgentLine::Hello { job, node } => self.begins(agent, job, node),
            AgentLine::Began { key, .. } => self.began(agent, &key, Duration::ZERO),
            AgentLine::Report { key, report } => match self.by_key.get(&key) {
                Some(id) => self.tell(JobEvent::Report(*id, report)),
                None => self.left_with(&key, |left| left.reports.push(report)),
            },
            AgentLine::BadReport { key, text } => {
                if let Some(id) = self.by_key.get(&key) {
                    self.tell(JobEvent::BadReport(*id, text));
                }
            }
            AgentLine::Ended(ended) => match self.by_key.contains_key(&ended.key) {
                true => self.ended(agent, ended),
                false => {
                    let key = ended.key.clone();
                    self.left_with(&key, |left| left.ended = Some(ended));
                }
            },
            AgentLine::Beat => {}
            AgentLine::Left => {
                if let Some(agent) = self.agents.get_mut(agent) {
                    agent.has_left = true;
                }
                self.left_job(agent);
            }
        }
    }

    /// The work of an attempt begins.
    pub(super) fn began(&mut self, agent: &str, key: &str, ago: Duration) {
        let Some(id) = self.by_key.get(key).copied() else { return };
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        if !matches!(attempt.step, Step::New | Step::Queued(_)) {
            return;
        }
        attempt.step = Step::Taken(agent.to_owned());
        let stop = attempt.stop;
        if let Some(AgentFile { job, number, node, .. }) = self.agents.get(agent) {
            // Queues other than Slurm do not tell their jobs who they are.
            let known = self.jobs.get(job).and_then(|job| job.number.clone());
            let (job, node) = (known.unwrap_or_else(|| number.clone()), node.clone());
            self.tell(JobEvent::Began(id, Placement { job, node, ago }));
        }
        // It was to be stopped before it was taken.
        stop.into_iter().for_each(|how| self.stop(id, how));
    }

    /// The last line of an attempt.
    pub(super) fn ended(&mut self, agent: &str, ended: Ended) {
        let Some(id) = self.by_key.get(&ended.key).copied() else { return };
        // The line that it began may be lost with a server that was away.
        self.began(agent, &ended.key, ended.duration);
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        attempt.step = Step::Settling(agent.to_owned(), Box::new(ended), Instant::now());
        self.settle_one(id);
    }

    /// Kills what was to be killed and did not end in time.
    fn kill_overdue(&mut self) {
        let now = Instant::now();
        let overdue = |attempt: &Attempt| attempt.kill_by.is_some_and(|by| by <= now);
        let ids: Vec<InstanceId> =
            self.attempts.iter().filter(|(_, attempt)| overdue(attempt)).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(attempt) = self.attempts.get(&id) else { continue };
            if let Step::Taken(agent) = &attempt.step {
                let job = self.agents.get(agent).map(|agent| agent.job.clone()).unwrap_or_default();
                attempt.set_aside();
                self.cancel_own(&job);
            }
            self.exit(id, Exit::Signal { number: KILL, out_of_memory: false });
        }
    }
}

impl Attempt {
    /// Moves the folder of an attempt out of the way of later ones: whether its processes have ended is not known.
    pub(super) fn set_aside(&self) {
        let mut aside = self.folder.clone().into_os_string();
        aside.push(".lost");
        // It goes with the folder of the run.
        let _ = std::fs::rename(&self.folder, aside);
    }
}
