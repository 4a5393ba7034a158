//! Durations, sizes and tables as text.

use std::time::Duration;

use crate::language::ByteSize;

/// A duration for people: `340 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A size for people: `1.4 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    ByteSize::new(count).rounded()
}

/// How far a transfer is: `1.2 GiB of 3.4 GiB, 56.0 MiB/s, 40.1 s left`.
pub(crate) fn pace(done: u64, total: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
    let mut text = format!("{} of {}, {}/s", bytes(done), bytes(total.max(done)), bytes(rate as u64));
    if rate >= 1.0 && total > done {
        text += &format!(", {} left", duration(((total - done) as f64 / rate * 1000.0) as u64));
    }
    text
}

/// `1 stage`, `2 stages`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Rows under a header, in aligned columns two spaces apart.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut header.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_well() {
        let shown: Vec<String> = [0, 999, 1000, 59_999, 60_000, 200_000, 7_500_000].map(duration).into();
        assert_eq!(shown, ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min 0 s", "3 min 20 s", "2 h 5 min"]);
        let shown: Vec<String> = [0, 1023, 1024, 1_503_238_553, u64::MAX].map(bytes).into();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.4 GiB", "16384.0 PiB"]);
    }

    #[test]
    fn the_pace_of_a_transfer_tells_what_is_left() {
        let second = Duration::from_secs(1);
        assert_eq!(pace(1 << 20, 5 << 20, second), "1.0 MiB of 5.0 MiB, 1.0 MiB/s, 4.0 s left");
        assert_eq!(pace(0, 5 << 20, second), "0 B of 5.0 MiB, 0 B/s");
        assert_eq!(pace(7, 5, second), "7 B of 7 B, 7 B/s");
    }

    #[test]
    fn tables_align() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["x", "size"], &rows), "x     size\na     1\nlong\n");
    }
}
