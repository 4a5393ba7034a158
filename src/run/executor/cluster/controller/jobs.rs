//! Jobs of the cluster: submitted for what waits, and asked about when they are silent.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use athanor_cache::Digest;

use crate::plan::InstanceId;
use crate::run::executor::job::{JobEvent, Queued};

use super::super::batch::{Answer, JobState, JobStatus, Refusal, Submission};
use super::super::messages::{AgentSpec, PROTOCOL};
use super::super::placing::{JobOptions, shared_jobs};
use super::{ClusterJob, Controller, Step, VISIBLE};

/// Longest interval between two looks into the queue, in shortest ones.
const LONGEST: u32 = 6;
/// Interval between two looks while somebody waits for the queue's word.
const URGENT: Duration = Duration::from_secs(2);
/// Time for which the lines of a job that is over are waited for, if it may have been killed.
const LAST_LINES: Duration = Duration::from_secs(3);
/// Number of failed looks in a row after which a queue that is busy for now is told of.
const MANY_POLLS: u32 = 3;
/// Reasons to wait that pass by themselves.
const COMMON: [&str; 5] = ["Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Cleaning"];
/// Remedy where Slurm refused a job.
const OF_SLURM: &str =
    "`athanor config` shows the settings of `slurm`; a stage may have `slurm: { … }` and `resources` of its own.";
/// Remedy where Slurm's command is not there.
const NO_SLURM: &str = "Slurm's commands are on a cluster's login nodes: run there, or here with `--executor local`.";
/// Remedy where another queue's command refused a job.
const OF_BATCH: &str = "`athanor config` shows the command `batch.submit`, which gets what a job asks for in variables: \
     `ATHANOR_JOB_MEMORY_MIB` and others, from the stage's `resources` and from options under `slurm`.";

impl ClusterJob {
    /// A job that is about to be submitted.
    pub(super) fn new(token: &str, name: &str, spec: &AgentSpec) -> ClusterJob {
        ClusterJob {
            token: token.to_owned(),
            number: None,
            queue: spec.queue.clone().unwrap_or_else(|| name.to_owned()),
            is_own: spec.is_for_one(),
            leaves_nodes_out: false,
            status: None,
            agent: None,
            missing: 0,
            heard: Instant::now(),
            is_over: false,
            is_unnoted: false,
            over_since: None,
            wanted: None,
        }
    }

    /// The same job, which was submitted twice, under another number and with another agent.
    pub(super) fn twin(first: &ClusterJob, number: String, agent: &str) -> ClusterJob {
        ClusterJob {
            token: first.token.clone(),
            number: Some(number),
            queue: first.queue.clone(),
            is_own: first.is_own,
            leaves_nodes_out: first.leaves_nodes_out,
            status: None,
            agent: Some(agent.to_owned()),
            missing: 0,
            heard: Instant::now(),
            is_over: false,
            is_unnoted: false,
            over_since: None,
            wanted: None,
        }
    }

    /// Whether it waits for another attempt at this work.
    pub(super) fn waits_for(&self, fingerprint: Digest) -> bool {
        self.wanted == Some(fingerprint) && !self.is_over
    }
}

impl Controller {
    /// Submits jobs for attempts that have none.
    pub(super) fn submit(&mut self) {
        if !self.is_complete {
            return;
        }
        let mut own: BTreeMap<JobOptions, Vec<InstanceId>> = BTreeMap::new();
        let mut shared: BTreeMap<JobOptions, Vec<Option<Duration>>> = BTreeMap::new();
        let mut busy: HashMap<String, usize> = HashMap::new();
        for (id, attempt) in &self.attempts {
            let options = attempt.assignment.options.clone();
            match &attempt.step {
                Step::New if attempt.assignment.is_own => own.entry(options).or_default().push(*id),
                Step::Queued(_) if !attempt.assignment.is_own => {
                    shared.entry(options).or_default().push(self.config.expected[id.index()]);
                }
                Step::Taken(_) if !attempt.assignment.is_own => *busy.entry(options.queue()).or_default() += 1,
                _ => {}
            }
        }
        let most = if self.batch.has_arrays { self.array_size.most(Instant::now()) } else { 1 };
        let mut room = self.config.slurm.max_jobs.saturating_sub(self.live_jobs());
        for (options, mut ids) in own {
            // In the order in which the dispatcher started them.
            ids.sort_by_key(|id| self.attempts[id].file.clone());
            ids.truncate(room);
            room -= ids.len();
            ids.chunks(most).for_each(|ids| self.submit_own(&options, ids));
        }
        for (options, expected) in shared {
            let queue = options.queue();
            let is_of_queue = |job: &&ClusterJob| !job.is_over && !job.is_own && job.queue == queue;
            let live = self.jobs.values().filter(is_of_queue).count();
            let free = live.saturating_sub(busy.get(&queue).copied().unwrap_or_default());
            let mut wanted = shared_jobs(expected.into_iter()).saturating_sub(free).min(room);
            room -= wanted;
            while wanted > 0 {
                let count = wanted.min(most);
                wanted -= count;
                self.submit_jobs(&options, count, Some(queue.clone()));
            }
        }
    }

    fn submit_own(&mut self, options: &JobOptions, ids: &[InstanceId]) {
        if ids.is_empty() {
            return;
        }
        let queues = self.submit_jobs(options, ids.len(), None);
        for (id, queue) in ids.iter().zip(queues) {
            self.enqueue(*id, queue);
        }
    }

    /// Submits `count` jobs; returns their names.
    fn submit_jobs(&mut self, options: &JobOptions, count: usize, queue: Option<String>) -> Vec<String> {
        self.next_token += 1;
        let token = format!("j{:05}", self.next_token);
        let config = &self.config;
        let spec = AgentSpec {
            protocol: PROTOCOL,
            array: (count > 1).then_some(count),
            queue,
            cache: config.cache.root().to_owned(),
            project: config.project.clone(),
            log_limit: config.log_limit,
            inherits_environment: config.inherits_environment,
            time: options.time,
            notice: options.notice(),
            idle: config.slurm.idle,
            beat: self.beat(),
            gpus: options.gpus,
            scratch: config.slurm.scratch.clone(),
            scratch_limit: config.slurm.scratch_limit,
        };
        let names = spec.names(&token);
        let shared = &self.folder.shared;
        // A folder that cannot be written to refuses the requests, too.
        let _ = shared.write(&shared.job(&format!("{token}.json")), &serde_json::to_vec(&spec).unwrap_or_default());
        let output = shared.output(&spec.array.map_or_else(|| token.clone(), |_| format!("{token}_%a")));
        let (program, root) = (quoted(&config.program), quoted(&shared.root));
        let setup = config.slurm.setup.as_ref().map(|setup| format!("{setup}\n")).unwrap_or_default();
        let script = format!("#!/bin/bash\n{setup}exec {program} agent {root} {token}\n");
        let exclude: Vec<String> = self.excluded.iter().cloned().collect();
        for name in &names {
            let job = ClusterJob { leaves_nodes_out: !exclude.is_empty(), ..ClusterJob::new(&token, name, &spec) };
            self.jobs.insert(name.clone(), job);
        }
        self.submissions += 1;
        let (array, notice, options) = (spec.array, spec.notice, options.clone());
        self.batch.submit(Submission { token, array, options, exclude, notice, script, output });
        names
    }

    /// Asks the cluster's queue about jobs that are silent, if it is time.
    pub(super) fn poll(&mut self) {
        let silence = self.silence();
        let is_silent = |job: &ClusterJob| {
            let is_known = !job.is_over && job.number.is_some();
            is_known && (job.agent.is_none() || job.heard.elapsed() > silence || job.over_since.is_some())
        };
        let interval = if self.is_urgent { URGENT.min(self.config.slurm.poll) } else { self.poll_after };
        if self.is_polling || self.polled.elapsed() < interval {
            return;
        }
        if !self.is_urgent && !self.jobs.values().any(is_silent) {
            return;
        }
        (self.is_polling, self.polled, self.asked) = (true, Instant::now(), Instant::now());
        let jobs = self.jobs.values().filter(|job| !job.is_over).filter_map(|job| job.number.clone());
        self.batch.poll(jobs.collect());
    }

    /// Takes an answer of the cluster's queue.
    pub(super) fn answered(&mut self, answer: Answer) {
        match answer {
            Answer::Submitted { token, job } => self.submitted(&token, &job),
            Answer::Refused { token, refusal } => self.refused(&token, &refusal),
            Answer::TooLarge(token) => self.too_large(&token),
            Answer::Busy(message) => {
                self.notice(format!("the cluster takes no jobs for now, and is asked again: {message}"));
            }
            Answer::NotPolled(refusal) => {
                (self.is_polling, self.polled) = (false, Instant::now());
                self.failed_polls += 1;
                // A controller that is restarted is back after a moment.
                let first_told = if refusal.is_for_now { MANY_POLLS } else { 1 };
                if self.failed_polls == first_told {
                    let why = refusal.message;
                    self.notice(format!("the cluster cannot be asked about jobs, and is asked again: {why}"));
                }
            }
            Answer::Polled(jobs) => {
                (self.is_polling, self.polled, self.is_urgent) = (false, Instant::now(), false);
                self.failed_polls = 0;
                let names: Vec<String> =
                    self.jobs.iter().filter(|(_, job)| !job.is_over).map(|(name, _)| name.clone()).collect();
                let before: Vec<Option<JobStatus>> = self.jobs.values().map(|job| job.status.clone()).collect();
                names.iter().for_each(|name| self.polled_job(name, &jobs));
                let is_news = self.jobs.values().map(|job| job.status.clone()).ne(before);
                let poll = self.config.slurm.poll;
                self.poll_after = if is_news { poll } else { (self.poll_after * 3 / 2).min(poll * LONGEST) };
                let is_signalled = self.attempts.values().any(|attempt| matches!(attempt.step, Step::Signalled(..)));
                self.is_urgent |= is_signalled;
            }
        }
    }

    /// Names of the jobs of a submission.
    fn jobs_of(&self, token: &str) -> Vec<String> {
        self.jobs.iter().filter(|(_, job)| job.token == token).map(|(name, _)| name.clone()).collect()
    }

    fn submitted(&mut self, token: &str, number: &str) {
        // Without the note the next run learns it from the agent alone, and else cancels the job by its name.
        let _ = self.folder.shared.write(&self.folder.shared.job(&format!("{token}.id")), number.as_bytes());
        for name in self.jobs_of(token) {
            if let Some(job) = self.jobs.get_mut(&name) {
                // An agent that has begun knows better which of two submissions it is of.
                let known = job.number.take().filter(|_| job.agent.is_some());
                job.number = Some(known.unwrap_or_else(|| job_number(number, &name)));
                job.heard = Instant::now();
                if job.is_over {
                    // What it was for was stopped meanwhile.
                    self.batch.cancel(job.number.iter().cloned().collect());
                }
            }
            self.tell_queued(&name, None);
        }
        self.poll_after = self.config.slurm.poll;
    }

    /// Has the jobs of an array that is too large submitted again in arrays of half its size.
    fn too_large(&mut self, token: &str) {
        let names = self.jobs_of(token);
        self.array_size.refuse(names.len(), Instant::now());
        for name in names {
            if let Some(job) = self.jobs.get_mut(&name) {
                job.is_over = true;
            }
            self.requeue_unstarted(&name);
        }
    }

    fn refused(&mut self, token: &str, refusal: &Refusal) {
        let is_slurm = self.config.slurm.commands.is_none();
        let (message, help) = match refusal.is_of_queue {
            true => ("The cluster refused its job", if is_slurm { OF_SLURM } else { OF_BATCH }),
            false => ("Its job cannot be submitted", if is_slurm { NO_SLURM } else { OF_BATCH }),
        };
        let message = format!("{message}: {}.", refusal.message.trim_end_matches('.'));
        self.submissions -= usize::from(!refusal.is_of_queue);
        for name in self.jobs_of(token) {
            if self.include_again(&name) {
                continue;
            }
            let Some(job) = self.jobs.get_mut(&name) else { continue };
            job.is_over = true;
            let queue = job.queue.clone();
            self.fail_queued(&queue, &message, Some(help));
        }
    }

    /// Takes what the queue says of a job.
    fn polled_job(&mut self, name: &str, known: &HashMap<String, JobStatus>) {
        let (asked, silence) = (self.asked, self.silence());
        let Some(job) = self.jobs.get_mut(name) else { return };
        let Some(number) = job.number.clone() else { return };
        let status = match known.get(&number) {
            // Its agent began after the queue had looked.
            Some(status) if status.state == JobState::Waiting && job.agent.is_some() && job.heard >= asked => {
                self.is_urgent = true;
                return;
            }
            Some(status) => {
                job.missing = 0;
                status.clone()
            }
            // An agent that speaks is there, whatever the queue says.
            None if job.agent.is_some() && job.heard.elapsed() <= silence => return,
            // It may be on its way into the queue, or out of it with its last lines on their way.
            None if job.missing < 2 => {
                job.missing += 1;
                self.is_urgent = true;
                return;
            }
            None => {
                let word = "no longer known to the queue".to_owned();
                JobStatus { state: JobState::Ended, word, reason: None, nodes: String::new() }
            }
        };
        job.status = Some(status.clone());
        match status.state {
            JobState::Waiting => {
                job.over_since = None;
                if let Some(agent) = job.agent.take() {
                    let why = format!("was preempted, or lost its node: its job {number} is back in the queue");
                    self.agent_gone(&agent, &why);
                }
                if !self.cancel_without_node(name, status.reason.as_deref()) {
                    self.tell_queued(name, status.reason);
                }
            }
            JobState::Running => job.over_since = None,
            _ => {
                let since = *job.over_since.get_or_insert_with(Instant::now);
                let agent = job.agent.as_ref().and_then(|agent| self.agents.get(agent));
                let has_left = agent.is_some_and(|agent| agent.has_left);
                // An agent that ended in good order wrote that it did, wherever that is seen so late.
                let patience = match (status.is_in_good_order(), has_left) {
                    (true, true) => Duration::ZERO,
                    (true, false) => VISIBLE,
                    (false, _) => LAST_LINES,
                };
                if since.elapsed() >= patience {
                    self.job_over(name, &status);
                } else {
                    self.is_urgent = true;
                }
            }
        }
    }

    /// Tells where the attempts wait that a job is for, if that is news.
    fn tell_queued(&mut self, name: &str, reason: Option<String>) {
        let Some(job) = self.jobs.get(name) else { return };
        let (Some(number), is_own) = (job.number.clone(), job.is_own) else { return };
        if !is_own {
            if let Some(reason) = reason.filter(|reason| !COMMON.contains(&reason.as_str())) {
                self.notice(format!("the job {number}, which short stages share, waits: {reason}"));
            }
            return;
        }
        let is_in_it = |step: &Step| matches!(step, Step::Queued(queue) if queue == name);
        let Some((id, attempt)) = self.attempts.iter_mut().find(|(_, attempt)| is_in_it(&attempt.step)) else { return };
        let news = Some((number.clone(), reason.clone()));
        if attempt.told != news {
            attempt.told = news;
            (self.events)(JobEvent::Queued(*id, Queued { job: number, reason }));
        }
    }
}

/// A path as a word of bash.
fn quoted(path: &Path) -> String {
    match path.to_str() {
        Some(text) => format!("'{}'", text.replace('\'', r"'\''")),
        // Names need not be text, and scripts are.
        None => {
            let bytes: Vec<String> = path.as_os_str().as_bytes().iter().map(|byte| format!(r"\x{byte:02x}")).collect();
            format!("$'{}'", bytes.concat())
        }
    }
}

/// Number of the job called `name` of a submission with this number.
pub(super) fn job_number(submission: &str, name: &str) -> String {
    match name.split_once('_') {
        Some((_, index)) => format!("{submission}_{index}"),
        None => submission.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::process::Command;

    use super::*;

    #[test]
    fn bash_reads_every_path_as_it_is() {
        for path in [&b"/a b/it's $HOME \\n"[..], b"/n\xffu\n'x\\ "] {
            let script = format!("printf %s {}", quoted(Path::new(OsStr::from_bytes(path))));
            assert_eq!(Command::new("bash").args(["-c", &script]).output().unwrap().stdout, path);
        }
    }
}
