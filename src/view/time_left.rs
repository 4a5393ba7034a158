//! Time that a run still needs: from how long its instances took before, and how far those are that run. Pure.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::events::RunEvent;
use crate::plan::{InstanceId, Plan};

/// Forecast of a run.
#[derive(Debug, Default)]
pub(crate) struct TimeLeft {
    /// Instances that the run is to bring up to date, producers first.
    tasks: Vec<Task>,
    /// Places in that list, by name.
    places: HashMap<String, usize>,
    /// Numbers and seconds of the instances that this run made, by stage.
    made: Vec<(f64, f64)>,
}

/// Progress of an attempt. Its first report may count what an earlier attempt has done, of which nothing says how long it took.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pace<T> {
    /// Units that were done, and when.
    from: (u64, T),
    /// Units that are done now.
    pub(crate) done: u64,
    /// Units in all; 0 when unknown.
    pub(crate) total: u64,
}

impl<T> Pace<T> {
    /// Progress by the first report of an attempt, at `now`, that began at `since`.
    pub(crate) fn new(done: u64, total: u64, since: T, now: T) -> Pace<T> {
        // One unit is what this attempt has done by then.
        Pace { from: if done <= 1 { (0, since) } else { (done, now) }, done, total }
    }

    /// Takes a further report.
    pub(crate) fn report(&mut self, done: u64, total: u64) {
        (self.done, self.total) = (done, total);
    }

    /// Seconds that are left, if this attempt has done anything yet; `elapsed` are those since a time.
    pub(crate) fn seconds_left(&self, elapsed: impl FnOnce(&T) -> f64) -> Option<f64> {
        let (first, since) = &self.from;
        let gained = self.done.checked_sub(*first).filter(|gained| *gained > 0 && self.total > 0)?;
        let left = self.total.saturating_sub(self.done);
        Some(elapsed(since).max(0.0) * left as f64 / gained as f64)
    }
}

/// Instance of a run.
#[derive(Debug)]
struct Task {
    stage: usize,
    /// Places of the instances that it reads from.
    producers: Vec<usize>,
    /// Expected seconds, by earlier runs, as far as known.
    known: Option<f64>,
    /// Share of the run's resources that it takes.
    share: f64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Waiting,
    /// With its progress, if it reports any.
    Running {
        since: Instant,
        pace: Option<Pace<Instant>>,
    },
    Over,
}

impl TimeLeft {
    /// Forecast of a run of the instances in `wanted`, producers first, that are expected to take as long as in `known`, and take
    /// the shares in `shares` of its resources.
    pub(crate) fn new(plan: &Plan, wanted: &[InstanceId], known: &[Option<Duration>], shares: &[f64]) -> TimeLeft {
        let numbers: HashMap<InstanceId, usize> = wanted.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let task = |id: &InstanceId| Task {
            stage: plan.instances[id.index()].stage,
            producers: plan.producers(*id).filter_map(|producer| numbers.get(&producer).copied()).collect(),
            known: known[id.index()].map(|duration| duration.as_secs_f64()),
            share: shares[id.index()],
            state: State::Waiting,
        };
        let name = |id: &InstanceId| plan.instances[id.index()].name.clone();
        TimeLeft {
            tasks: wanted.iter().map(task).collect(),
            places: wanted.iter().enumerate().map(|(place, id)| (name(id), place)).collect(),
            made: vec![(0.0, 0.0); plan.stages.len()],
        }
    }

    /// Takes an event that is seen at `now`.
    pub(crate) fn event(&mut self, event: &RunEvent, now: Instant) {
        let Some(place) = event.instance().and_then(|name| self.places.get(name)) else { return };
        let task = &mut self.tasks[*place];
        match event {
            RunEvent::Started { queues: false, .. } | RunEvent::Placed { .. } => {
                task.state = State::Running { since: now, pace: None };
            }
            RunEvent::Progress { done, total, .. } if *total > 0 => {
                if let State::Running { since, pace } = &mut task.state {
                    pace.get_or_insert_with(|| Pace::new(*done, *total, *since, now)).report(*done, *total);
                }
            }
            RunEvent::Finished { duration_ms, .. } => {
                task.state = State::Over;
                let (count, seconds) = &mut self.made[task.stage];
                (*count, *seconds) = (*count + 1.0, *seconds + *duration_ms as f64 / 1000.0);
            }
            RunEvent::Cached { .. } | RunEvent::Stored { .. } | RunEvent::Skipped { .. } | RunEvent::Left { .. } => {
                task.state = State::Over;
            }
            RunEvent::Failed { retrying: false, .. } | RunEvent::Interrupted { .. } => task.state = State::Over,
            RunEvent::Failed { .. }
            | RunEvent::Resuming { .. }
            | RunEvent::Evicted { .. }
            | RunEvent::Deferred { .. } => {
                task.state = State::Waiting;
            }
            _ => {}
        }
    }

    /// Time that is left at `now`, if enough is known: no less than the work that is left takes on all resources, or the longest
    /// chain of instances that wait for each other.
    pub(crate) fn left(&self, now: Instant) -> Option<Duration> {
        let mut work = 0.0;
        let mut longest = 0.0_f64;
        let mut until_end = vec![0.0; self.tasks.len()];
        for (place, task) in self.tasks.iter().enumerate() {
            let seconds = self.seconds_left(task, now)?;
            work += seconds * task.share;
            let begin = task.producers.iter().map(|producer| until_end[*producer]).fold(0.0, f64::max);
            until_end[place] = begin + seconds;
            longest = longest.max(until_end[place]);
        }
        Some(Duration::from_secs_f64(work.max(longest)))
    }

    fn seconds_left(&self, task: &Task, now: Instant) -> Option<f64> {
        let expected = task.known.or_else(|| {
            let (count, seconds) = self.made[task.stage];
            (count > 0.0).then(|| seconds / count)
        });
        match task.state {
            State::Over => Some(0.0),
            State::Waiting => expected,
            State::Running { since, pace } => {
                let elapsed = |since: &Instant| now.saturating_duration_since(*since).as_secs_f64();
                let by_pace = pace.and_then(|pace| pace.seconds_left(elapsed));
                by_pace.or_else(|| expected.map(|expected| (expected - elapsed(&since)).max(0.0)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::SourceText;
    use crate::plan::{Overrides, compile};

    const PIPELINE: &str = "athanor: 1
name: p
stages:
  part: { kind: command, matrix: { n: [1, 2, 3, 4] }, run: 'touch ${{ outputs.o }}', outputs: { o: o } }
  all: { kind: command, inputs: { i: part }, run: 'cat ${{ inputs.i }} > ${{ outputs.o }}', outputs: { o: o } }
";

    fn forecast(known: [Option<u64>; 5]) -> TimeLeft {
        let source = SourceText { name: "p.yaml".to_owned(), text: PIPELINE.to_owned() };
        let plan = compile(&source, &Overrides::default()).unwrap_or_else(|_| panic!("the pipeline has mistakes"));
        let known: Vec<Option<Duration>> = known.iter().map(|known| known.map(Duration::from_secs)).collect();
        // Two at once.
        TimeLeft::new(&plan, &plan.order(), &known, &[0.5; 5])
    }

    fn started(name: &str) -> RunEvent {
        let fingerprint = athanor_cache::Digest::of(name.as_bytes());
        let (instance, gpus, log) = (name.to_owned(), Vec::new(), String::new());
        RunEvent::Started { instance, fingerprint, attempt: 1, cpus: 1, gpus, log, queues: false }
    }

    fn finished(name: &str, seconds: u64) -> RunEvent {
        let fingerprint = athanor_cache::Digest::of(name.as_bytes());
        let (undeclared, removed) = (Vec::new(), Vec::new());
        RunEvent::Finished { instance: name.to_owned(), fingerprint, duration_ms: seconds * 1000, undeclared, removed }
    }

    fn seconds(left: &TimeLeft, now: Instant) -> Option<u64> {
        left.left(now).map(|left| left.as_secs())
    }

    #[test]
    fn it_is_the_work_or_the_longest_chain() {
        let now = Instant::now();
        let at = |after: u64| now + Duration::from_secs(after);
        let mut left = forecast([Some(10), Some(10), Some(10), Some(10), Some(60)]);
        assert_eq!(seconds(&left, now), Some(70), "the chain");
        left = forecast([Some(10), Some(10), Some(10), Some(10), Some(1)]);
        assert_eq!(seconds(&left, now), Some(20), "the work");
        left.event(&started("part[n=1]"), now);
        assert_eq!(seconds(&left, at(4)), Some(18));
        let (done, total, unit) = (1, 5, String::new());
        left.event(&RunEvent::Progress { instance: "part[n=1]".to_owned(), done, total, unit }, at(4));
        assert_eq!(seconds(&left, at(4)), Some(23), "it says itself that it takes longer");
        left.event(&finished("part[n=1]", 20), at(20));
        assert_eq!(seconds(&left, at(20)), Some(15));
    }

    #[test]
    fn what_an_earlier_attempt_has_done_says_nothing_of_the_pace() {
        let now = Instant::now();
        let at = |after: u64| now + Duration::from_secs(after);
        let mut left = forecast([Some(30), Some(0), Some(0), Some(0), Some(0)]);
        let progress = |done| {
            let (instance, total, unit) = ("part[n=1]".to_owned(), 1000, String::new());
            RunEvent::Progress { instance, done, total, unit }
        };
        left.event(&started("part[n=1]"), now);
        left.event(&progress(900), at(10));
        assert_eq!(seconds(&left, at(10)), Some(20), "as long as last time");
        left.event(&progress(910), at(30));
        assert_eq!(seconds(&left, at(30)), Some(180), "ten in twenty seconds");
    }

    #[test]
    fn what_this_run_learns_counts_and_without_it_nothing_is_said() {
        let now = Instant::now();
        let mut left = forecast([None, None, None, None, Some(1)]);
        assert_eq!(seconds(&left, now), None);
        left.event(&finished("part[n=2]", 8), now);
        assert_eq!(seconds(&left, now), Some(12));
        let skipped = |name: &str| RunEvent::Skipped { instance: name.to_owned(), because: String::new() };
        ["part[n=1]", "part[n=3]", "part[n=4]", "all"].iter().for_each(|name| left.event(&skipped(name), now));
        assert_eq!(seconds(&left, now), Some(0));
    }
}
