//! Commands of a cluster's queue: started, waited for, and read.

use std::io::{ErrorKind, Read, Write};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::batch::Refusal;
use crate::language::quantity::written_duration;
use crate::run::executor::os_limits::is_limit_reached;
use crate::run::limited_command::status_in_words;
use crate::run::program_search::start_error;

/// Time after which a command is taken to hang.
const MAX_TIME: Duration = Duration::from_secs(120);

/// Words of queues that have no time, or as many jobs as they take: they may take them later. All else is for good.
const FOR_NOW: [&str; 11] = [
    "Unable to contact slurm controller",
    "Socket timed out",
    "Connection refused",
    "Connection reset",
    "temporarily unable",
    "Resource temporarily unavailable",
    "Zero Bytes were transmitted",
    "Slurm backup controller",
    "MaxSubmit",
    "submit limit",
    "Unexpected message received",
];

/// Output of a command that messages call `called`, with `input` as its standard input.
pub(super) fn run(called: &str, command: &mut Command, input: &[u8]) -> Result<String, Refusal> {
    let name = command.get_program().to_string_lossy().into_owned();
    let refusal = |message: String, is_for_now| Refusal { message, is_for_now, is_of_queue: true };
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| {
        let error = start_error(command, error);
        let message = match error.kind() {
            ErrorKind::NotFound => format!("`{name}` is not on the PATH"),
            _ => format!("{called} cannot be started: {error}"),
        };
        Refusal { message, is_for_now: is_limit_reached(&error), is_of_queue: false }
    })?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that reads nothing says why by its exit.
        let _ = stdin.write_all(input);
    }
    let (out, err) = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let begun = Instant::now();
    let mut pause = Duration::from_millis(1);
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if begun.elapsed() < MAX_TIME => std::thread::sleep(pause),
            other => {
                let _ = child.kill().and_then(|()| child.wait().map(drop));
                let late = || format!("it takes longer than {}", written_duration(MAX_TIME));
                let why = other.err().map_or_else(late, |error| error.to_string());
                return Err(refusal(format!("{called} does not answer: {why}"), true));
            }
        }
        pause = (pause * 2).min(Duration::from_millis(50));
    };
    let text = |thread: Option<JoinHandle<Vec<u8>>>| {
        let bytes = thread.and_then(|thread| thread.join().ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let (out, err) = (text(out), text(err));
    if status.success() {
        return Ok(out);
    }
    let lines =
        err.lines().map(|line| line.trim_start_matches(&format!("{name}: ")).trim_start_matches("error: ").trim());
    let message = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let is_for_now = FOR_NOW.iter().any(|sign| message.contains(sign)) && !names_limit_of_a_job(&message);
    let message = if message.is_empty() { format!("{called} ended with {}", status_in_words(status)) } else { message };
    Err(refusal(message, is_for_now))
}

/// Whether a message names a limit which the job itself exceeds. Slurm's sentence about it is that about too many jobs, after a line with the
/// limit's name.
fn names_limit_of_a_job(message: &str) -> bool {
    let is_limit = |word: &&str| word.ends_with("Limit") && (word.starts_with("QOS") || word.starts_with("Assoc"));
    let words = message.split(|letter: char| !letter.is_ascii_alphanumeric());
    words.filter(is_limit).any(|word| !word.contains("Submit") && !word.contains("MaxJobs"))
}

fn read_all(stream: Option<impl Read + Send + 'static>) -> Option<JoinHandle<Vec<u8>>> {
    let mut stream = stream?;
    let read = move || {
        let mut bytes = Vec::new();
        // What was read until an error is all there is.
        let _ = stream.read_to_end(&mut bytes);
        bytes
    };
    std::thread::Builder::new().spawn(read).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_is_full_may_take_a_job_later_and_one_that_is_too_long_never() {
        let refusal = |reason: &str| {
            let sentence = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)";
            let line = format!(
                "echo 'sh: error: {reason}' >&2; echo \"sh: error: Batch job submission failed: {sentence}\" >&2; exit 1"
            );
            run("`sh`", Command::new("sh").args(["-c", &line]), b"").unwrap_err()
        };
        for (reason, is_for_now) in [
            ("AssocMaxSubmitJobLimit", true),
            ("QOSMaxSubmitJobPerUserLimit", true),
            ("QOSMaxWallDurationPerJobLimit", false),
            ("AssocMaxCpuPerJobLimit", false),
        ] {
            assert_eq!(refusal(reason).is_for_now, is_for_now, "{reason}");
            assert_eq!(refusal(reason).is_of_number(), is_for_now, "no number of jobs is small enough for {reason}");
        }
    }

    #[test]
    fn commands_that_say_nothing_are_named() {
        let said = |program: &str, line: &str| {
            let refusal = run("the command `batch.poll`", Command::new(program).args(["-c", line]), b"").unwrap_err();
            format!("{} (asked: {})", refusal.message, refusal.is_of_queue)
        };
        let all = [
            said("sh", "exit 3"),
            said("no-such-program", ""),
            said("sh", "kill -KILL $$"),
            said("sh", "echo no >&2; exit 1"),
        ];
        insta::assert_snapshot!(all.join("\n"), @"
        the command `batch.poll` ended with exit status 3 (asked: true)
        `no-such-program` is not on the PATH (asked: false)
        the command `batch.poll` ended with signal 9 (SIGKILL) (asked: true)
        no (asked: true)
        ");
    }
}
