//! Timelines of runs, from their events.

use std::collections::{BTreeMap, HashMap};

use athanor_cache::Digest;

use crate::escape::{escape, escape_lines};
use crate::events::{Outcome, RunEvent, Stamped};
use crate::gpu::GpuId;
use crate::plan::{InstanceId, Plan};
use crate::report::data::{FailureData, InstanceState, Spans, Timeline};
use crate::view::time_left::Pace;

/// Failures whose logs a report shows.
const MAX_FAILURES: usize = 50;

/// Events of a run, read as one.
#[derive(Debug, Default)]
pub(crate) struct RunState {
    /// State of each instance that anything happened to.
    pub states: HashMap<usize, InstanceState>,
    /// Timeline.
    pub timeline: Timeline,
    /// Failures.
    pub failures: Vec<FailureData>,
    /// Outcome; `None` as long as the run goes on, or if it was killed.
    pub outcome: Option<Outcome>,
    /// Progress of instances, with times in milliseconds since 1970, and the noun of its units.
    pub progress: HashMap<usize, (Pace<i64>, String)>,
    /// Last values of metrics, by instance and metric, of instances that are not finished.
    pub metrics: BTreeMap<(usize, String), f64>,
    /// Curves of these.
    pub curves: BTreeMap<(usize, String), Vec<(u64, f64)>>,
    /// Messages of instances and of the run.
    pub messages: Vec<String>,
    /// Why instances wait in the queue of a cluster, or for another run.
    pub queued: HashMap<usize, String>,
    /// Node of a cluster on which the latest attempt of an instance runs or ran.
    pub nodes: HashMap<usize, String>,
    /// Whether the run was asked to stop.
    pub is_stopping: bool,
    /// Number of instances that the run was to bring up to date.
    wanted: usize,
    /// Number of them that were found in the cache, once the run has ended.
    found: Option<usize>,
    /// Fingerprints of the results that the run made.
    made: HashMap<usize, Digest>,
    /// Log of the latest attempt of each instance.
    logs: HashMap<usize, String>,
    /// Span of each running attempt.
    running: HashMap<usize, usize>,
    /// Time at which each instance's outputs were there.
    there: HashMap<usize, i64>,
}

impl RunState {
    /// Reads events in their order. Instances that the plan no longer has are left out.
    pub(crate) fn of(plan: &Plan, events: &[Stamped]) -> RunState {
        let numbers: HashMap<&str, usize> =
            plan.instances.iter().map(|instance| (instance.name.as_str(), instance.id.index())).collect();
        let mut run_state = RunState::default();
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            run_state.timeline.begin = first.time.as_millisecond();
            run_state.timeline.end = last.time.as_millisecond();
        }
        for stamped in events {
            match &stamped.event {
                RunEvent::RunStarted { instances, .. } => run_state.wanted = *instances,
                RunEvent::RunFinished { outcome, counts, .. } => {
                    (run_state.outcome, run_state.found) = (Some(*outcome), Some(counts.cached));
                }
                RunEvent::Notice { message } => run_state.messages.push(message.clone()),
                RunEvent::StopRequested { .. } => run_state.is_stopping = true,
                event => {
                    if let Some(number) = event.instance().and_then(|name| numbers.get(name)) {
                        run_state.apply(plan, *number, event, stamped.time.as_millisecond());
                    }
                }
            }
        }
        let end = run_state.timeline.end;
        let Spans { state, end: ends, .. } = &mut run_state.timeline.spans;
        for span in run_state.running.values().copied().filter(|span| state[*span] == InstanceState::Running) {
            ends[span] = end;
        }
        run_state.timeline.critical = run_state.critical_path(plan);
        run_state
    }

    /// Adds what was found in the cache as an earlier run had left it, of which the log has no line: of these instances, which have
    /// results, those that nothing happened to. Of a run of some targets it is not known which ones it was about, unless they are
    /// as many as it says; `all` is the number of instances of the pipeline.
    pub(crate) fn add_unchanged(&mut self, with_results: impl Iterator<Item = usize>, all: usize) {
        let unchanged: Vec<usize> = with_results.filter(|number| !self.states.contains_key(number)).collect();
        let hits = &mut self.timeline.cached;
        let is_known = match self.found {
            Some(found) => found == hits.i.len() + unchanged.len(),
            None => self.wanted == all,
        };
        if is_known {
            hits.at.resize(hits.i.len() + unchanged.len(), 0);
            hits.i.extend(unchanged);
        }
    }

    /// Instances that run at the end of the log: their numbers, times of start, and logs.
    pub(crate) fn running_instances(&self) -> impl Iterator<Item = (usize, i64, &str)> {
        let mut running: Vec<(usize, i64, &str)> = self
            .running
            .iter()
            .filter(|(_, span)| self.timeline.spans.state[**span] == InstanceState::Running)
            .map(|(number, span)| {
                let log = self.logs.get(number).map(String::as_str).unwrap_or_default();
                (*number, self.timeline.spans.start[*span], log)
            })
            .collect();
        running.sort_unstable();
        running.into_iter()
    }

    /// State in which the run left an instance that has this result now; `None` if the run made another one, under other variables.
    pub(crate) fn state_for(&self, number: usize, result: Option<Digest>) -> Option<InstanceState> {
        let is_other = result.is_some() && self.made.get(&number).is_some_and(|made| Some(*made) != result);
        self.states.get(&number).copied().filter(|_| !is_other)
    }

    /// Says of what ran at the end of the log that it was interrupted: its run was killed.
    pub(crate) fn end_with_its_run(&mut self) {
        for state in self.states.values_mut().chain(&mut self.timeline.spans.state) {
            if *state == InstanceState::Running {
                *state = InstanceState::Interrupted;
            }
        }
    }

    /// Notes what an instance reports.
    fn note(&mut self, number: usize, event: &RunEvent, now: i64) {
        match event {
            RunEvent::Progress { done, total, unit, .. } => {
                let since = self.running.get(&number).map_or(now, |span| self.timeline.spans.start[*span]);
                let first = || (Pace::new(*done, *total, since, now), unit.clone());
                self.progress.entry(number).or_insert_with(first).0.report(*done, *total);
            }
            RunEvent::Metric { name, value, step, .. } => {
                self.metrics.insert((number, name.clone()), *value);
                if let Some(step) = step {
                    self.curves.entry((number, name.clone())).or_default().push((*step, *value));
                }
            }
            RunEvent::Message { instance, text } | RunEvent::Warning { instance, text } => {
                self.messages.push(format!("{instance}: {text}"));
            }
            RunEvent::Started { log, .. } => {
                self.logs.insert(number, log.clone());
                self.progress.remove(&number);
                self.nodes.remove(&number);
                self.queued.remove(&number);
            }
            RunEvent::Queued { job, reason, .. } => {
                let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
                self.queued.insert(number, format!("in job {job}{reason}"));
            }
            RunEvent::Placed { node, .. } => drop(self.nodes.insert(number, node.clone())),
            RunEvent::Waiting { .. } => drop(self.queued.insert(number, "for another run, which makes it".to_owned())),
            // From now on its record has them.
            RunEvent::Finished { fingerprint, .. } => {
                self.made.insert(number, *fingerprint);
                self.metrics.retain(|(of, _), _| *of != number);
                self.curves.retain(|(of, _), _| *of != number);
            }
            _ => {}
        }
    }

    fn apply(&mut self, plan: &Plan, number: usize, event: &RunEvent, now: i64) {
        self.note(number, event, now);
        let state = match event {
            RunEvent::Started { attempt, cpus, gpus, .. } => {
                // A later attempt was ready when the one before it had failed.
                let ready = if *attempt == 1 { Some(self.ready(plan, number)) } else { None };
                self.running.insert(number, self.timeline.spans.i.len());
                self.timeline.spans.begin(number, now, ready, (*cpus, gpus), *attempt)
            }
            RunEvent::Queued { .. } => self.place(number, now, InstanceState::Waiting, None),
            RunEvent::Placed { node, .. } => self.place(number, now, InstanceState::Running, Some(node.clone())),
            RunEvent::Storing { .. } => {
                if let Some(span) = self.running.get(&number) {
                    self.timeline.spans.end[*span] = now;
                    self.timeline.spans.state[*span] = InstanceState::Done;
                }
                self.running.remove(&number);
                return;
            }
            RunEvent::Stored { .. } => {
                self.there.insert(number, now);
                return;
            }
            RunEvent::Cached { .. } => {
                if self.there.insert(number, now).is_none() {
                    self.timeline.cached.i.push(number);
                    self.timeline.cached.at.push(now - self.timeline.begin);
                }
                InstanceState::Cached
            }
            RunEvent::Finished { .. } => InstanceState::Done,
            RunEvent::Failed { instance, attempt, cause, help, log_tail, retrying } => {
                if self.failures.len() < MAX_FAILURES {
                    self.failures.push(FailureData {
                        instance: escape(instance).into_owned(),
                        attempt: *attempt,
                        cause: escape_lines(cause).into_owned(),
                        help: help.as_ref().map(|help| escape_lines(help).into_owned()),
                        log: log_tail.iter().map(|line| escape_lines(line).into_owned()).collect(),
                        retrying: *retrying,
                    });
                }
                self.end(number, now, InstanceState::Failed);
                if *retrying { InstanceState::Waiting } else { InstanceState::Failed }
            }
            RunEvent::Deferred { .. } | RunEvent::Resuming { .. } | RunEvent::Evicted { .. } => {
                self.end(number, now, InstanceState::Interrupted);
                InstanceState::Waiting
            }
            RunEvent::Interrupted { .. } => {
                self.end(number, now, InstanceState::Interrupted);
                InstanceState::Interrupted
            }
            RunEvent::Skipped { .. } => InstanceState::Skipped,
            _ => return,
        };
        self.states.insert(number, state);
    }

    /// Lets an attempt begin now, where it got to: in a queue, or on a node.
    fn place(&mut self, number: usize, now: i64, state: InstanceState, node: Option<String>) -> InstanceState {
        if let Some(span) = self.running.get(&number).copied() {
            let spans = &mut self.timeline.spans;
            (spans.start[span], spans.end[span]) = (now, now);
            (spans.state[span], spans.node[span]) = (state, node);
        }
        state
    }

    fn end(&mut self, number: usize, now: i64, state: InstanceState) {
        if let Some(span) = self.running.remove(&number) {
            self.timeline.spans.end[span] = now;
            self.timeline.spans.state[span] = state;
        }
    }

    /// Time at which all that an instance reads was there.
    fn ready(&self, plan: &Plan, number: usize) -> i64 {
        let producers = plan.producers(InstanceId(number as u32));
        let there = producers.filter_map(|producer| self.there.get(&producer.index()).copied());
        there.max().unwrap_or(self.timeline.begin).max(self.timeline.begin)
    }

    /// Chain of attempts without which the run would have ended earlier: from the one that ended last, back over the producer
    /// whose outputs were there last.
    fn critical_path(&self, plan: &Plan) -> Vec<usize> {
        let spans = &self.timeline.spans;
        let made: HashMap<usize, i64> = spans.i.iter().copied().zip(spans.end.iter().copied()).collect();
        let mut next =
            made.iter().max_by_key(|(number, end)| (**end, std::cmp::Reverse(**number))).map(|(number, _)| *number);
        let mut path = Vec::new();
        while let Some(number) = next {
            path.push(number);
            let producers = plan.producers(InstanceId(number as u32)).map(InstanceId::index);
            next = producers.filter(|producer| made.contains_key(producer)).max_by_key(|producer| made[producer]);
        }
        path.reverse();
        path
    }
}

impl Spans {
    /// Begins a span; returns its state.
    fn begin(
        &mut self,
        instance: usize,
        now: i64,
        ready: Option<i64>,
        (cpus, gpus): (u32, &[GpuId]),
        attempt: u32,
    ) -> InstanceState {
        self.i.push(instance);
        self.start.push(now);
        self.end.push(now);
        self.ready.push(ready);
        self.cpus.push(cpus);
        self.gpus.push(gpus.iter().map(ToString::to_string).collect());
        self.attempt.push(attempt);
        self.node.push(None);
        self.state.push(InstanceState::Running);
        InstanceState::Running
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::language::SourceText;
    use crate::plan::{Overrides, compile};

    const PIPELINE: &str = "
athanor: 1
name: p
stages:
  a: { kind: command, run: 'echo > ${{ outputs.o }}', outputs: { o: o } }
  b: { kind: command, run: 'cat ${{ inputs.i }} > ${{ outputs.o }}', inputs: { i: a }, outputs: { o: o } }
  c: { kind: command, run: 'echo 1 > ${{ outputs.o }}', outputs: { o: o } }
";

    fn plan() -> Plan {
        let source = SourceText { name: "p.yaml".to_owned(), text: PIPELINE.to_owned() };
        compile(&source, &Overrides::default()).unwrap_or_else(|_| panic!("the pipeline has mistakes"))
    }

    fn at(ms: i64, event: RunEvent) -> Stamped {
        Stamped { time: Timestamp::from_millisecond(ms).unwrap(), event }
    }

    fn started(name: &str) -> RunEvent {
        let fingerprint = athanor_cache::Digest::of(b"x");
        let (instance, log, gpus) = (name.to_owned(), String::new(), Vec::new());
        RunEvent::Started { instance, fingerprint, attempt: 1, cpus: 1, gpus, log, queues: false }
    }

    fn owned(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn work_on_a_cluster_begins_on_its_node() {
        let queued = |reason: Option<&str>| RunEvent::Queued {
            instance: owned("a"),
            job: owned("7"),
            reason: reason.map(owned),
        };
        let placed = RunEvent::Placed { instance: owned("a"), job: owned("7"), node: owned("n1") };
        let mut events = vec![at(100, started("a")), at(110, queued(Some("Priority"))), at(120, started("c"))];
        let waits = RunState::of(&plan(), &events);
        assert_eq!(waits.states[&0], InstanceState::Waiting);
        assert_eq!(waits.queued[&0], "in job 7: Priority");
        assert_eq!(waits.running_instances().map(|(number, ..)| number).collect::<Vec<_>>(), [2]);
        assert_eq!(waits.timeline.spans.end, [110, 120], "it does not work yet");
        events.extend([at(150, placed), at(190, RunEvent::Storing { instance: owned("a") })]);
        let run_state = RunState::of(&plan(), &events);
        let spans = &run_state.timeline.spans;
        assert_eq!((spans.ready[0], spans.start[0], spans.end[0]), (Some(100), 150, 190));
        assert_eq!(spans.node, [Some(owned("n1")), None]);
        assert_eq!(run_state.nodes[&0], "n1");
    }

    #[test]
    fn events_become_spans_and_a_critical_path() {
        let plan = plan();
        let events = [
            at(100, RunEvent::Waiting { instance: owned("gone") }),
            at(110, started("a")),
            at(120, started("c")),
            at(150, RunEvent::Storing { instance: owned("a") }),
            at(155, RunEvent::Stored { instance: owned("a") }),
            at(160, RunEvent::Storing { instance: owned("c") }),
            at(170, started("b")),
            at(300, RunEvent::Skipped { instance: owned("b"), because: owned("a") }),
        ];
        let run_state = RunState::of(&plan, &events);
        let spans = &run_state.timeline.spans;
        assert_eq!((&spans.i, &spans.start), (&vec![0, 2, 1], &vec![110, 120, 170]));
        assert_eq!(spans.end, [150, 160, 300], "what still runs ends with the log");
        assert_eq!(spans.ready, [Some(100), Some(100), Some(155)]);
        assert_eq!(run_state.timeline.critical, [0, 1]);
        assert_eq!(run_state.states[&1], InstanceState::Skipped);
        assert_eq!(run_state.outcome, None);
    }

    #[test]
    fn what_a_killed_run_was_at_is_interrupted() {
        let mut run_state = RunState::of(&plan(), &[at(110, started("a")), at(120, started("c"))]);
        assert_eq!(run_state.states[&0], InstanceState::Running);
        run_state.end_with_its_run();
        assert_eq!(run_state.states[&0], InstanceState::Interrupted);
        assert_eq!(run_state.timeline.spans.state, [InstanceState::Interrupted; 2]);
        assert_eq!(run_state.running_instances().count(), 0);
    }
}
