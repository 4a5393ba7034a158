//! Plain scalars as they are written: numbers that versions of YAML read in different ways, and numbers that lose digits when they
//! are read.

use serde_json::Number;

/// Significant digits that a fraction keeps in any case.
const KEPT_DIGITS: usize = 17;

/// Letters of a whole number that a fraction is, too, in any case; more than that is a number that was too large.
const ALWAYS_WHOLE: usize = 15;

/// Reason why a plain scalar is refused: the message and the remedy.
pub(super) type Refusal = (String, String);

/// The refusal of a scalar that is `written` so and was read as `number`, or as text if that is `None`.
pub(super) fn refusal(written: &str, number: Option<&Number>) -> Option<Refusal> {
    if has_leading_zeros(written) && number.is_some() {
        let digits = unsigned(written).trim_start_matches('0');
        let sign = if written.starts_with('-') && !digits.is_empty() { "-" } else { "" };
        let zero = if digits.starts_with(|c: char| c.is_ascii_digit()) { "" } else { "0" };
        return Some(unclear(written, Some(format!("{sign}{zero}{digits}"))));
    }
    if number.is_some() && is_underscored(written) || is_number_of_one_version(written) {
        return Some(unclear(written, value_in_1_1(written)));
    }
    let number = number?;
    if number.is_f64() && is_whole(written) && unsigned(written).len() > ALWAYS_WHOLE {
        let message = format!("`{written}` has more digits than a whole number holds here");
        return Some((message, format!("quote it (`\"{written}\"`): it is a text then, with all its digits")));
    }
    if keeps_its_digits(written, number)? {
        return None;
    }
    let message = if number.as_f64() == Some(0.0) {
        format!("`{written}` is nearer to 0 than a number can be")
    } else {
        format!("`{written}` has more digits than a number keeps")
    };
    Some((message, format!("write {number}, or quote it (`\"{written}\"`): it is a text then")))
}

/// Whether the number has all digits that are written; `None` if these are not decimal. Other programs write 17 of a number for
/// which fewer are enough.
fn keeps_its_digits(written: &str, number: &Number) -> Option<bool> {
    let digits = significant(written)?;
    let count = digits.0.len();
    if !number.is_f64() || count == 0 {
        return Some(true);
    }
    let read = if count > KEPT_DIGITS { number.to_string() } else { format!("{:.*e}", count - 1, number.as_f64()?) };
    Some(significant(&read)? == digits)
}

/// Whether a scalar that comes after `before` is marked as text: by its tag, or as the lines after `|` or `>`.
pub(super) fn is_text_by_mark(before: &str) -> bool {
    let before = before.trim_end();
    let line = before.rsplit('\n').next().unwrap_or_default();
    let header = line.split(" #").next().unwrap_or_default().trim_end();
    let header = header.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-'));
    before.ends_with("!!str") || header.ends_with(['|', '>'])
}

fn unclear(written: &str, number: Option<String>) -> Refusal {
    let message = format!("`{written}` can be meant as text or as a number");
    let or = number.map(|number| format!(", or write {number}")).unwrap_or_default();
    (message, format!("quote it (`\"{written}\"`){or}"))
}

/// Whether a number is written with zeros before it: versions of YAML take that for an octal number, for another one, or for text.
fn has_leading_zeros(written: &str) -> bool {
    let digits = unsigned(written);
    digits.starts_with('0') && digits[1..].starts_with(|letter: char| letter.is_ascii_digit())
}

fn unsigned(written: &str) -> &str {
    written.strip_prefix(['+', '-']).unwrap_or(written)
}

/// Whether digits are set apart by `_`.
fn is_underscored(written: &str) -> bool {
    unsigned(written).starts_with(|c: char| c.is_ascii_digit() || c == '.') && written.contains('_')
}

/// Whether YAML 1.1 takes it for a number and YAML 1.2 does not, or the other way round.
fn is_number_of_one_version(written: &str) -> bool {
    let digits = unsigned(written);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let all = |digits: &str, radix: u32| {
        digits.chars().any(|c| c != '_') && digits.chars().all(|c| c == '_' || c.is_digit(radix))
    };
    match digits.as_bytes() {
        [b'0', b'b' | b'B', ..] => all(&digits[2..], 2),
        [b'0', b'o' | b'O', ..] => all(&digits[2..], 8),
        [b'0', b'x' | b'X', ..] => {
            let is_alike = written.starts_with("0x") && !digits.contains('_');
            all(&digits[2..], 16) && !is_alike
        }
        _ if digits.contains(':') => is_sexagesimal(digits),
        _ => digits.contains('_') && is_decimal_of_1_1(digits),
    }
}

/// Whether it is a whole number, or a fraction, of YAML 1.1.
fn is_decimal_of_1_1(digits: &str) -> bool {
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(whole, rest)| (whole, Some(rest)));
    let are_digits = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_digit());
    let is_exponent =
        |text: &str| text.starts_with(['+', '-']) && text.len() > 1 && text[1..].chars().all(|c| c.is_ascii_digit());
    are_digits(whole)
        && fraction.is_none_or(are_digits)
        && exponent.is_none_or(|text| fraction.is_some() && is_exponent(text))
}

/// Whether it is a number to the base 60 of YAML 1.1, such as `1:30`.
fn is_sexagesimal(digits: &str) -> bool {
    let (digits, fraction) = digits.split_once('.').map_or((digits, None), |(digits, rest)| (digits, Some(rest)));
    let mut parts = digits.split(':');
    let are_digits = |text: &str| text.chars().all(|c| c == '_' || c.is_ascii_digit());
    let first = parts.next().unwrap_or_default();
    let begins = are_digits(first) && (fraction.is_some() || !first.starts_with('0'));
    let is_part = |part: &str| {
        matches!(part.len(), 1 | 2)
            && part.bytes().all(|c| c.is_ascii_digit())
            && part.parse::<u8>().is_ok_and(|n| n < 60)
    };
    begins && fraction.is_none_or(are_digits) && parts.all(is_part)
}

/// The number that YAML 1.1 reads, or 1.2 where only that reads one; `None` if it is long.
fn value_in_1_1(written: &str) -> Option<String> {
    let plain = written.replace('_', "");
    let sign = if plain.starts_with('-') { "-" } else { "" };
    let digits = unsigned(&plain);
    let radix = |radix| i128::from_str_radix(&digits[2..], radix).ok().map(|number| format!("{sign}{number}"));
    match digits.as_bytes() {
        [b'0', b'b' | b'B', ..] => radix(2),
        [b'0', b'o' | b'O', ..] => radix(8),
        [b'0', b'x' | b'X', ..] => radix(16),
        _ if digits.contains(['.', 'e', 'E']) => {
            if digits.contains(':') {
                None
            } else {
                Some(format!("{sign}{digits}"))
            }
        }
        _ => {
            let add = |sum: i128, part: &str| sum.checked_mul(60)?.checked_add(part.parse().ok()?);
            digits.split(':').try_fold(0, add).map(|number| format!("{sign}{number}"))
        }
    }
}

/// Whether it is written as a whole number.
fn is_whole(written: &str) -> bool {
    let digits = unsigned(written);
    let hexadecimal = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|c| c.is_ascii_hexdigit()),
        None => !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()),
    }
}

/// Significant digits of a decimal number, and the power of ten of the last one.
fn significant(written: &str) -> Option<(String, i64)> {
    let digits = unsigned(written);
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], digits[at + 1..].parse::<i64>().ok()?),
        None => (digits, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let kept = all.trim_end_matches('0');
    let power = exponent.checked_sub(fraction.len() as i64)?.checked_add((all.len() - kept.len()) as i64)?;
    let kept = kept.trim_start_matches('0');
    Some((kept.to_owned(), if kept.is_empty() { 0 } else { power }))
}
