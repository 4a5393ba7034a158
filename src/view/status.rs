//! Status of instances, and the reasons for it, as text.

use athanor_cache::Change;
use athanor_stages::context::ComputesOn;
use serde_json::Value;

use crate::escape::{escape, escape_json, escape_lines};
use crate::run::session::whereabouts::Whereabouts;
use crate::run::status::{Reason, Status};
use crate::run::{Activity, ActivityProgress, Made};
use crate::view::line_diff::line_diff;
use crate::view::metrics::telling;
use crate::view::text::{bytes, duration};

/// Files named for one input before the rest is counted.
const SHOWN_FILES: usize = 10;

/// Note that only a run asks version commands.
pub(crate) const LAST_VERSIONS: &str =
    "note: `versions` and images of containers are as the last run found them; a run asks again\n";

/// Note that only `--remote` asks the remote cache.
pub(crate) const REMOTE_NOT_ASKED: &str = "note: the remote cache was not asked; `--remote` asks it\n";

/// One-line text for `status`.
pub(crate) fn brief(status: &Status) -> String {
    match status {
        Status::Fresh => "fresh".to_owned(),
        Status::Remote => "in the remote cache".to_owned(),
        Status::Waits { on } => format!("waits for {}", shorten(on)),
        Status::Stale { reasons } => match reasons.as_slice() {
            [Reason::NeverRan] => "missing: never ran".to_owned(),
            [unfinished @ Reason::Unfinished { .. }] => format!("missing: {}", reason(unfinished)),
            [Reason::Forced] => "forced".to_owned(),
            [first, rest @ ..] => {
                let rest: Vec<&Reason> = rest.iter().filter(|reason| **reason != Reason::Unchanged).collect();
                let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
                format!("stale: {}{more}", reason(first).lines().next().unwrap_or_default())
            }
            [] => "stale".to_owned(),
        },
    }
}

/// One-line text for work that has not ended.
pub(crate) fn activity(activity: &Activity) -> String {
    let mut parts = Vec::new();
    if let Some(ActivityProgress { done, total, unit }) = &activity.progress {
        let of = if *total > 0 { format!(" of {total}") } else { String::new() };
        parts.push(format!("{done}{of} {}", escape(unit)));
    }
    parts.extend(telling(activity.metrics.iter().map(|(name, value)| (name.as_str(), *value))));
    let attempt = if activity.attempt > 1 { format!(" (attempt {})", activity.attempt) } else { String::new() };
    let since = activity.since.strftime("%Y-%m-%d %H:%M:%S");
    match (activity.is_running, parts.is_empty()) {
        (true, true) => format!("running since {since}{attempt}"),
        (true, false) => format!("running since {since}{attempt}: {}", parts.join(", ")),
        (false, true) => "interrupted; goes on from its state".to_owned(),
        (false, false) => format!("interrupted at {}; goes on from there", parts.join(", ")),
    }
}

/// One-line text for `status`, of an instance that may be under way on a cluster.
pub(crate) fn with_whereabouts(status: &Status, at: Option<&Whereabouts>) -> String {
    match at.filter(|_| *status != Status::Fresh) {
        Some(Whereabouts::Queued { job, reason: None }) => format!("queued in job {}", escape(job)),
        Some(Whereabouts::Queued { job, reason: Some(reason) }) => {
            format!("queued in job {}: {}", escape(job), escape(reason))
        }
        Some(Whereabouts::Running { job, node }) => format!("running on {} in job {}", escape(node), escape(job)),
        None => brief(status),
    }
}

/// Warnings of a result, behind its status.
pub(crate) fn warnings(warnings: &[String]) -> String {
    let more = if warnings.len() > 1 { format!(" (and {} more)", warnings.len() - 1) } else { String::new() };
    warnings.first().map(|first| format!("; warning: {}{more}", escape(first))).unwrap_or_default()
}

/// Full text for `explain`.
pub(crate) fn full(instance: &str, status: &Status) -> String {
    let instance = escape(instance);
    match status {
        Status::Fresh => format!("{instance} is fresh: nothing that was declared has changed.\n"),
        Status::Remote => format!("{instance} is in the remote cache: a run fetches what it needs of it.\n"),
        Status::Waits { on } => {
            let on: Vec<String> = on.iter().map(|name| format!("  - {}\n", escape(name))).collect();
            format!("{instance} depends on instances that are not up to date themselves:\n{}", on.concat())
        }
        Status::Stale { reasons } => {
            let reasons: Vec<String> = reasons.iter().map(|why| format!("  - {}\n", reason(why))).collect();
            format!("{instance} would run:\n{}", reasons.concat())
        }
    }
}

/// Costs of a result and where it was made, for `explain`.
pub(crate) fn made(made: &Made) -> String {
    let node = made.node.as_ref().map(|node| format!(" on {}", escape(node))).unwrap_or_default();
    let mut text = format!("  It took {}{node}", duration(made.duration_ms));
    if let Some(used) = made.used {
        text +=
            &format!(", with {} of CPU time and up to {} of memory", duration(used.cpu_ms), bytes(used.peak_memory));
        if let (Some(read), Some(written)) = (used.read, used.written) {
            text += &format!("; it read {} and wrote {}", bytes(read), bytes(written));
        }
        if let Some(gpu) = used.gpu {
            let busy = gpu.utilisation.map(|percent| format!(" and were busy {percent} % of the time"));
            let (memory, busy) = (bytes(gpu.peak_memory), busy.unwrap_or_default());
            text += &format!("; its GPUs held up to {memory}{busy}");
        }
    }
    text += ".\n";
    text.extend(made.warnings.iter().map(|warning| format!("  It warned: {}.\n", escape_lines(warning))));
    if let Some(ComputesOn { device, instruction_set, precision }) = &made.computed_on {
        let (device, set, precision) = (escape(device), escape(instruction_set), escape(precision));
        text += &format!("  It was computed on {device}, {set}, in {precision}.\n");
    }
    text
}

/// A reason in words.
pub(crate) fn reason(reason: &Reason) -> String {
    match reason {
        Reason::Forced => "`--force` selects it".to_owned(),
        Reason::NeverRan => "never ran".to_owned(),
        Reason::Failed { cause, of_other_work: false } => format!("its last attempt failed: {}", escape_lines(cause)),
        Reason::Failed { cause, of_other_work: true } => {
            format!("its last attempt, which was at other work, failed: {}", escape_lines(cause))
        }
        Reason::Unfinished { of_other_work: false } => "its last attempt has not come to an end".to_owned(),
        Reason::Unfinished { of_other_work: true } => {
            "its last attempt, which was at other work, has not come to an end".to_owned()
        }
        Reason::Unreadable { cause } => format!("what it reads cannot be read: {}", escape_lines(cause)),
        Reason::Unchanged => "nothing that was declared has changed".to_owned(),
        Reason::Forgotten => "its earlier result is no longer in the cache".to_owned(),
        Reason::OutputsLost { names } => {
            format!("outputs are missing from the cache or damaged: {}", escape(&names.join(", ")))
        }
        Reason::Kind { from, to } => format!("its kind changed from `{}` to `{}`", escape(from), escape(to)),
        Reason::Revision { from, to } => format!("its kind computes differently since revision {to} (was {from})"),
        Reason::Seed { from, to } => format!("its seed changed from {from} to {to}"),
        Reason::Parameter { name, from, to } => parameter(&escape(name), from.as_ref(), to.as_ref()),
        Reason::Secret => "a secret in an address of its parameters changed (its value is not kept)".to_owned(),
        Reason::Input { port, from, files } => input(&escape(port), &escape(from), files),
        Reason::InputName { port, from, to } => {
            format!("input `{}` is seen as `{}` (was `{}`)", escape(port), escape(to), escape(from))
        }
        Reason::InputList { port, from: 0, .. } => format!("input `{}` is new", escape(port)),
        Reason::InputList { port, to: 0, .. } => format!("input `{}` is gone", escape(port)),
        Reason::InputList { port, from, to } => format!("input `{}` has {to} artifacts (had {from})", escape(port)),
    }
}

fn parameter(name: &str, from: Option<&Value>, to: Option<&Value>) -> String {
    match (from, to) {
        (None, Some(to)) => format!("parameter `{name}` is new: {}", value(to)),
        (Some(from), None) => format!("parameter `{name}` is gone (was {})", value(from)),
        (Some(Value::String(from)), Some(Value::String(to))) if from.contains('\n') || to.contains('\n') => {
            format!("parameter `{name}` changed:{}", line_diff(from, to))
        }
        (from, to) => {
            let show = |side: Option<&Value>| side.map(value).unwrap_or_default();
            format!("parameter `{name}` changed from {} to {}", show(from), show(to))
        }
    }
}

fn input(port: &str, from: &str, files: &[Change]) -> String {
    let mut text = format!("input `{port}` changed: {from}");
    for change in files.iter().take(SHOWN_FILES) {
        text += &match change {
            Change::Added(path) => format!("\n      added    {}", escape(path)),
            Change::Removed(path) => format!("\n      removed  {}", escape(path)),
            Change::Modified(path) => format!("\n      modified {}", escape(path)),
        };
    }
    if files.len() > SHOWN_FILES {
        text += &format!("\n      and {} more files", files.len() - SHOWN_FILES);
    }
    text
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", escape(text)),
        other => escape_json(&other.to_string()).into_owned(),
    }
}

fn shorten(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => escape(one).into_owned(),
        [first, rest @ ..] => format!("{} and {} more", escape(first), rest.len()),
    }
}
