//! Metrics that an attempt reports: their last values, or those of the best epoch, and curves of those that have steps.
//!
//! A curve of any length is reduced to a bounded number of points while it arrives. It is cut into buckets of equally many points, of which
//! the minimum, the maximum and the last one stay; when there are too many of these, two neighbouring buckets become one. So peaks
//! stay where they are, and the curve ends where it ended.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

/// Metric of a training that is the epoch of its result.
const BEST_EPOCH: &str = "best_epoch";

/// Maximum number of points of a curve.
pub const MAX_POINTS: usize = 4096;

/// Point of a curve that was reported.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    /// Number of points before it.
    index: u64,
    step: u64,
    value: f64,
}

/// Points of a curve that follow each other, of which at most three are kept.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    count: u64,
    minimum: Point,
    maximum: Point,
    last: Point,
}

impl Bucket {
    fn new(point: Point) -> Bucket {
        Bucket { count: 1, minimum: point, maximum: point, last: point }
    }

    /// This bucket and the one that follows it.
    fn joined(self, next: Bucket) -> Bucket {
        let minimum = if next.minimum.value < self.minimum.value { next.minimum } else { self.minimum };
        let maximum = if next.maximum.value > self.maximum.value { next.maximum } else { self.maximum };
        Bucket { count: self.count + next.count, minimum, maximum, last: next.last }
    }

    /// Its points, in the order in which they were reported.
    fn points(&self) -> impl Iterator<Item = Point> {
        let mut points = [self.minimum, self.maximum, self.last];
        points.sort_unstable_by_key(|point| point.index);
        (0..3).filter(move |at| *at == 0 || points[at - 1].index != points[*at].index).map(move |at| points[at])
    }

    fn len(&self) -> usize {
        self.points().count()
    }
}

/// Curve of one metric.
#[derive(Debug, Clone)]
pub struct Curve {
    buckets: Vec<Bucket>,
    /// Number of points in a bucket.
    width: u64,
    /// Number of points that were reported.
    reported: u64,
    /// Number of points that are kept.
    kept: usize,
    /// Whether nothing was added since the points of earlier attempts.
    is_of_earlier: bool,
}

impl Default for Curve {
    fn default() -> Curve {
        Curve { buckets: Vec::new(), width: 1, reported: 0, kept: 0, is_of_earlier: false }
    }
}

impl Curve {
    /// Adds a point; returns whether it begins a bucket, which is rarer the more points there are.
    pub fn add(&mut self, step: u64, value: f64) -> bool {
        if std::mem::take(&mut self.is_of_earlier) {
            self.go_back_to(step);
        }
        let bucket = Bucket::new(Point { index: self.reported, step, value });
        self.reported += 1;
        let begins = match self.buckets.last_mut().filter(|last| last.count < self.width) {
            Some(last) => {
                self.kept -= last.len();
                *last = last.joined(bucket);
                self.kept += last.len();
                false
            }
            None => {
                self.buckets.push(bucket);
                self.kept += 1;
                true
            }
        };
        while self.kept > MAX_POINTS {
            self.halve();
        }
        begins
    }

    /// Points that are kept, in the order in which they were reported: steps and values.
    pub fn points(&self) -> impl Iterator<Item = (u64, f64)> {
        self.buckets.iter().flat_map(Bucket::points).map(|point| (point.step, point.value))
    }

    fn halve(&mut self) {
        self.width *= 2;
        let join = |pair: &[Bucket]| pair.iter().copied().reduce(Bucket::joined);
        self.buckets = self.buckets.chunks(2).filter_map(join).collect();
        self.kept = self.buckets.iter().map(Bucket::len).sum();
    }

    /// Drops the points from `step` on: an attempt that goes on from a state reports again what came after it.
    fn go_back_to(&mut self, step: u64) {
        let earlier: Vec<(u64, f64)> = self.points().collect();
        if earlier.iter().any(|(at, _)| *at >= step) {
            *self = Curve::default();
            for (at, value) in earlier.into_iter().filter(|(at, _)| *at < step) {
                self.add(at, value);
            }
        }
    }
}

/// Metrics of an attempt, with those of the attempts from whose state it went on.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    values: Map<String, Value>,
    curves: BTreeMap<String, Curve>,
    /// How often each metric without steps was reported.
    counts: HashMap<String, u64>,
}

impl Metrics {
    /// Adds a report; returns whether a log of bounded length should have it, too.
    pub(crate) fn add(&mut self, name: &str, value: f64, step: Option<u64>) -> bool {
        self.values.insert(name.to_owned(), Value::from(value));
        let Some(step) = step else {
            let count = self.counts.entry(name.to_owned()).or_default();
            *count += 1;
            return *count <= MAX_POINTS as u64 || count.is_power_of_two();
        };
        if !value.is_finite() {
            return true;
        }
        match self.curves.get_mut(name) {
            Some(curve) => curve.add(step, value),
            None => self.curves.entry(name.to_owned()).or_default().add(step, value),
        }
    }

    /// Says that all so far is of earlier attempts.
    pub(crate) fn end_of_earlier(&mut self) {
        self.curves.values_mut().for_each(|curve| curve.is_of_earlier = true);
    }

    /// Last values, by name; of curves of a training that names its best epoch those in that epoch, whose network its result is.
    pub(crate) fn values(&self) -> Map<String, Value> {
        let mut values = self.values.clone();
        let best = values.get(BEST_EPOCH).and_then(Value::as_f64).filter(|_| !self.curves.contains_key(BEST_EPOCH));
        for (name, curve) in &self.curves {
            // Exact: an epoch is a small whole number.
            let in_best = best.and_then(|best| curve.points().find(|(step, _)| *step as f64 == best));
            if let Some((_, value)) = in_best {
                values.insert(name.clone(), Value::from(value));
            }
        }
        values
    }

    /// Points of the curves, by metric.
    pub(crate) fn curves(&self) -> BTreeMap<String, Vec<(u64, f64)>> {
        self.curves.iter().map(|(name, curve)| (name.clone(), curve.points().collect())).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn curve(values: &[f64]) -> Curve {
        let mut curve = Curve::default();
        for (value, step) in values.iter().zip(0..) {
            curve.add(step, *value);
        }
        curve
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn a_curve_keeps_its_extremes_its_end_and_its_order(
            length in prop_oneof![0..50_usize, 4090..4110_usize, 5000..60_000_usize],
            seed in any::<u64>(),
            levels in 1..2000_u32,
        ) {
            let mut rng = fastrand::Rng::with_seed(seed);
            let values: Vec<f64> = (0..length).map(|_| f64::from(rng.u32(0..levels))).collect();
            let curve = curve(&values);
            let points: Vec<(u64, f64)> = curve.points().collect();
            prop_assert!(points.len() <= MAX_POINTS);
            prop_assert!(points.is_sorted_by(|one, next| one.0 < next.0), "in order, none twice");
            prop_assert!(points.iter().all(|(step, value)| values[*step as usize] == *value));
            if length <= MAX_POINTS {
                prop_assert_eq!(points.len(), length);
            } else {
                prop_assert!(points.len() > 512, "{} of {length}", points.len());
            }
            let of = |values: &mut dyn Iterator<Item = f64>| {
                values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
            };
            prop_assert_eq!(of(&mut points.iter().map(|point| point.1)), of(&mut values.iter().copied()));
            prop_assert_eq!(points.last().map(|point| point.1), values.last().copied());
        }
    }

    #[test]
    fn each_bucket_keeps_its_minimum_maximum_and_last_point() {
        let values: Vec<f64> = (0..100_000_u32).map(|step| f64::from(step * 7919 % 1009)).collect();
        let curve = curve(&values);
        let width = usize::try_from(curve.width).unwrap();
        assert!(width > 1);
        let mut expected = Vec::new();
        for (bucket, first) in values.chunks(width).zip((0..).step_by(width)) {
            let at = |order: fn(&f64, &f64) -> bool| {
                (1..bucket.len()).fold(0, |best, at| if order(&bucket[at], &bucket[best]) { at } else { best })
            };
            let mut kept = vec![at(|one, other| one < other), at(|one, other| one > other), bucket.len() - 1];
            kept.sort_unstable();
            kept.dedup();
            expected.extend(kept.into_iter().map(|at| ((first + at) as u64, bucket[at])));
        }
        assert_eq!(curve.points().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn few_points_of_a_long_curve_are_for_the_log() {
        let mut metrics = Metrics::default();
        let mut logged = 0;
        for step in 0..1_000_000_u32 {
            logged += u32::from(metrics.add("loss", f64::from(step % 1009), Some(u64::from(step))));
        }
        assert!(logged < 20_000, "{logged}");
        assert!((0..4096).all(|_| metrics.add("last", 1.0, None)));
        assert!((0..10_000).filter(|_| metrics.add("last", 1.0, None)).count() < 5);
    }

    #[test]
    fn the_values_of_a_training_are_those_of_its_best_epoch() {
        let mut metrics = Metrics::default();
        for (epoch, f1) in [(1, 0.25), (2, 0.5), (3, 0.125)] {
            metrics.add("macro_f1", f1, Some(epoch));
        }
        metrics.add("seconds", 9.0, None);
        assert_eq!(metrics.values()["macro_f1"], 0.125);
        metrics.add("best_epoch", 2.0, None);
        let values = metrics.values();
        assert_eq!((&values["macro_f1"], &values["seconds"]), (&Value::from(0.5), &Value::from(9.0)));
    }

    #[test]
    fn an_attempt_that_goes_on_replaces_what_it_reports_again() {
        let mut metrics = Metrics::default();
        for step in 0..10_u32 {
            metrics.add("loss", f64::from(step), Some(step.into()));
        }
        metrics.end_of_earlier();
        for step in 7..12_u32 {
            metrics.add("loss", f64::from(step + 100), Some(step.into()));
        }
        let curve = &metrics.curves()["loss"];
        let steps: Vec<u64> = curve.iter().map(|point| point.0).collect();
        assert_eq!(steps, (0..12).collect::<Vec<u64>>());
        assert_eq!((curve[6].1, curve[7].1), (6.0, 107.0));
        assert_eq!(metrics.values()["loss"], 111.0);
    }
}
