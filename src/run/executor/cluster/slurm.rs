//! Slurm as the cluster's queue: `sbatch`, `squeue`, `scancel`, and `sacct` where it works.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::batch::{BatchSystem, JobState, JobStatus, Refusal, Submission};
use super::commands::run;
use super::placing::JobOptions;

/// Option that leaves nodes out.
const EXCLUDE: &str = "--exclude=";

/// Options of `sbatch` that are not for users to give, by their long names and, where they have one, their letters: this program gives jobs
/// their names, arrays, output and script by others of their kind, and learns their numbers from what `sbatch` prints at once.
const NOT_FOR_USERS: [(&str, &str); 10] = [
    ("--array", "-a"),
    ("--clusters", "-M"),
    ("--help", "-h"),
    ("--job-name", "-J"),
    ("--output", "-o"),
    ("--test-only", ""),
    ("--usage", ""),
    ("--version", "-V"),
    ("--wait", "-W"),
    ("--wrap", ""),
];

/// Jobs of one name in Slurm's queue.
pub(super) struct Slurm {
    /// Name of the jobs.
    pub name: String,
    /// Whether GPUs are asked for by `--gpus` and not by `--gres`.
    pub by_gpus: bool,
    /// Variables of this process's that Slurm's commands do not get: those of a job that it is part of would decide what new ones get, and
    /// a user's own may hide jobs (`SQUEUE_PARTITION`), or ask questions (`SCANCEL_INTERACTIVE`).
    pub hidden: Vec<OsString>,
    /// Whether `sacct` was found not to work here.
    lacks_accounting: AtomicBool,
}

impl Slurm {
    pub(super) fn new(name: String, by_gpus: bool, hidden: Vec<OsString>) -> Slurm {
        Slurm { name, by_gpus, hidden, lacks_accounting: AtomicBool::new(false) }
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        for variable in &self.hidden {
            command.env_remove(variable);
        }
        command
    }

    fn arguments(&self, submission: &Submission) -> Vec<String> {
        let JobOptions { partition, account, qos, time, cpus, memory, gpus, extra } = &submission.options;
        let notice = submission.notice.as_secs();
        let mut arguments = vec![
            "--parsable".to_owned(),
            format!("--job-name={}", self.name),
            "--requeue".to_owned(),
            "--open-mode=append".to_owned(),
            format!("--signal=B:TERM@{notice}"),
            "--nodes=1".to_owned(),
            "--ntasks=1".to_owned(),
            format!("--output={}", without_patterns(&submission.output)),
        ];
        let mut option = |name: &str, value: Option<String>| {
            arguments.extend(value.map(|value| format!("--{name}={value}")));
        };
        option("partition", partition.clone());
        option("account", account.clone());
        option("qos", qos.clone());
        // Minutes are the unit of Slurm's limits.
        option("time", time.map(|time| time.as_secs().div_ceil(60).max(1).to_string()));
        option("cpus-per-task", cpus.map(|cpus| cpus.to_string()));
        option("mem", memory.map(|bytes| format!("{}M", bytes.div_ceil(1 << 20))));
        let gpus = (*gpus > 0).then_some(gpus);
        match self.by_gpus {
            true => option("gpus", gpus.map(ToString::to_string)),
            false => option("gres", gpus.map(|gpus| format!("gpu:{gpus}"))),
        }
        option("array", submission.array.map(|count| format!("0-{}", count - 1)));
        // Of two lists the last one counts.
        let theirs = extra.iter().filter_map(|option| option.strip_prefix(EXCLUDE)).map(str::to_owned);
        let nodes: Vec<String> = theirs.chain(submission.exclude.iter().cloned()).collect();
        if !nodes.is_empty() {
            arguments.push(format!("{EXCLUDE}{}", nodes.join(",")));
        }
        arguments.extend(extra.iter().filter(|option| !option.starts_with(EXCLUDE)).cloned());
        arguments
    }
}

impl BatchSystem for Slurm {
    fn has_arrays(&self) -> bool {
        true
    }

    fn submit(&self, submission: &Submission) -> Result<String, Refusal> {
        if let Some(option) = submission.options.extra.iter().find(|option| is_not_for_users(option)) {
            return Err(Refusal::of_option(option));
        }
        let mut command = self.command("sbatch");
        command.args(self.arguments(submission));
        let printed = run("`sbatch`", &mut command, submission.script.as_bytes())?;
        let job = printed.lines().last().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        if job.is_empty() || !job.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::no_number("`sbatch`", &printed));
        }
        Ok(job)
    }

    fn poll(&self) -> Result<HashMap<String, JobStatus>, Refusal> {
        let mut command = self.command("squeue");
        command.args([
            &format!("--name={}", self.name),
            "--states=all",
            "--noheader",
            "--array",
            "--format=%i|%T|%r|%N",
        ]);
        Ok(run("`squeue`", &mut command, b"")?.lines().filter_map(parse).collect())
    }

    fn recall(&self, jobs: &[String]) -> HashMap<String, JobStatus> {
        if self.lacks_accounting.load(Ordering::Relaxed) {
            return HashMap::new();
        }
        let mut command = self.command("sacct");
        command.args([
            "--noheader",
            "--parsable2",
            "--allocations",
            "--format=JobID,State,Reason,NodeList",
            "--jobs",
            &jobs.join(","),
        ]);
        match run("`sacct`", &mut command, b"") {
            Ok(printed) => printed.lines().filter_map(parse).filter(|(job, _)| jobs.contains(job)).collect(),
            Err(refusal) => {
                self.lacks_accounting.store(!refusal.is_for_now, Ordering::Relaxed);
                HashMap::new()
            }
        }
    }

    fn cancel(&self, jobs: &[String]) {
        if !jobs.is_empty() {
            // A job that is over needs none; one that cannot be cancelled now is when the run ends.
            let _ = run("`scancel`", self.command("scancel").args(jobs), b"");
        }
    }

    fn cancel_all(&self) -> bool {
        let mut attempts = 0;
        loop {
            let cancelled = run("`scancel`", self.command("scancel").arg(format!("--name={}", self.name)), b"");
            attempts += 1;
            match cancelled {
                Err(Refusal { is_of_queue: false, .. }) => return false,
                Err(Refusal { is_for_now: true, .. }) if attempts > 3 => return false,
                Err(Refusal { is_for_now: true, .. }) => std::thread::sleep(Duration::from_secs(1)),
                // Of jobs that are over, some versions say that they cannot be cancelled.
                Ok(_) | Err(_) => return true,
            }
        }
    }
}

/// Whether an option is not for users to give. Long names may be cut off where they stay clear.
fn is_not_for_users(option: &str) -> bool {
    let name = option.split('=').next().unwrap_or_default();
    NOT_FOR_USERS.iter().any(|(long, letter)| match name.starts_with("--") {
        true => name.len() > "--".len() + 1 && long.starts_with(name),
        false => !letter.is_empty() && name.starts_with(letter),
    })
}

/// A path whose name alone may have patterns, which Slurm replaces.
fn without_patterns(path: &Path) -> String {
    // Slurm takes backslashes out, and replaces nothing beside them. What jobs print is only needed where they cannot begin.
    let folder = path.parent().and_then(Path::to_str).filter(|folder| !folder.contains('\\'));
    let Some(folder) = folder else { return "/dev/null".to_owned() };
    format!("{}/{}", folder.replace('%', "%%"), path.file_name().unwrap_or_default().display())
}

/// Job and status in a line of `squeue` or `sacct`.
fn parse(line: &str) -> Option<(String, JobStatus)> {
    let mut fields = line.split('|').map(str::trim);
    let (job, state, reason) = (fields.next()?, fields.next()?, fields.next()?);
    let nodes = fields.next().unwrap_or_default().to_owned();
    // `sacct` says "CANCELLED by 1000".
    let word = state.split(' ').next().unwrap_or_default().to_owned();
    let reason = (!matches!(reason, "" | "None" | "(null)")).then(|| reason.to_owned());
    let state = match word.as_str() {
        "PENDING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => JobState::Waiting,
        "RUNNING" | "CONFIGURING" | "COMPLETING" | "SIGNALING" | "STAGE_OUT" | "STOPPED" | "SUSPENDED" | "RESIZING" => {
            JobState::Running
        }
        "CANCELLED" => JobState::Cancelled,
        "TIMEOUT" | "DEADLINE" => JobState::TimedOut,
        "OUT_OF_MEMORY" => JobState::OutOfMemory,
        "NODE_FAIL" | "BOOT_FAIL" => JobState::NodeFailed,
        "PREEMPTED" | "REVOKED" => JobState::Lost,
        _ => JobState::Ended,
    };
    Some((job.to_owned(), JobStatus { state, word, reason, nodes }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn lines_of_squeue_and_sacct_are_read() {
        let status = |line: &str| parse(line).map(|(job, status)| (job, status.state, status.reason, status.nodes));
        let of = |job: &str, state, reason: Option<&str>, nodes: &str| {
            Some((job.to_owned(), state, reason.map(str::to_owned), nodes.to_owned()))
        };
        assert_eq!(status("12|PENDING|Resources|"), of("12", JobState::Waiting, Some("Resources"), ""));
        assert_eq!(status("12_3|RUNNING|None|n1"), of("12_3", JobState::Running, None, "n1"));
        assert_eq!(status("12|CANCELLED by 0||n1"), of("12", JobState::Cancelled, None, "n1"));
        assert_eq!(status("12|NODE_FAIL|NodeDown|n1"), of("12", JobState::NodeFailed, Some("NodeDown"), "n1"));
        assert_eq!(status("12|PREEMPTED|None|n1").unwrap().1, JobState::Lost);
        assert_eq!(status("12|OUT_OF_MEMORY|OutOfMemory|n1").unwrap().1, JobState::OutOfMemory);
        assert_eq!(status("12|FAILED|NonZeroExitCode|n1").unwrap().1, JobState::Ended);
        assert_eq!(status("slurm_load_jobs error"), None);
    }

    #[test]
    fn output_goes_where_slurm_can_be_told_to_put_it() {
        let written = |path: &[u8]| without_patterns(Path::new(std::ffi::OsStr::from_bytes(path)));
        assert_eq!(written(b"/100% x/j1_%a"), "/100%% x/j1_%a");
        assert_eq!(written(b"/a\\b/j1_%a"), "/dev/null");
        assert_eq!(written(b"/a\xff/j1_%a"), "/dev/null");
    }

    #[test]
    fn options_that_this_program_gives_are_no_users() {
        for option in [
            "--wait",
            "-W",
            "--job-name=x",
            "-Jx",
            "--job-n=x",
            "-a0-3",
            "--output=/x",
            "--test-only",
            "-M",
            "--wrap=true",
        ] {
            assert!(is_not_for_users(option), "{option}");
        }
        for option in [
            "--wait-all-nodes=1",
            "-w n1",
            "--hold",
            "-H",
            "-O",
            "--constraint=a100",
            "--nice",
            "-Ax",
            "--mail-user=a@b",
            "--",
        ] {
            assert!(!is_not_for_users(option), "{option}");
        }
    }

    #[test]
    fn arguments_say_what_a_job_gets() {
        let options = JobOptions {
            partition: Some("gpu".to_owned()),
            time: Some(Duration::from_secs(90)),
            cpus: Some(4),
            memory: Some((1 << 30) + 1),
            gpus: 2,
            extra: vec!["--constraint=a100".to_owned()],
            ..JobOptions::default()
        };
        let mut submission = Submission {
            token: "j1".to_owned(),
            array: Some(3),
            options,
            exclude: Vec::new(),
            notice: Duration::from_secs(22),
            script: String::new(),
            output: "/50%j/j1_%a".into(),
        };
        let slurm = |by_gpus, submission: &Submission| {
            Slurm::new("athanor-1".to_owned(), by_gpus, Vec::new()).arguments(submission).join(" ")
        };
        assert_eq!(
            slurm(false, &submission),
            "--parsable --job-name=athanor-1 --requeue --open-mode=append --signal=B:TERM@22 --nodes=1 --ntasks=1 \
             --output=/50%%j/j1_%a --partition=gpu --time=2 --cpus-per-task=4 --mem=1025M --gres=gpu:2 --array=0-2 \
             --constraint=a100"
        );
        assert!(slurm(true, &submission).contains(" --gpus=2 "));
        submission.exclude = vec!["n1".to_owned(), "n2".to_owned()];
        assert!(slurm(true, &submission).ends_with(" --array=0-2 --exclude=n1,n2 --constraint=a100"));
        submission.options.extra.push("--exclude=n7".to_owned());
        assert!(slurm(true, &submission).ends_with(" --array=0-2 --exclude=n7,n1,n2 --constraint=a100"));
    }
}
