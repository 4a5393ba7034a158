//! Remote cache of a run, between its passes and at its end: what is needed is fetched, and the last push is waited for.

use std::collections::HashSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use athanor_cache::{Artifact, OutputRecord};

use crate::events::{Outcome, RunEvent};
use crate::plan::{InstanceId, Plan};
use crate::run::attempts::backend::BackendEvent;
use crate::run::engine::dispatcher::PassResult;
use crate::run::engine::message::Message;
use crate::run::engine::time_limit::TimeEnds;
use crate::run::remote::{RemoteUse, differing};
use crate::run::session::second_pass::SecondPass;
use crate::run::state::journal::Journal;
use crate::run::state::outputs::{Outputs, UpToDate};
use crate::view::text::{bytes, count, pace};

use super::Project;

/// Interval at which messages are looked at while transfers go on.
const LOOK: Duration = Duration::from_millis(100);
/// Interval at which the user is told how far a transfer is.
const TELL: Duration = Duration::from_secs(10);

/// Use of the project's remote cache; `None` if it has none.
pub(super) fn remote_use(project: &Project, sender: &Sender<Message>) -> Option<Arc<RemoteUse>> {
    let config = project.remote.clone()?;
    let sender = sender.clone();
    // A message that nobody receives is of a run that has ended.
    let notify = move |message| drop(sender.send(Message::Backend(BackendEvent::Notice(message))));
    Some(Arc::new(RemoteUse::new(config, Arc::clone(&project.cache), Arc::new(notify))))
}

/// Needs of the results of a pass.
pub(super) struct Needed<'n> {
    pub(super) plan: &'n Plan,
    /// Instances that the run is about, producers first.
    pub(super) wanted: &'n [InstanceId],
    /// Ends of the run's time, if that is limited.
    pub(super) ends: Option<TimeEnds>,
}

impl Needed<'_> {
    /// Fetches results for the user, and what another pass is going to read. Where something does not come, another pass has to
    /// make it, and all that this one reads is here then; returns whether that is so. If the user stops it, that is noted as the
    /// outcome of the pass.
    pub(super) fn fetch(
        &self,
        remote: &Arc<RemoteUse>,
        first: &mut PassResult,
        messages: &Receiver<Message>,
        journal: &mut Journal,
    ) -> bool {
        if first.outcome == Outcome::Interrupted {
            return false;
        }
        let is_broken = |result: &UpToDate| result.outputs.iter().any(|output| remote.is_lost(&output.artifact));
        loop {
            let next = SecondPass::after(first, self.plan, self.wanted, first.keep_going, is_broken);
            let missing = remote.missing(self.artifacts(first, next.as_ref()));
            if missing.is_empty() {
                return next.is_some();
            }
            if let Some(Stopped { out_of_time }) = fetch(remote, missing, self.ends, messages, journal) {
                journal.record(RunEvent::StopRequested { forced: false, out_of_time });
                first.outcome = Outcome::Interrupted;
                return false;
            }
        }
    }

    /// Artifacts that are published, and those that `next` reads.
    fn artifacts<'f>(&self, first: &'f PassResult, next: Option<&SecondPass>) -> Vec<&'f Artifact> {
        let nobody = HashSet::new();
        let makes = next.map_or(&nobody, |next| &next.wanted);
        let results = self.plan.results.iter().flat_map(|entry| &entry.sources).map(|source| source.instance);
        let read = makes.iter().flat_map(|id| self.plan.producers(*id));
        let ids: HashSet<InstanceId> = results.chain(read).filter(|id| !makes.contains(id)).collect();
        let outputs = ids.into_iter().filter_map(|id| first.outputs[id.index()].as_ref());
        outputs.flat_map(|outputs| outputs.iter()).map(|output: &OutputRecord| &output.artifact).collect()
    }
}

/// End of transfers before they were over.
struct Stopped {
    /// Whether the run's time is over, and the user has not asked.
    out_of_time: bool,
}

/// Fetches artifacts, and tells how far it is. Returns whether that was stopped.
fn fetch(
    remote: &Arc<RemoteUse>,
    artifacts: Vec<Artifact>,
    ends: Option<TimeEnds>,
    messages: &Receiver<Message>,
    journal: &mut Journal,
) -> Option<Stopped> {
    let (sender, done) = mpsc::channel();
    let mut watch = Watch::new("fetching", format!("from {}", remote.address()));
    for artifact in artifacts {
        let sender = sender.clone();
        remote.fetch(vec![artifact], move |all| {
            // Nobody waits for it where the user has stopped the run.
            let _ = sender.send(all);
        });
    }
    drop(sender);
    loop {
        match done.recv_timeout(LOOK) {
            Ok(_) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        let is_interrupted = is_interrupted(messages, journal);
        if is_interrupted || is_over(ends) {
            remote.stop();
            return Some(Stopped { out_of_time: !is_interrupted });
        }
        watch.tell(remote.fetched(), journal);
    }
}

/// Waits for the last push of a run, and tells what became of them.
pub(super) fn finish_pushes(
    remote: &RemoteUse,
    ends: Option<TimeEnds>,
    messages: &Receiver<Message>,
    journal: &mut Journal,
) {
    let mut watch = Watch::new("pushing", format!("to {}", remote.address()));
    let mut is_stopped = false;
    let state = loop {
        let state = remote.wait_for_pushes(LOOK);
        is_stopped |= is_interrupted(messages, journal) || is_over(ends);
        if state.left == 0 || is_stopped {
            break state;
        }
        watch.tell((state.done, state.total), journal);
    };
    remote.stop();
    let address = remote.address();
    if state.pushed > 0 {
        let message = format!("pushed {} ({}) to {address}", count(state.pushed, "result"), bytes(state.done));
        journal.record(RunEvent::Notice { message });
    }
    if state.differing > 0 {
        journal.record(RunEvent::Notice { message: differing(state.differing, &address) });
    }
    if state.failures > 0 || is_stopped {
        let left = count(state.failures + if is_stopped { state.left } else { 0 }, "result");
        let message = format!("{left} not pushed to {address}: `athanor cache push` pushes what is not there");
        journal.record(RunEvent::Notice { message });
    }
}

/// Outputs of results, without those that are not here: where the user stopped a run, or nobody needs them.
pub(super) fn outputs_here(remote: Option<&RemoteUse>, outputs: &[Option<Outputs>]) -> Vec<Option<Outputs>> {
    let Some(remote) = remote else { return outputs.to_vec() };
    let is_here = |outputs: &&Outputs| remote.missing(outputs.iter().map(|output| &output.artifact)).is_empty();
    outputs.iter().map(|outputs| outputs.as_ref().filter(is_here).cloned()).collect()
}

/// Whether the time of the run is over.
fn is_over(ends: Option<TimeEnds>) -> bool {
    ends.is_some_and(|ends| Instant::now() >= ends.kill)
}

/// Whether the user stops the run. Messages of the remote cache are passed on.
fn is_interrupted(messages: &Receiver<Message>, journal: &mut Journal) -> bool {
    let mut interrupted = false;
    while let Ok(message) = messages.try_recv() {
        match message {
            Message::Interrupt => interrupted = true,
            Message::Backend(BackendEvent::Notice(message)) => journal.record(RunEvent::Notice { message }),
            // Of a pass that has ended.
            Message::Job(_) | Message::Backend(_) | Message::KeepGoing => {}
        }
    }
    journal.tick();
    interrupted
}

/// Tells how far a long transfer is.
struct Watch {
    does: &'static str,
    place: String,
    begun: Instant,
    told: Instant,
    before: Option<u64>,
}

impl Watch {
    fn new(does: &'static str, place: String) -> Watch {
        Watch { does, place, begun: Instant::now(), told: Instant::now(), before: None }
    }

    fn tell(&mut self, (done, total): (u64, u64), journal: &mut Journal) {
        let before = *self.before.get_or_insert(done);
        if self.told.elapsed() < TELL {
            return;
        }
        self.told = Instant::now();
        let pace = pace(done.saturating_sub(before), total.saturating_sub(before), self.begun.elapsed());
        journal.record(RunEvent::Notice { message: format!("{} {}: {pace}", self.does, self.place) });
    }
}
