//! Ends of attempts: by their last line, by a time limit, by the loss of their agent.

use crate::language::quantity::written_duration;
use crate::plan::InstanceId;
use crate::run::executor::job::{Exit, JobEvent, StoredOutputs};

use super::super::batch::{JobState, JobStatus};
use super::super::folder::names;
use super::super::messages::StoppedBy;
use super::{Attempt, Controller, EarlierEnds, Step, VISIBLE};

/// Maximum number of times that an attempt goes on after its time limit, or after a signal of the cluster's.
const MAX_TIME_LIMITS: u32 = 100;
/// Maximum number of times that an attempt is repeated whose agent was lost for no known reason, or that ended at a signal without a newer
/// state.
const MAX_LOSSES: u32 = 3;

/// Remedy where somebody cancelled a job.
const RUN_AGAIN: &str = "Run again to go on.";

/// Failure that another attempt would meet, too.
pub(super) fn failed(message: String, help: Option<&str>) -> Exit {
    Exit::Failed { message, help: help.map(str::to_owned), interrupted: false, again: false }
}

impl Controller {
    /// Ends attempts whose last line is there; returns whether any is still waited for.
    pub(super) fn settle(&mut self) -> bool {
        let is_settling = |attempt: &Attempt| matches!(attempt.step, Step::Settling(..));
        let ids: Vec<InstanceId> =
            self.attempts.iter().filter(|(_, attempt)| is_settling(attempt)).map(|(id, _)| *id).collect();
        ids.iter().for_each(|id| self.settle_one(*id));
        self.attempts.values().any(is_settling)
    }

    /// Ends an attempt whose last line is there, as soon as all that it says is seen.
    pub(super) fn settle_one(&mut self, id: InstanceId) {
        let Some(attempt) = self.attempts.get_mut(&id) else { return };
        let Step::Settling(agent, ended, since) = &attempt.step else { return };
        let log = attempt.earlier_log.as_ref().unwrap_or(&attempt.log);
        // An empty log has no file.
        let has_log = ended.log_bytes == 0 || std::fs::metadata(log).is_ok_and(|log| log.len() >= ended.log_bytes);
        let has_outputs = || ended.outputs.iter().all(|output| self.config.cache.seems_present(&output.artifact));
        let is_visible = has_log && has_outputs();
        if !is_visible && since.elapsed() < VISIBLE {
            return;
        }
        let (agent, ended) = (agent.clone(), (**ended).clone());
        match (ended.stopped_by, ended.exit) {
            (_, Exit::Success) => {
                let (outputs, duration) = (ended.outputs, ended.duration);
                ended.used.into_iter().for_each(|used| self.tell(JobEvent::Used(id, used)));
                self.tell(JobEvent::Stored(id, StoredOutputs { outputs, duration }));
                self.exit(id, Exit::Success);
            }
            // Whether it was the time limit, a preemption or `scancel` is for the queue to say.
            (Some(by @ (StoppedBy::TimeLimit | StoppedBy::Cluster)), _) => {
                attempt.was_near_limit = by == StoppedBy::TimeLimit;
                attempt.step = Step::Signalled(agent);
                self.is_urgent = true;
            }
            (_, exit) => {
                if is_out_of_memory(&exit) {
                    self.earlier.entry(id).or_default().ran_out_of_memory += 1;
                }
                self.exit(id, exit);
            }
        }
    }

    /// An attempt was ended by the time limit of its job.
    fn time_limit(&mut self, id: InstanceId, number: &str, nodes: &str) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        if !attempt.assignment.is_own {
            self.earlier.entry(id).or_default().ran_out_of_time = true;
            let why = "ran out of the time of a shared job and gets one of its own".to_owned();
            return self.exit(id, Exit::Evicted { why });
        }
        let limit = attempt.assignment.options.time.map_or_else(
            || "its time limit".to_owned(),
            |time| format!("its time limit of {}", written_duration(time)),
        );
        let ends = self.ends.entry(id).or_default();
        ends.time_limits += 1;
        if attempt.changed_state() && ends.time_limits <= MAX_TIME_LIMITS {
            let why = format!("reached {limit} and goes on from its state");
            return self.exit(id, Exit::Evicted { why });
        }
        let help = "Raise `resources: { time: … }` of the stage or `slurm.time` in the settings, or let it keep its state and go on \
                    from there: `state: true` for a command.";
        self.exit(id, failed(format!("Its job {number} reached {limit}{nodes}."), Some(help)));
    }

    /// Ends all attempts that an agent had which is gone; its job may come back.
    pub(super) fn agent_gone(&mut self, agent: &str, why: &str) {
        // Its very last lines count.
        self.read(agent);
        self.note_taken(agent);
        let Some(file) = self.agents.get_mut(agent) else { return };
        if std::mem::replace(&mut file.is_gone, true) {
            return;
        }
        let job = file.job.clone();
        for (id, _) in self.attempts_of(agent) {
            let Some(attempt) = self.attempts.get(&id) else { continue };
            if matches!(attempt.step, Step::Taken(_)) {
                attempt.set_aside();
            }
            let (is_own, fingerprint) = (attempt.assignment.is_own, attempt.fingerprint);
            if let Some(job) = self.jobs.get_mut(&job).filter(|job| is_own && !job.is_over) {
                job.wanted = Some(fingerprint);
            }
            self.exit(id, Exit::Evicted { why: why.to_owned() });
        }
    }

    /// Notes attempts that an agent took and did not report.
    fn note_taken(&mut self, agent: &str) {
        for file in names(&self.folder.shared.agent(agent)) {
            let is_of_file = |attempt: &&mut Attempt| attempt.file == file && matches!(attempt.step, Step::Queued(_));
            if let Some(attempt) = self.attempts.values_mut().find(is_of_file) {
                attempt.step = Step::Taken(agent.to_owned());
            }
        }
    }

    /// Attempts that an agent has, with the state that the signal of the cluster left them in.
    fn attempts_of(&self, agent: &str) -> Vec<(InstanceId, bool)> {
        let of = |(id, attempt): (&InstanceId, &Attempt)| match &attempt.step {
            Step::Taken(by) if by == agent => Some((*id, false)),
            Step::Signalled(by) if by == agent => Some((*id, true)),
            _ => None,
        };
        self.attempts.iter().filter_map(of).collect()
    }

    /// An agent has ended in good order.
    pub(super) fn left_job(&mut self, agent: &str) {
        let Some(name) = self.agents.get(agent).map(|agent| agent.job.clone()) else { return };
        if self.attempts_of(agent).iter().any(|(_, is_signalled)| *is_signalled) {
            // Only the cluster's queue knows whether its job comes back.
            self.is_urgent = true;
        } else if let Some(job) = self.jobs.get_mut(&name) {
            job.is_over = true;
            self.requeue_unstarted(&name);
        }
    }

    /// Ends all attempts of a job that is over, as its status says.
    pub(super) fn job_over(&mut self, name: &str, status: &JobStatus) {
        self.exclude_failed_node(name, status);
        let Some(job) = self.jobs.get_mut(name) else { return };
        job.is_over = true;
        let (number, agent, is_own, queue) =
            (job.number.clone().unwrap_or_default(), job.agent.clone(), job.is_own, job.queue.clone());
        let nodes = if status.nodes.is_empty() { String::new() } else { format!(" on {}", status.nodes) };
        let mut had_agent = false;
        if let Some(agent) = agent {
            self.read(&agent);
            self.note_taken(&agent);
            // One that cannot begin leaves an empty folder at most.
            had_agent = self.agents.get(&agent).is_some_and(|file| !file.number.is_empty());
            for (id, _) in self.attempts_of(&agent) {
                self.lost(id, &number, &nodes, status);
            }
            if let Some(file) = self.agents.get_mut(&agent) {
                file.is_gone = true;
            }
        }
        let ended_early = matches!(status.state, JobState::Ended | JobState::Cancelled | JobState::OutOfMemory);
        if had_agent || !ended_early {
            return self.requeue_unstarted(name);
        }
        // It ended before its agent began.
        self.failed_starts += 1;
        if is_own || self.failed_starts >= MAX_LOSSES {
            let tail = self.output_tail(name);
            let (message, help) = match status.state {
                JobState::Cancelled => (format!("Its job {number} was cancelled{nodes} before it began."), RUN_AGAIN),
                _ => (
                    format!("Its job {number} ended{nodes} before its work began ({}).{tail}", status.word),
                    "Can the nodes run this program, and see the project and the cache under the same paths? `slurm.setup` is run first.",
                ),
            };
            self.fail_queued(&queue, &message, Some(help));
        }
    }

    /// Ends an attempt whose job is over without its last line, or with one that a signal of the cluster caused.
    fn lost(&mut self, id: InstanceId, number: &str, nodes: &str, status: &JobStatus) {
        let Some(attempt) = self.attempts.get(&id) else { return };
        if matches!(attempt.step, Step::Taken(_)) {
            attempt.set_aside();
        }
        let was_signalled = matches!(attempt.step, Step::Signalled(_));
        let was_near_limit = was_signalled && attempt.was_near_limit;
        let most_signals = if attempt.changed_state() { MAX_TIME_LIMITS } else { MAX_LOSSES };
        let EarlierEnds { signals, losses, .. } = self.ends.entry(id).or_default();
        match status.state {
            JobState::TimedOut => self.time_limit(id, number, nodes),
            JobState::Ended if was_near_limit => self.time_limit(id, number, nodes),
            // A partition may leave jobs some time before it takes their nodes, in which they end by themselves.
            JobState::Ended if was_signalled => {
                *signals += 1;
                let times = *signals;
                let why = format!("was stopped{nodes} by the cluster with its job {number} ({})", status.word);
                if times <= most_signals {
                    return self.exit(id, Exit::Evicted { why });
                }
                let help = "Is the cluster's time limit too short for it? `resources: { time: … }` asks for more, and what keeps a state goes on from it.";
                self.exit(id, failed(format!("It {why}, as {} times before.", times - 1), Some(help)));
            }
            JobState::Cancelled => {
                self.exit(id, failed(format!("Its job {number} was cancelled{nodes}."), Some(RUN_AGAIN)));
            }
            JobState::OutOfMemory => {
                self.earlier.entry(id).or_default().ran_out_of_memory += 1;
                let message = format!("Its job {number} was killed{nodes} when it ran out of memory.");
                let help = "State how much memory it needs (`resources: { memory: … }`); with `retries` each attempt gets half as much again.";
                self.exit(id, failed(message, Some(help)));
            }
            _ if status.state == JobState::Ended && *losses >= MAX_LOSSES => {
                let (times, word) = (*losses + 1, &status.word);
                let message =
                    format!("{times} jobs of it ended before its work did; the last one was {number}{nodes} ({word}).");
                let help = "Are they killed? The cluster's accounting and the end of the log may say more.";
                self.exit(id, failed(message, Some(help)));
            }
            state => {
                *losses += u32::from(state == JobState::Ended);
                let why = format!("was lost{nodes} with its job {number} ({})", status.word);
                self.exit(id, Exit::Evicted { why });
            }
        }
    }

    /// Has attempts whose own job is over submitted again, if no agent began with them.
    pub(super) fn requeue_unstarted(&mut self, name: &str) {
        let Some(job) = self.jobs.get(name).filter(|job| job.is_own) else { return };
        let queue = job.queue.clone();
        for (id, file) in self.queued_in(&queue) {
            if self.folder.shared.withdraw(&queue, &file)
                && let Some(attempt) = self.attempts.get_mut(&id)
            {
                attempt.step = Step::New;
            }
        }
    }

    /// Fails all attempts that wait in a queue.
    pub(super) fn fail_queued(&mut self, queue: &str, message: &str, help: Option<&str>) {
        for (id, file) in self.queued_in(queue) {
            if self.folder.shared.withdraw(queue, &file) {
                self.exit(id, failed(message.to_owned(), help));
            }
        }
    }

    fn queued_in(&self, queue: &str) -> Vec<(InstanceId, String)> {
        let in_it = |attempt: &Attempt| matches!(&attempt.step, Step::Queued(own) if own == queue);
        self.attempts.iter().filter(|(_, own)| in_it(own)).map(|(id, own)| (*id, own.file.clone())).collect()
    }

    /// Last lines of what a job itself printed, as sentences to append.
    fn output_tail(&self, name: &str) -> String {
        let text = std::fs::read(self.folder.shared.output(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n");
        if last.is_empty() { String::new() } else { format!(" It printed:\n{last}") }
    }
}

fn is_out_of_memory(exit: &Exit) -> bool {
    match exit {
        Exit::Signal { out_of_memory, .. } | Exit::ProgramSignal { out_of_memory, .. } => *out_of_memory,
        Exit::HostFault { exit, .. } => is_out_of_memory(exit),
        _ => false,
    }
}
