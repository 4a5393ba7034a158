//! Time limit of a run: which instances are still started. A pure decision over times that are given.

use std::time::{Duration, Instant};

use crate::plan::Instance;
use crate::view::text::duration;

/// Share of the given time that is left for stages to stop in and for results to be put in place: one part of so many.
const MARGIN_SHARE: u32 = 20;
/// Longest such time.
const LONGEST_MARGIN: Duration = Duration::from_secs(120);
/// Share of the margin before whose end stages are killed that were asked to stop: one part of so many.
const KILL_SHARE: u32 = 4;
/// Longest time that can be given: what is longer is none.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Ends of the time that a run was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeEnds {
    /// Time at which running stages are asked to stop.
    pub stop: Instant,
    /// Time at which those are killed that have not stopped.
    pub kill: Instant,
}

impl TimeEnds {
    /// Ends of the time `given` to a run that began at `begun`.
    pub fn new(begun: Instant, given: Duration) -> TimeEnds {
        let given = given.min(LONGEST);
        let margin = (given / MARGIN_SHARE).min(LONGEST_MARGIN);
        TimeEnds { stop: begun + (given - margin), kill: begun + (given - margin / KILL_SHARE) }
    }
}

/// Time limit of a run, and how long its instances are expected to take.
#[derive(Debug, Clone)]
pub struct TimeLimit {
    /// Ends of its time.
    pub ends: TimeEnds,
    /// Expected duration of each instance, by earlier runs, as far as known.
    expected: Vec<Option<Duration>>,
    /// Durations of the instances that this run has made, by stage: their number and their sum.
    made: Vec<(u32, Duration)>,
}

impl TimeLimit {
    /// A limit for instances of `stages` stages that are expected to take as long as in `expected`.
    pub fn new(ends: TimeEnds, expected: Vec<Option<Duration>>, stages: usize) -> TimeLimit {
        TimeLimit { ends, expected, made: vec![(0, Duration::ZERO); stages] }
    }

    /// Learns how long an instance took, for others of its stage of which nothing is known.
    pub fn learn(&mut self, instance: &Instance, took: Duration) {
        let (number, sum) = &mut self.made[instance.stage];
        (*number, *sum) = (*number + 1, *sum + took);
    }

    /// Reason not to start an instance at `now`, as a sentence without a capital and a full stop; `None` if it may be started. One that
    /// goes on from where it was stopped needs no time to end in.
    pub fn refusal(&self, instance: &Instance, now: Instant) -> Option<String> {
        let left = self.ends.stop.saturating_duration_since(now);
        if left.is_zero() {
            return Some("no time is left".to_owned());
        }
        let expected = self.expected[instance.id.index()].or_else(|| {
            let (number, sum) = self.made[instance.stage];
            (number > 0).then(|| sum / number)
        })?;
        let fits = expected <= left || instance.resumes();
        let shown = |time: Duration| duration(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        (!fits).then(|| format!("it takes about {}, and {} are left", shown(expected), shown(left)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::SourceText;
    use crate::plan::{Overrides, Plan, compile};

    const PIPELINE: &str = "athanor: 1
name: p
stages:
  plain: { kind: command, matrix: { n: [1, 2] }, run: 'touch ${{ outputs.o }}', outputs: { o: o } }
  saving: { kind: command, run: 'touch ${{ outputs.o }}', outputs: { o: o }, state: true }
  cells: { kind: synthetic_cells }
  tables: { kind: synthetic_tables }
";

    fn plan() -> Plan {
        let source = SourceText { name: "p.yaml".to_owned(), text: PIPELINE.to_owned() };
        compile(&source, &Overrides::default()).unwrap_or_else(|_| panic!("the pipeline has mistakes"))
    }

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    #[test]
    fn a_twentieth_of_the_time_and_at_most_two_minutes_are_for_the_end() {
        let begun = Instant::now();
        let ends = TimeEnds::new(begun, minutes(20));
        assert_eq!((ends.stop - begun, ends.kill - begun), (minutes(19), minutes(20) - Duration::from_secs(15)));
        let ends = TimeEnds::new(begun, minutes(510));
        assert_eq!((ends.stop - begun, ends.kill - begun), (minutes(508), minutes(510) - Duration::from_secs(30)));
        let ends = TimeEnds::new(begun, Duration::MAX);
        assert!(ends.stop > begun + minutes(60 * 24 * 365));
    }

    #[test]
    fn only_stages_that_end_in_time_or_go_on_later_are_started() {
        let plan = plan();
        let begun = Instant::now();
        let ends = TimeEnds { stop: begun + minutes(60), kill: begun + minutes(61) };
        let mut limit = TimeLimit::new(ends, vec![Some(minutes(50)), None, Some(minutes(90)), None, None], 4);
        let why =
            |limit: &TimeLimit, index: usize, after: u64| limit.refusal(&plan.instances[index], begun + minutes(after));
        assert_eq!(why(&limit, 0, 10), None);
        assert_eq!(why(&limit, 0, 15), Some("it takes about 50 min 0 s, and 45 min 0 s are left".to_owned()));
        // Nothing is known of these; one of another stage says nothing about them.
        assert_eq!((why(&limit, 1, 59), why(&limit, 4, 59)), (None, None));
        limit.learn(&plan.instances[0], minutes(30));
        assert_eq!((why(&limit, 1, 30), why(&limit, 4, 59)), (None, None));
        assert_eq!(why(&limit, 1, 31), Some("it takes about 30 min 0 s, and 29 min 0 s are left".to_owned()));
        // These go on from where they were stopped, as long as there is time for anything.
        limit.learn(&plan.instances[3], minutes(500));
        assert_eq!((why(&limit, 2, 59), why(&limit, 3, 59)), (None, None));
        assert_eq!(why(&limit, 2, 60), Some("no time is left".to_owned()));
    }
}
