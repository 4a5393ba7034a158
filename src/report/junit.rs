//! The outcome of a run as JUnit XML, which systems of CI show instance by instance.

use std::collections::HashMap;

use athanor_stages::secrets::mask;
use jiff::Timestamp;

use crate::escape::escape_lines;
use crate::events::{RunEvent, Stamped};
use crate::plan::{InstanceId, Plan};
use crate::report::results::KnownResults;

/// Outcome of one instance.
#[derive(Debug, Default)]
struct Case {
    seconds: f64,
    failure: Option<(String, String)>,
    skipped: Option<String>,
    settled: bool,
}

/// The outcome of a run about the instances `wanted`, by its events. Without a log nothing had to be done. Of a run that did not do all
/// `up_to_date` has the results that are: the log of a run says nothing of what was up to date before it.
pub(crate) fn junit(
    plan: &Plan,
    wanted: &[InstanceId],
    events: &[Stamped],
    up_to_date: Option<&KnownResults>,
) -> String {
    let cases = cases_of(events);
    let has_begun = |name: &str| cases.get(name).is_some_and(|case| !case.settled);
    let finished = events.iter().any(|stamped| matches!(stamped.event, RunEvent::RunFinished { .. }));
    let mut body = String::new();
    let (mut failures, mut skipped, mut seconds) = (0, 0, 0.0);
    for id in wanted {
        let instance = &plan.instances[id.index()];
        let stage = &plan.stages[instance.stage].name;
        let is_there = up_to_date.is_none_or(|results| results.contains_key(&instance.name));
        let none = Case { skipped: (!is_there).then(|| "it was not started".to_owned()), ..Case::default() };
        let case = cases.get(instance.name.as_str()).unwrap_or(&none);
        seconds += case.seconds;
        body += &format!(
            "  <testcase classname=\"{}.{}\" name=\"{}\" time=\"{:.3}\"",
            xml(&plan.name),
            xml(stage),
            xml(&instance.name),
            case.seconds
        );
        body += &match (&case.failure, &case.skipped) {
            (Some((cause, log)), _) => {
                failures += 1;
                format!(">\n    <failure message=\"{}\">{}</failure>\n  </testcase>\n", xml(cause), xml(log))
            }
            (None, Some(why)) => {
                skipped += 1;
                format!(">\n    <skipped message=\"{}\"/>\n  </testcase>\n", xml(why))
            }
            (None, None) if has_begun(&instance.name) && finished => {
                skipped += 1;
                ">\n    <skipped message=\"it was not finished\"/>\n  </testcase>\n".to_owned()
            }
            (None, None) => "/>\n".to_owned(),
        };
    }
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" \
         errors=\"0\" skipped=\"{skipped}\" time=\"{seconds:.3}\">\n{body}</testsuite>\n",
        xml(&plan.name),
        wanted.len()
    )
}

/// The outcomes of instances, by name.
fn cases_of(events: &[Stamped]) -> HashMap<&str, Case> {
    let mut cases: HashMap<&str, Case> = HashMap::new();
    let mut begun: HashMap<&str, Timestamp> = HashMap::new();
    for stamped in events {
        let Some(name) = stamped.event.instance() else { continue };
        let case = cases.entry(name).or_default();
        match &stamped.event {
            RunEvent::Finished { duration_ms, .. } => {
                *case = Case { seconds: *duration_ms as f64 / 1000.0, settled: true, ..Case::default() };
            }
            RunEvent::Cached { .. } => case.settled = true,
            RunEvent::Failed { cause, log_tail, retrying: false, .. } => {
                let begun = begun.get(name).copied().unwrap_or(stamped.time);
                case.seconds = stamped.time.duration_since(begun).as_secs_f64().max(0.0);
                case.failure = Some((cause.clone(), log_tail.join("\n")));
            }
            RunEvent::Skipped { because, .. } => case.skipped = Some(format!("`{because}` failed")),
            RunEvent::Interrupted { .. } => case.skipped = Some("it was interrupted".to_owned()),
            RunEvent::Started { .. } => {
                begun.insert(name, stamped.time);
                case.settled = false;
            }
            _ => {}
        }
    }
    cases
}

/// Text in XML: with everything made visible, as XML has no control characters.
fn xml(text: &str) -> String {
    let visible = escape_lines(text);
    let masked = mask(&visible);
    let mut out = String::with_capacity(masked.len());
    for c in masked.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\n' => out += "&#10;",
            '\t' => out += "&#9;",
            other => out.push(other),
        }
    }
    out
}
