//! Names of runs, which order them without a clock.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Name of a run: its sequence number, then when it began by the machine's clock, e.g. `000042-20261126-213007`.
///
/// Runs are in the order of their numbers. Earlier formats had the time first and no number
/// (`20261126-213007.123456-4711`): such runs are older than every numbered one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId {
    /// 0 in names of earlier formats.
    sequence: u64,
    text: String,
}

/// Error of a text that is no name of a run.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the name of a run")]
pub struct NotARun(String);

impl RunId {
    /// Name of the run with this sequence number that begins at `now`.
    pub fn new(sequence: u64, now: Timestamp) -> RunId {
        RunId { sequence, text: format!("{sequence:06}-{}", now.strftime("%Y%m%d-%H%M%S")) }
    }

    /// Parses the name of a run; `None` for other texts.
    pub fn parse(text: &str) -> Option<RunId> {
        let is_number = |part: &str, digits: usize| part.len() == digits && part.bytes().all(|c| c.is_ascii_digit());
        let mut parts = text.split('-');
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        if let Some((seconds, fraction)) = second.split_once('.') {
            let is_earlier = is_number(first, 8) && is_number(seconds, 6) && is_number(fraction, 6);
            return (is_earlier && is_number(third, third.len().max(1)))
                .then(|| RunId { sequence: 0, text: text.to_owned() });
        }
        let sequence: u64 = first.parse().ok()?;
        let is_ours = format!("{sequence:06}") == first && is_number(second, 8) && is_number(third, 6);
        is_ours.then(|| RunId { sequence, text: text.to_owned() })
    }

    /// Sequence number in the cache; `None` for runs of earlier formats.
    pub fn sequence(&self) -> Option<u64> {
        (self.sequence > 0).then_some(self.sequence)
    }

    /// Time when it began, by the machine's clock.
    pub fn began(&self) -> Option<Timestamp> {
        let mut parts = self.text.split('-').skip(usize::from(self.sequence > 0));
        let (date, time) = (parts.next()?, parts.next()?);
        let time = time.split('.').next()?;
        let civil = DateTime::strptime("%Y%m%d-%H%M%S", format!("{date}-{time}")).ok()?;
        TimeZone::UTC.to_timestamp(civil).ok()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl TryFrom<String> for RunId {
    type Error = NotARun;

    fn try_from(text: String) -> Result<RunId, NotARun> {
        RunId::parse(&text).ok_or(NotARun(text))
    }
}

impl From<RunId> for String {
    fn from(run: RunId) -> String {
        run.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_decide_the_order_and_clocks_do_not() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let ahead = RunId::new(9, at("2027-11-26T21:30:07Z"));
        let later = RunId::new(10, at("2026-11-26T21:30:07Z"));
        let far = RunId::new(1_000_000, at("2020-01-01T00:00:00Z"));
        let earlier =
            ["20261126-213007.123456-4711", "20991126-213007.123456-2"].map(|text| RunId::parse(text).unwrap());
        let mut runs = vec![far.clone(), later.clone(), earlier[1].clone(), ahead.clone(), earlier[0].clone()];
        runs.sort();
        assert_eq!(runs, [earlier[0].clone(), earlier[1].clone(), ahead.clone(), later, far]);
        assert_eq!(ahead.as_str(), "000009-20271126-213007");
    }

    #[test]
    fn a_name_is_read_as_it_was_written_and_nothing_else_is_one() {
        let run = RunId::new(42, "2026-11-26T21:30:07Z".parse().unwrap());
        assert_eq!(RunId::parse(run.as_str()), Some(run.clone()));
        assert_eq!(run.sequence(), Some(42));
        assert_eq!(run.began().unwrap().to_string(), "2026-11-26T21:30:07Z");
        let earlier = RunId::parse("20261126-213007.123456-4711").unwrap();
        assert_eq!(earlier.began(), run.began());
        assert_eq!(RunId::parse("20261126-213007.123456-4711").unwrap().sequence(), None);
        for text in [
            "",
            "run",
            "42-20261126-213007",
            "0000042-20261126-213007",
            "000042-20261126-21300",
            "000042-20261126",
            "000042-20261126-213007-1",
            "20261126-213007.12345-1",
            "20261126-213007.123456-",
            "+00042-20261126-213007",
        ] {
            assert_eq!(RunId::parse(text), None, "{text}");
        }
    }
}
