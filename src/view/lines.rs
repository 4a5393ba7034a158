//! Events as lines of text: the wording that the terminal and the plain view share.

use crate::escape::{escape, escape_lines};
use crate::events::{Counts, Outcome, ResultAction, RunEvent};
use crate::gpu::GpuId;
use crate::view::text::{count, duration};

/// Permanent text of an event, possibly of several lines; `None` for events that only move a clock or a bar.
pub fn describe(event: &RunEvent) -> Option<String> {
    match event {
        RunEvent::RunStarted { pipeline, instances, .. } => {
            Some(format!("{}: {}", escape(pipeline), count(*instances, "instance")))
        }
        RunEvent::Withheld { variable, stage } => Some(withheld(&escape(variable), &escape(stage))),
        RunEvent::Waiting { instance } => Some(format!("waiting      {}: another run is making it", escape(instance))),
        RunEvent::Started { instance, attempt, cpus, gpus, .. } => Some(started(instance, *attempt, *cpus, gpus)),
        RunEvent::Advice { instance, message } => {
            Some(format!("note         {}: {}", escape(instance), escape(message)))
        }
        RunEvent::Warning { instance, text } => Some(format!("warning      {}: {}", escape(instance), escape(text))),
        RunEvent::Message { instance, text } => Some(format!("message      {}: {}", escape(instance), escape(text))),
        RunEvent::Finished { instance, duration_ms, undeclared, removed, .. } => {
            let mut text = format!("finished     {} in {}", escape(instance), duration(*duration_ms));
            if !undeclared.is_empty() {
                text += &format!(
                    "\n  note: it also wrote {}, which it does not declare, so it was dropped",
                    list(undeclared)
                );
            }
            if !removed.is_empty() {
                text += &format!(
                    "\n  warning: it added {} to its inputs, where these files were removed again; let it write into its own folder, or give it a copy (`writable: true`)",
                    list(removed)
                );
            }
            Some(text)
        }
        RunEvent::Failed { .. } => failed(event),
        RunEvent::Deferred { instance, because } => {
            Some(format!("repeating    {}: {}", escape(instance), escape(because)))
        }
        RunEvent::Skipped { instance, because } => {
            Some(format!("skipped      {}: it needs {}, which failed", escape(instance), escape(because)))
        }
        RunEvent::Left { instance, because } => Some(format!("left         {}: {}", escape(instance), escape(because))),
        RunEvent::Resuming { instance, attempt } => {
            let why = "stopped in good order and goes on from its state";
            Some(format!("resuming     {}: attempt {attempt} {why}", escape(instance)))
        }
        RunEvent::Queued { instance, job, reason: Some(reason) } => {
            Some(format!("queued       {} in job {}: {}", escape(instance), escape(job), escape(reason)))
        }
        RunEvent::Placed { instance, job, node } => {
            Some(format!("running      {} on {} in job {}", escape(instance), escape(node), escape(job)))
        }
        RunEvent::Evicted { instance, attempt, why } => {
            Some(format!("resuming     {}: attempt {attempt} {}", escape(instance), escape(why)))
        }
        RunEvent::Interrupted { instance } => Some(format!("interrupted  {}", escape(instance))),
        RunEvent::Notice { message } => Some(format!("note: {}", escape(message))),
        RunEvent::StopRequested { forced, out_of_time } => Some(stopping(*forced, *out_of_time)),
        RunEvent::Result { path, action, aside, cause, help } => {
            result(&escape(path), *action, aside.as_deref(), cause.as_deref(), help.as_deref())
        }
        RunEvent::RunFinished { outcome, counts, duration_ms } => Some(summary(*outcome, counts, *duration_ms)),
        RunEvent::Hashing { .. }
        | RunEvent::Queued { reason: None, .. }
        | RunEvent::Cached { .. }
        | RunEvent::Storing { .. }
        | RunEvent::Stored { .. }
        | RunEvent::Progress { .. }
        | RunEvent::Metric { .. } => None,
    }
}

/// A variable that a script names and does not get.
fn withheld(variable: &str, stage: &str) -> String {
    format!(
        "note: `{variable}` is set here and named by `{stage}`, which does not get it: `env_passthrough: [{variable}]` passes it, \
         `env: {{ {variable}: … }}` makes it part of what the result depends on"
    )
}

/// A request to stop.
fn stopping(forced: bool, out_of_time: bool) -> String {
    let (why, again) = if out_of_time { ("the time is over", "Ctrl-C") } else { ("stopping", "Ctrl-C again") };
    match forced {
        false => format!("{why}: running stages may finish cleanly ({again} kills them)"),
        true => "killing running stages".to_owned(),
    }
}

fn failed(event: &RunEvent) -> Option<String> {
    let RunEvent::Failed { instance, attempt, cause, help, log_tail, retrying } = event else { return None };
    let again = if *retrying { ", retrying" } else { "" };
    let mut text = format!("failed       {} (attempt {attempt}{again}): {}", escape(instance), escape_lines(cause));
    if let Some(help) = help {
        text += &format!("\n  help: {}", escape_lines(help));
    }
    if !log_tail.is_empty() {
        text += "\n  the end of its log:";
        log_tail.iter().for_each(|line| text += &format!("\n  | {}", escape_lines(line)));
    }
    Some(text)
}

fn started(instance: &str, attempt: u32, cpus: u32, gpus: &[GpuId]) -> String {
    let mut notes = Vec::new();
    if attempt > 1 {
        notes.push(format!("attempt {attempt}"));
    }
    if cpus > 1 {
        notes.push(format!("{cpus} CPUs"));
    }
    if !gpus.is_empty() {
        let devices: Vec<String> = gpus.iter().map(GpuId::to_string).collect();
        notes.push(format!("GPU {}", devices.join(", ")));
    }
    let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
    format!("started      {}{notes}", escape(instance))
}

fn result(
    path: &str,
    action: ResultAction,
    aside: Option<&str>,
    cause: Option<&str>,
    help: Option<&str>,
) -> Option<String> {
    match action {
        ResultAction::Written => Some(format!("result       {path}")),
        ResultAction::Unchanged => None,
        ResultAction::KeptEdited => {
            Some(format!("result       {path} was edited and is left as it is (delete it to get the pipeline's again)"))
        }
        ResultAction::ReplacedEdited => {
            let aside = aside
                .map(|aside| format!("; the edited one that was there is now {}", escape(aside)))
                .unwrap_or_default();
            Some(format!("result       {path} is new{aside}"))
        }
        ResultAction::Refused => {
            let cause = cause.map(|cause| format!(": {}", escape(cause))).unwrap_or_default();
            let help = help.map(|help| format!("\n  help: {}", escape(help))).unwrap_or_default();
            Some(format!("result       {path} cannot be put in place{cause}{help}"))
        }
        ResultAction::Lost => Some(format!(
            "result       {path} is damaged in the cache and is not put in place; run again to make it again"
        )),
    }
}

fn summary(outcome: Outcome, counts: &Counts, milliseconds: u64) -> String {
    let parts = [
        (counts.ran, "ran"),
        (counts.cached, "cached"),
        (counts.failed, "failed"),
        (counts.skipped, "skipped"),
        (counts.interrupted, "interrupted"),
        (counts.not_started, "not started"),
    ];
    let shown: Vec<String> =
        parts.iter().filter(|(number, _)| *number > 0).map(|(number, word)| format!("{number} {word}")).collect();
    let shown = if shown.is_empty() { "nothing to do".to_owned() } else { shown.join(", ") };
    let head = match outcome {
        Outcome::UpToDate => "up to date",
        Outcome::Failed => "failed",
        Outcome::Interrupted => "interrupted",
    };
    format!("{head}: {shown} in {}", duration(milliseconds))
}

fn list(files: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = files.iter().take(SHOWN).map(|file| format!("`{}`", escape(file))).collect::<Vec<_>>().join(", ");
    if files.len() > SHOWN {
        text += &format!(" and {} more", files.len() - SHOWN);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_what_why_and_what_to_do() {
        let event = RunEvent::Failed {
            instance: "model[fold=0]".into(),
            attempt: 1,
            cause: "It ended with exit status 3.".into(),
            help: Some("Look at its log.".into()),
            log_tail: vec!["one".into(), "two".into()],
            retrying: true,
        };
        insta::assert_snapshot!(describe(&event).unwrap(), @r"
        failed       model[fold=0] (attempt 1, retrying): It ended with exit status 3.
          help: Look at its log.
          the end of its log:
          | one
          | two
        ");
    }

    #[test]
    fn nothing_that_a_stage_says_or_is_called_reaches_a_terminal_unseen() {
        let nasty = "\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{7}\ra";
        let owned = || nasty.to_owned();
        let fingerprint = athanor_cache::Digest::of(b"x");
        let events = [
            RunEvent::RunStarted { version: 1, run: owned(), pipeline: owned(), file: owned(), instances: 1 },
            RunEvent::Withheld { variable: owned(), stage: owned() },
            RunEvent::Waiting { instance: owned() },
            RunEvent::Advice { instance: owned(), message: owned() },
            RunEvent::Warning { instance: owned(), text: owned() },
            RunEvent::Message { instance: owned(), text: owned() },
            RunEvent::Resuming { instance: owned(), attempt: 1 },
            RunEvent::Left { instance: owned(), because: owned() },
            RunEvent::Started {
                instance: owned(),
                fingerprint,
                attempt: 2,
                cpus: 1,
                gpus: vec![],
                log: owned(),
                queues: false,
            },
            RunEvent::Finished {
                instance: owned(),
                fingerprint,
                duration_ms: 1,
                undeclared: vec![owned()],
                removed: vec![owned()],
            },
            RunEvent::Deferred { instance: owned(), because: owned() },
            RunEvent::Failed {
                instance: owned(),
                attempt: 1,
                cause: owned(),
                help: Some(owned()),
                log_tail: vec![owned()],
                retrying: false,
            },
            RunEvent::Skipped { instance: owned(), because: owned() },
            RunEvent::Interrupted { instance: owned() },
            RunEvent::Result { path: owned(), action: ResultAction::Written, aside: None, cause: None, help: None },
            RunEvent::Result {
                path: owned(),
                action: ResultAction::Refused,
                aside: None,
                cause: Some(owned()),
                help: Some(owned()),
            },
            RunEvent::Result {
                path: owned(),
                action: ResultAction::ReplacedEdited,
                aside: Some(owned()),
                cause: None,
                help: None,
            },
        ];
        for event in events {
            let text = describe(&event).unwrap();
            assert!(text.contains(r"\u{1b}[2J\u{9b}31m\u{202e}\u{200b}\u{7}\ra"), "{text}");
            assert!(!text.contains(|c| c != '\n' && crate::escape::is_unprintable(c)), "{text:?}");
        }
    }

    #[test]
    fn a_run_with_nothing_to_do_says_so() {
        let counts = Counts { cached: 3, ..Counts::default() };
        assert_eq!(summary(Outcome::UpToDate, &counts, 12), "up to date: 3 cached in 12 ms");
        assert_eq!(summary(Outcome::UpToDate, &Counts::default(), 12), "up to date: nothing to do in 12 ms");
    }
}
