//! Commands of a cluster's queue: started, waited for, and read.

use std::io::{ErrorKind, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::batch::Refusal;
use crate::language::quantity::written_duration;
use crate::run::executor::os_limits::is_limit_reached;
use crate::run::limited_command::status_in_words;
use crate::run::program_search::start_error;

/// Time after which a command is taken to hang.
const MAX_TIME: Duration = Duration::from_secs(120);
/// Time for which the end of what a command printed is waited for, after the command itself has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);

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
    let (out, err) = (Printed::by(child.stdout.take()), Printed::by(child.stderr.take()));
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
    let (out, err) = (out.text(), err.text());
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

/// Text that a command prints, read on a thread of its own.
struct Printed {
    bytes: Arc<Mutex<Vec<u8>>>,
    end: Receiver<()>,
}

impl Printed {
    fn by(stream: Option<impl Read + Send + 'static>) -> Printed {
        let (bytes, (ended, end)) = (Arc::default(), channel());
        let read = Arc::clone(&bytes);
        if let Some(stream) = stream {
            // Without a thread there is no text. The end is told by its sender, which goes with the thread.
            let _ = std::thread::Builder::new().spawn(move || read_all(stream, &read, ended));
        }
        Printed { bytes, end }
    }

    /// The text of a command that has ended. Processes that it has left running, such as ssh's master of shared connections, may keep
    /// the stream open for ever, and print nothing that is meant.
    fn text(self) -> String {
        // What has come by then is all there is.
        let _ = self.end.recv_timeout(LAST_WORDS);
        String::from_utf8_lossy(&self.bytes.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

fn read_all(mut stream: impl Read, bytes: &Mutex<Vec<u8>>, _ended: Sender<()>) {
    let mut buffer = [0; 8192];
    loop {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => {
                bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&buffer[..read]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // What was read until an error is all there is.
            Ok(0) | Err(_) => return,
        }
    }
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
    fn processes_that_a_command_leaves_running_are_not_waited_for() {
        let begun = Instant::now();
        let printed = run("`sh`", Command::new("sh").args(["-c", "sleep 60 & echo 12"]), b"");
        assert_eq!(printed.unwrap(), "12\n");
        assert!(begun.elapsed() < Duration::from_secs(30));
        let refusal = run("`sh`", Command::new("sh").args(["-c", "sleep 60 & echo no >&2; exit 1"]), b"").unwrap_err();
        assert_eq!(refusal.message, "no");
        assert!(begun.elapsed() < Duration::from_secs(30));
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
