//! Quantities as users write them: sizes, shares of GPUs, durations.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Reason why a text is not a quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {expected}")]
pub struct QuantityError {
    /// The text.
    pub text: String,
    /// Expected form, with an example.
    pub expected: &'static str,
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ByteSize(u64);

/// Units, largest first, with the powers of 1024 ahead of those of 1000 so that display prefers them.
const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl ByteSize {
    const EXPECTED: &'static str = "a size such as `24GiB` or `500MB`";
    const WITH_UNIT: &'static str = "a size with its unit, such as `24GiB`, `500MB` or `100B`";

    /// `bytes` bytes.
    pub const fn new(bytes: u64) -> Self {
        ByteSize(bytes)
    }

    /// Number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size for people, rounded: `1.4 GiB`.
    pub fn rounded(self) -> String {
        const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
        if self.0 < 1024 {
            return format!("{} B", self.0);
        }
        let power = (self.0.ilog2() / 10).min(5);
        format!("{:.1} {}", self.0 as f64 / 1024_f64.powi(power.cast_signed()), UNITS[power as usize - 1])
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit));
        let (name, unit) = unit.copied().unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

impl FromStr for ByteSize {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let error = || QuantityError { text: text.to_owned(), expected: Self::EXPECTED };
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(split);
        let unit = unit.trim();
        let factor = if unit.is_empty() {
            // A number alone may be meant as gigabytes, and makes a collection of a whole cache if it is taken for bytes.
            if number.bytes().any(|digit| matches!(digit, b'1'..=b'9')) {
                return Err(QuantityError { text: text.to_owned(), expected: Self::WITH_UNIT });
            }
            1
        } else {
            UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(error)?.1
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(ByteSize).ok_or_else(error);
        }
        let bytes = number.parse::<f64>().map_err(|_| error())? * factor as f64;
        // Beyond 2^63 a float no longer says how many bytes are meant.
        if bytes.is_finite() && (0.0..9.2e18).contains(&bytes) {
            Ok(ByteSize(bytes.round() as u64))
        } else {
            Err(error())
        }
    }
}

/// Share of GPUs that a stage wants: a whole number of devices, or a fraction of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct GpuShare {
    thousandths: u32,
}

impl GpuShare {
    const EXPECTED: &'static str = "a whole number of GPUs or a fraction of one (0.001 to 0.999)";

    /// `count` whole devices.
    pub const fn whole(count: u32) -> Self {
        GpuShare { thousandths: count.saturating_mul(1000) }
    }

    /// The share that `number` stands for; `None` for negative numbers and for fractions above one device.
    pub fn from_number(number: f64) -> Option<Self> {
        let rounded = (number * 1000.0).round();
        let fits = (0.0..=1000.0 * 100_000.0).contains(&rounded) && (number == 0.0 || rounded >= 1.0);
        let thousandths = if fits { rounded as u32 } else { return None };
        (thousandths < 1000 || thousandths.is_multiple_of(1000)).then_some(GpuShare { thousandths })
    }

    /// Number of devices that it lies on.
    pub const fn devices(self) -> usize {
        self.thousandths.div_ceil(1000) as usize
    }

    /// Thousandths of each of those devices that it takes.
    pub const fn share_of_each(self) -> u32 {
        if self.thousandths > 1000 { 1000 } else { self.thousandths }
    }
}

impl fmt::Display for GpuShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.thousandths) / 1000.0)
    }
}

impl FromStr for GpuShare {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let number = text.trim().parse::<f64>().ok();
        number
            .and_then(GpuShare::from_number)
            .ok_or_else(|| QuantityError { text: text.to_owned(), expected: Self::EXPECTED })
    }
}

/// A duration as users write one: `1h30m`, `90ms`.
pub(crate) fn written_duration(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= millis {
            text += &format!("{}{unit}", left / millis);
            left %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Reads a duration such as `90s`, `2h` or `1h30m`; units `d`, `h`, `m`, `s`, `ms`, each at most once and largest first.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, QuantityError> {
    let error = || QuantityError { text: text.to_owned(), expected: "a duration such as `90s`, `2h` or `1h30m`" };
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    let mut smallest = u64::MAX;
    if rest.is_empty() {
        return Err(error());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let millis = match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" | "min" => 60_000,
            "s" => 1_000,
            "ms" => 1,
            _ => return Err(error()),
        };
        if millis >= smallest {
            return Err(error());
        }
        smallest = millis;
        let count: u64 = number.parse().map_err(|_| error())?;
        let part = Duration::from_millis(count.checked_mul(millis).ok_or_else(error)?);
        total = total.checked_add(part).ok_or_else(error)?;
        rest = tail.trim_start();
    }
    Ok(total)
}
