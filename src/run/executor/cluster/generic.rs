//! Any queue of a cluster, by three commands of the user's: PBS, LSF, SGE, Flux.
//!
//! The first reads a script on its standard input and prints the job's number; what the job asks for is in variables. The second prints
//! a line for each job: its number, its state, a reason. The third is given numbers.

use std::collections::HashMap;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::batch::{BatchSystem, JobState, JobStatus, Refusal, Submission};
use super::commands::run;
use super::placing::JobOptions;

/// Commands of a queue, for `sh`.
#[derive(Debug, Clone)]
pub struct QueueCommands {
    /// Submits the script on its standard input.
    pub submit: String,
    /// Lists jobs.
    pub poll: String,
    /// Cancels the jobs whose numbers it is given.
    pub cancel: String,
}

/// A queue that is spoken to by commands.
pub(super) struct Generic {
    /// Name of the jobs.
    pub name: String,
    /// The commands.
    pub commands: QueueCommands,
    /// Numbers of jobs that were submitted.
    submitted: Mutex<Vec<String>>,
}

impl Generic {
    pub(super) fn new(name: String, commands: QueueCommands) -> Generic {
        Generic { name, commands, submitted: Mutex::default() }
    }

    fn submitted(&self) -> MutexGuard<'_, Vec<String>> {
        self.submitted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Variables that say what a job asks for.
    fn variables(&self, submission: &Submission) -> Vec<(&'static str, String)> {
        let JobOptions { partition, account, qos, time, cpus, memory, gpus, extra } = &submission.options;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        vec![
            ("ATHANOR_JOB_NAME", self.name.clone()),
            ("ATHANOR_JOB_OUTPUT", submission.output.display().to_string()),
            ("ATHANOR_JOB_PARTITION", text(partition)),
            ("ATHANOR_JOB_ACCOUNT", text(account)),
            ("ATHANOR_JOB_QOS", text(qos)),
            (
                "ATHANOR_JOB_MINUTES",
                time.map_or_else(String::new, |time| time.as_secs().div_ceil(60).max(1).to_string()),
            ),
            ("ATHANOR_JOB_CPUS", cpus.map_or_else(String::new, |cpus| cpus.to_string())),
            ("ATHANOR_JOB_MEMORY_MIB", memory.map_or_else(String::new, |bytes| bytes.div_ceil(1 << 20).to_string())),
            ("ATHANOR_JOB_GPUS", gpus.to_string()),
            ("ATHANOR_JOB_EXTRA", extra.join(" ")),
        ]
    }
}

impl BatchSystem for Generic {
    fn has_arrays(&self) -> bool {
        false
    }

    fn submit(&self, submission: &Submission) -> Result<String, Refusal> {
        let mut command = Command::new("sh");
        command.args(["-c", &self.commands.submit]).envs(self.variables(submission));
        let printed = run("the command `batch.submit`", &mut command, submission.script.as_bytes())?;
        let job = printed.lines().last().unwrap_or_default().trim().to_owned();
        if job.is_empty() || job.contains(char::is_whitespace) {
            return Err(Refusal::no_number("the command `batch.submit`", &printed));
        }
        self.submitted().push(job.clone());
        Ok(job)
    }

    fn poll(&self) -> Result<HashMap<String, JobStatus>, Refusal> {
        let mut command = Command::new("sh");
        command.args(["-c", &self.commands.poll]);
        Ok(run("the command `batch.poll`", &mut command, b"")?.lines().filter_map(parse).collect())
    }

    fn recall(&self, _: &[String]) -> HashMap<String, JobStatus> {
        HashMap::new()
    }

    fn cancel(&self, jobs: &[String]) {
        if !jobs.is_empty() {
            let line = format!("{} \"$@\"", self.commands.cancel);
            // A job that is over needs none.
            let _ = run("the command `batch.cancel`", Command::new("sh").args(["-c", &line, "sh"]).args(jobs), b"");
        }
    }

    fn cancel_all(&self) -> bool {
        let jobs = self.submitted().clone();
        self.cancel(&jobs);
        // Whether it failed for jobs that are over, as many such commands do, is not known.
        true
    }

    fn adopt(&self, job: &str) {
        self.submitted().push(job.to_owned());
    }
}

/// Job and status in a line.
fn parse(line: &str) -> Option<(String, JobStatus)> {
    let mut words = line.split_whitespace();
    let (job, word) = (words.next()?.to_owned(), words.next()?.to_owned());
    let reason = words.collect::<Vec<_>>().join(" ");
    let state = match word.to_ascii_lowercase().as_str() {
        "waiting" | "pending" | "queued" | "held" | "q" | "qw" | "hqw" | "h" | "w" | "pd" | "pend" => JobState::Waiting,
        "running" | "exiting" | "r" | "run" | "e" | "t" => JobState::Running,
        "cancelled" => JobState::Cancelled,
        "timeout" => JobState::TimedOut,
        "out_of_memory" => JobState::OutOfMemory,
        "lost" => JobState::Lost,
        _ => JobState::Ended,
    };
    let reason = (!reason.is_empty()).then_some(reason);
    Some((job, JobStatus { state, word, reason, nodes: String::new() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_in_the_words_of_several_queues() {
        let state = |line: &str| parse(line).map(|(_, status)| status.state);
        assert_eq!(state("12.server Q not enough nodes"), Some(JobState::Waiting));
        assert_eq!(state("12 PEND"), Some(JobState::Waiting));
        assert_eq!(state("12 R"), Some(JobState::Running));
        assert_eq!(state("12 C"), Some(JobState::Ended));
        assert_eq!(state("12"), None);
        let (job, status) = parse("12.server Q not enough nodes").unwrap();
        assert_eq!((&*job, status.reason.as_deref()), ("12.server", Some("not enough nodes")));
    }
}
