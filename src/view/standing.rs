//! Where instances stand and why, as text.

use athanor_cache::Change;
use serde_json::Value;

use crate::run::assess::{Reason, Standing};

/// Files named for one input before the rest is counted.
const SHOWN_FILES: usize = 10;

/// One line for `status`.
pub fn brief(standing: &Standing) -> String {
    match standing {
        Standing::Fresh => "fresh".to_owned(),
        Standing::Waits { on } => format!("waits for {}", shorten(on)),
        Standing::Stale { reasons } => match reasons.as_slice() {
            [Reason::NeverRan] => "missing: never ran".to_owned(),
            [first, rest @ ..] => {
                let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
                format!("stale: {}{more}", reason(first).lines().next().unwrap_or_default())
            }
            [] => "stale".to_owned(),
        },
    }
}

/// All there is to say, for `explain`.
pub fn full(instance: &str, standing: &Standing) -> String {
    match standing {
        Standing::Fresh => format!("{instance} is fresh: nothing it computes from has changed.\n"),
        Standing::Waits { on } => {
            let on: Vec<String> = on.iter().map(|name| format!("  - {name}\n")).collect();
            format!("{instance} depends on what these make, which are not up to date themselves:\n{}", on.concat())
        }
        Standing::Stale { reasons } => {
            let reasons: Vec<String> = reasons.iter().map(|why| format!("  - {}\n", reason(why))).collect();
            format!("{instance} would run:\n{}", reasons.concat())
        }
    }
}

fn reason(reason: &Reason) -> String {
    match reason {
        Reason::NeverRan => "never ran".to_owned(),
        Reason::Failed { cause } => format!("its last try failed: {cause}"),
        Reason::Forgotten => "its earlier result is no longer in the cache".to_owned(),
        Reason::OutputsLost { names } => format!("outputs are missing from the cache or damaged: {}", names.join(", ")),
        Reason::Kind { from, to } => format!("its kind changed from `{from}` to `{to}`"),
        Reason::Revision { from, to } => format!("its kind computes differently since revision {to} (was {from})"),
        Reason::Seed { from, to } => format!("its seed changed from {from} to {to}"),
        Reason::Parameter { name, from: None, to: Some(to) } => format!("parameter `{name}` is new: {}", value(to)),
        Reason::Parameter { name, from: Some(from), to: None } => {
            format!("parameter `{name}` is gone (was {})", value(from))
        }
        Reason::Parameter { name, from, to } => {
            let show = |side: &Option<Value>| side.as_ref().map(value).unwrap_or_default();
            format!("parameter `{name}` changed from {} to {}", show(from), show(to))
        }
        Reason::Input { port, from, files } => input(port, from, files),
        Reason::InputList { port, from: 0, .. } => format!("input `{port}` is new"),
        Reason::InputList { port, to: 0, .. } => format!("input `{port}` is gone"),
        Reason::InputList { port, from, to } => format!("input `{port}` has {to} artifacts (had {from})"),
    }
}

fn input(port: &str, from: &str, files: &[Change]) -> String {
    let mut text = format!("input `{port}` changed: {from}");
    for change in files.iter().take(SHOWN_FILES) {
        text += &match change {
            Change::Added(path) => format!("\n      added    {path}"),
            Change::Removed(path) => format!("\n      removed  {path}"),
            Change::Modified(path) => format!("\n      modified {path}"),
        };
    }
    if files.len() > SHOWN_FILES {
        text += &format!("\n      and {} more files", files.len() - SHOWN_FILES);
    }
    text
}

fn value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        other => other.to_string(),
    }
}

fn shorten(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}
