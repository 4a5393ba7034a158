//! The learning rate of each epoch: a schedule by name, or a list of (epoch, rate).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The learning rate of each epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "a schedule is `adam45`, `adam55`, `constant`, a learning rate, or a list of [epoch, learning rate]"
)]
pub enum Schedule {
    /// One of the schedules by name.
    Named(NamedSchedule),
    /// This learning rate in every epoch.
    Fixed(f64),
    /// A learning rate from each epoch on; the first epoch is 1.
    Steps(Vec<ScheduleStep>),
}

/// A learning rate from an epoch on. Users write `[epoch, rate]`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "(u32, f64)", into = "(u32, f64)")]
#[schemars(with = "(u32, f64)")]
pub struct ScheduleStep {
    /// The first epoch, counted from 1.
    pub epoch: u32,
    /// The learning rate.
    pub rate: f64,
}

impl From<(u32, f64)> for ScheduleStep {
    fn from((epoch, rate): (u32, f64)) -> Self {
        ScheduleStep { epoch, rate }
    }
}

impl From<ScheduleStep> for (u32, f64) {
    fn from(ScheduleStep { epoch, rate }: ScheduleStep) -> Self {
        (epoch, rate)
    }
}

/// The reference solution's schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NamedSchedule {
    /// For 45 epochs: 3e-4 from epoch 1, 1.5e-4 from 26, 7.5e-5 from 31, 3e-5 from 36, 1e-5 from 41.
    Adam45,
    /// For 55 epochs: 3e-4 from epoch 1, 1.5e-4 from 26, 7.5e-5 from 36, 3e-5 from 46, 1e-5 from 51.
    Adam55,
    /// 1e-4 in every epoch.
    Constant,
}

/// Epochs are counted from one, as in the reference solution.
const FIRST_EPOCH: u32 = 1;

const ADAM45: [ScheduleStep; 5] =
    [from(FIRST_EPOCH, 3e-4), from(26, 1.5e-4), from(31, 7.5e-5), from(36, 3e-5), from(41, 1e-5)];
const ADAM55: [ScheduleStep; 5] =
    [from(FIRST_EPOCH, 3e-4), from(26, 1.5e-4), from(36, 7.5e-5), from(46, 3e-5), from(51, 1e-5)];

const fn from(epoch: u32, rate: f64) -> ScheduleStep {
    ScheduleStep { epoch, rate }
}

const CONSTANT: f64 = 1e-4;

/// Errors of a schedule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleError {
    /// The list is empty or starts later.
    #[error("the schedule must begin with epoch 1")]
    NoStart,
    /// Epochs are out of order.
    #[error("epoch {0} of the schedule does not come after the one before it")]
    OutOfOrder(u32),
    /// A rate is not a positive number.
    #[error("{0} is no learning rate: it must be a number above 0")]
    Rate(f64),
}

impl Schedule {
    /// Checks what the type does not say.
    pub fn check(&self) -> Result<(), ScheduleError> {
        let steps = self.steps();
        if steps.first().is_none_or(|step| step.epoch != FIRST_EPOCH) {
            return Err(ScheduleError::NoStart);
        }
        if let Some(pair) = steps.windows(2).find(|pair| pair[1].epoch <= pair[0].epoch) {
            return Err(ScheduleError::OutOfOrder(pair[1].epoch));
        }
        let wrong = steps.iter().find(|step| !(step.rate.is_finite() && step.rate > 0.0));
        wrong.map_or(Ok(()), |step| Err(ScheduleError::Rate(step.rate)))
    }

    /// The rate of an epoch, counted from 1, of a schedule that [`check`](Self::check) approves.
    pub fn rate(&self, epoch: u32) -> f64 {
        let steps = self.steps();
        let current = steps.iter().take_while(|step| step.epoch <= epoch).last();
        current.map_or(0.0, |step| step.rate)
    }

    fn steps(&self) -> Vec<ScheduleStep> {
        match self {
            Schedule::Named(NamedSchedule::Adam45) => ADAM45.to_vec(),
            Schedule::Named(NamedSchedule::Adam55) => ADAM55.to_vec(),
            Schedule::Named(NamedSchedule::Constant) => vec![from(FIRST_EPOCH, CONSTANT)],
            Schedule::Fixed(rate) => vec![from(FIRST_EPOCH, *rate)],
            Schedule::Steps(steps) => steps.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(text: &str) -> Schedule {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn rates_fall_after_the_epochs_that_the_reference_names() {
        let adam45 = schedule("\"adam45\"");
        assert_eq!(
            [1, 25, 26, 30, 31, 35, 36, 40, 41, 45].map(|epoch| adam45.rate(epoch)),
            [3e-4, 3e-4, 1.5e-4, 1.5e-4, 7.5e-5, 7.5e-5, 3e-5, 3e-5, 1e-5, 1e-5]
        );
        let adam55 = schedule("\"adam55\"");
        assert_eq!(
            [25, 26, 35, 36, 45, 46, 50, 51].map(|epoch| adam55.rate(epoch)),
            [3e-4, 1.5e-4, 1.5e-4, 7.5e-5, 7.5e-5, 3e-5, 3e-5, 1e-5]
        );
        assert_eq!(schedule("\"constant\"").rate(50), 1e-4);
        assert_eq!(schedule("2e-4").rate(50), 2e-4);
        let steps = schedule("[[1, 0.1], [3, 0.01]]");
        assert_eq!([1, 2, 3, 100].map(|epoch| steps.rate(epoch)), [0.1, 0.1, 0.01, 0.01]);
    }

    #[test]
    fn wrong_schedules_are_told() {
        assert_eq!(schedule("[]").check(), Err(ScheduleError::NoStart));
        assert_eq!(schedule("[[0, 0.1], [1, 0.1]]").check(), Err(ScheduleError::NoStart));
        assert_eq!(schedule("[[1, 0.1], [3, 0.1], [3, 0.01]]").check(), Err(ScheduleError::OutOfOrder(3)));
        assert_eq!(schedule("[[1, 0.1], [3, 0.0]]").check(), Err(ScheduleError::Rate(0.0)));
        assert_eq!(schedule("-1.0").check(), Err(ScheduleError::Rate(-1.0)));
        assert_eq!(schedule("\"adam45\"").check(), Ok(()));
        let unknown = serde_json::from_str::<Schedule>("\"adam50\"").unwrap_err().to_string();
        assert!(unknown.starts_with("a schedule is `adam45`, `adam55`, `constant`, "), "{unknown}");
    }
}
